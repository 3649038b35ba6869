package main

import (
	"context"
	"os"
	osexec "os/exec"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// The app's new container starts while the old one ends.
func TestWaitsForTheFolder(t *testing.T) { // case S15
	old := start(t, nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		time.AfterFunc(time.Second, func() { old.stop() })
	}()
	s := startIn(t, old.dir, options{"ingress_address": "127.0.0.1:0"}, "SUPERVISOR_TOKEN=secret")
	<-ended
	if !strings.Contains(s.log.String(), "waiting up to 30s for its end") {
		t.Errorf("it did not wait:\n%s", s.log)
	}
}

// A data folder that can't be written: users log in, retained messages are there, and
// the owner is told that nothing is kept.
func TestReadOnlyData(t *testing.T) { // case S7
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: only root may mount")
	}
	dir := t.TempDir()
	mount := func(args ...string) {
		t.Helper()
		if out, err := osexec.CommandContext(context.Background(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
	}
	mount("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", dir)
	t.Cleanup(func() { mount("umount", dir) })
	s := startE2EIn(t, dir, nil)
	c, err := connect(t, s.mqtt, "c", e2eUser, e2ePassword)
	if err != nil {
		t.Fatal(err)
	}
	done(t, c.Publish("d/retained", 1, true, "kept"))
	c.Disconnect(0)
	s.stop()
	mount("mount", "-o", "remount,ro", dir)

	s = startAsIs(t, dir)
	if !strings.Contains(s.log.String(), "NOTHING IS KEPT") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
	if c, err = connect(t, s.mqtt, "c", e2eUser, e2ePassword); err != nil {
		t.Fatal(err)
	}
	got := make(chan mqtt.Message, 10)
	done(t, c.Subscribe("d/#", 1, func(_ mqtt.Client, m mqtt.Message) { got <- m }))
	if m := received(t, got); string(m.Payload()) != "kept" || !m.Retained() {
		t.Errorf("got %s %s", m.Topic(), m.Payload())
	}
	done(t, c.Publish("d/now", 1, true, "forgotten at the end"))
	c.Disconnect(0)
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}
