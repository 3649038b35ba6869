package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/broker/bridge"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/sqlite"
)

// A bridge between two whole HearthMQs. What is published while the other one is away
// waits over a restart, and is there once.
func TestBridge(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	nearDir, farDir, farPort := t.TempDir(), t.TempDir(), brokertest.FreeAddress(t)
	far := startE2EIn(t, farDir, options{"mqtt_address": farPort})
	password := far.user("bridge", "--role", "everything")
	var mu sync.Mutex
	var got []string
	// Its session waits for the messages, however late it comes itself.
	watcher := func() mqtt.Client {
		t.Helper()
		w := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + far.mqtt).SetClientID("watch").SetUsername(e2eUser).SetPassword(e2ePassword).
			SetCleanSession(false).SetAutoReconnect(false).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, string(m.Payload()))
		}))
		done(t, w.Connect())
		t.Cleanup(func() { w.Disconnect(0) })
		return w
	}
	watch := watcher()
	done(t, watch.Subscribe("out/#", 2, nil))
	watch.Disconnect(100)
	far.stop()

	path := filepath.Join(nearDir, databaseName)
	db, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := bridge.Defaults()
	s.Name, s.ClientID, s.Username, s.Password, s.Addresses = "far", "near-home", "bridge", password, []string{farPort}
	s.Topics = []bridge.Topic{{Pattern: "out/#", Out: true, QoS: 2}, {Pattern: "in/#", In: true, QoS: 2}}
	s.NotifyLocal = false
	if err := db.Bridges().InsertBridge(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	settings := options{"bridge_networks": []string{"127.0.0.0/8"}}
	near := startE2EIn(t, nearDir, settings)
	c, err := connect(t, near.mqtt, "device", e2eUser, e2ePassword)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 30 {
		done(t, c.Publish("out/n", 2, false, fmt.Sprint(i)))
		want = append(want, fmt.Sprint(i))
	}
	if code := near.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	near = startE2EIn(t, nearDir, settings)

	far = startE2EIn(t, farDir, options{"mqtt_address": farPort})
	watch = watcher()
	eventually(t, "what waited is there", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) >= len(want)
	})
	mu.Lock()
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	mu.Unlock()

	// And the other way, with the state of the bridge on both sides.
	if c, err = connect(t, near.mqtt, "device", e2eUser, e2ePassword); err != nil {
		t.Fatal(err)
	}
	back := make(chan mqtt.Message, 10)
	done(t, c.Subscribe("in/#", 1, func(_ mqtt.Client, m mqtt.Message) { back <- m }))
	done(t, watch.Publish("in/x", 1, false, "hello"))
	if m := received(t, back); string(m.Payload()) != "hello" {
		t.Errorf("%s", m.Payload())
	}
	for _, client := range []mqtt.Client{c, watch} {
		state := make(chan mqtt.Message, 10)
		done(t, client.Subscribe("$SYS/broker/connection/near-home/state", 0, func(_ mqtt.Client, m mqtt.Message) { state <- m }))
		for string(received(t, state).Payload()) != "1" {
		}
	}
}
