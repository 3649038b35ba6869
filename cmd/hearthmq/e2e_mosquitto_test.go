package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The command-line clients of Mosquitto, in all versions of the protocol.

// mosquitto starts mosquitto_pub or mosquitto_sub.
func mosquitto(t *testing.T, s *testServer, version, tool string, args ...string) *program {
	t.Helper()
	host, port, err := net.SplitHostPort(s.mqtt)
	if err != nil {
		t.Fatal(err)
	}
	all := append([]string{"-h", host, "-p", port, "-u", e2eUser, "-P", e2ePassword, "-V", version}, args...)
	return launch(t, nil, "", "mosquitto_"+tool, all...)
}

func publish(t *testing.T, s *testServer, version string, args ...string) {
	t.Helper()
	mosquitto(t, s, version, "pub", args...).succeed()
}

// subscriber starts mosquitto_sub and returns when its subscriptions stand: the
// retained message of the last one has come.
func subscriber(t *testing.T, s *testServer, version string, args ...string) *program {
	t.Helper()
	s.sentinels++
	sentinel := fmt.Sprintf("sentinel/%d", s.sentinels)
	publish(t, s, version, "-r", "-q", "1", "-t", sentinel, "-m", "ready")
	p := mosquitto(t, s, version, "sub", append([]string{"-F", "%r %q %t %p"}, append(args, "-t", sentinel)...)...)
	if line := p.line(); !strings.HasSuffix(line, sentinel+" ready") {
		t.Fatalf("%q before the subscription stands", line)
	}
	return p
}

func TestMosquittoClients(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	need(t, "mosquitto_pub", have("mosquitto_pub") && have("mosquitto_sub"))
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		t.Run(version, func(t *testing.T) {
			s := startE2E(t, nil)
			t.Run("QoS", func(t *testing.T) { mosquittoQoS(t, s, version) })
			t.Run("wildcards", func(t *testing.T) { mosquittoWildcards(t, s, version) })
			t.Run("retained", func(t *testing.T) { mosquittoRetained(t, s, version) })
			t.Run("will", func(t *testing.T) { mosquittoWill(t, s, version) })
			t.Run("large", func(t *testing.T) { mosquittoLarge(t, s, version) })
			t.Run("refused", func(t *testing.T) { mosquittoRefused(t, s, version) })
		})
		t.Run(version+" offline queue", func(t *testing.T) { mosquittoOffline(t, version) })
	}
}

// Nine ways: the smaller of the two Qualities of Service arrives [MQTT-3.8.4-8].
func mosquittoQoS(t *testing.T, s *testServer, version string) {
	for sub := range 3 {
		p := subscriber(t, s, version, "-q", strconv.Itoa(sub), "-t", "qos/t")
		for pub := range 3 {
			publish(t, s, version, "-q", strconv.Itoa(pub), "-t", "qos/t", "-m", fmt.Sprintf("m%d", pub))
			p.expect(fmt.Sprintf("0 %d qos/t m%d", min(sub, pub), pub))
		}
	}
}

func mosquittoWildcards(t *testing.T, s *testServer, version string) {
	p := subscriber(t, s, version, "-t", "w/+/c", "-t", "w/x/#", "-t", "+/only")
	for _, name := range []string{"w/a/c", "w/a/b", "w/x", "w/x/y/z", "w/a/c/d", "z/only", "$z/only", "/only"} {
		publish(t, s, version, "-t", name, "-m", "m")
	}
	p.expect("0 0 w/a/c m", "0 0 w/x m", "0 0 w/x/y/z m", "0 0 z/only m", "0 0 /only m")
}

func mosquittoRetained(t *testing.T, s *testServer, version string) {
	// What ret/+ holds comes before ret-end: the filters are taken in their order.
	retained := func(count string) []string {
		t.Helper()
		return mosquitto(t, s, version, "sub", "-F", "%r %t %p", "-t", "ret/+", "-t", "ret-end", "-C", count, "-W", "120").drain()
	}
	publish(t, s, version, "-r", "-q", "1", "-t", "ret-end", "-m", "end")
	publish(t, s, version, "-r", "-q", "1", "-t", "ret/a", "-m", "one")
	if got := retained("2"); !slices.Contains(got, "1 ret/a one") {
		t.Errorf("set: %v", got)
	}
	publish(t, s, version, "-r", "-q", "2", "-t", "ret/a", "-m", "two")
	if got := retained("2"); !slices.Contains(got, "1 ret/a two") || slices.Contains(got, "1 ret/a one") {
		t.Errorf("replaced: %v", got)
	}
	publish(t, s, version, "-r", "-n", "-t", "ret/a")
	if got := retained("1"); len(got) != 1 || got[0] != "1 ret-end end" {
		t.Errorf("cleared: %v", got)
	}
}

func mosquittoWill(t *testing.T, s *testServer, version string) {
	watcher := subscriber(t, s, version, "-q", "1", "-t", "will/#")
	dying := subscriber(t, s, version, "-t", "nothing", "--will-topic", "will/dying", "--will-payload", "gone", "--will-qos", "1", "--will-retain")
	if err := dying.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	watcher.expect("0 1 will/dying gone")
	p := mosquitto(t, s, version, "sub", "-F", "%r %t %p", "-t", "will/dying", "-C", "1")
	if got := p.succeed(); len(got) != 1 || got[0] != "1 will/dying gone" {
		t.Errorf("the retained will: %v", got)
	}
	// A client that says goodbye leaves no will [MQTT-3.14.4-3]. (With more messages
	// on their way to it, its socket would break before the goodbye is read.)
	polite := mosquitto(t, s, version, "sub", "-t", "sentinel/1", "-C", "1", "--will-topic", "will/polite", "--will-payload", "gone")
	polite.succeed()
	publish(t, s, version, "-t", "will/after", "-m", "still here")
	watcher.expect("0 0 will/after still here")
}

func mosquittoLarge(t *testing.T, s *testServer, version string) {
	p := subscriber(t, s, version, "-q", "1", "-t", "large/t")
	payload := strings.Repeat("0123456789abcdef", 4000) // 64,000 bytes, far beyond a socket's first read
	publish(t, s, version, "-q", "1", "-t", "large/t", "-m", payload)
	p.expect("0 1 large/t " + payload)
}

func mosquittoRefused(t *testing.T, s *testServer, version string) {
	p := mosquitto(t, s, version, "pub", "-P", "wrong", "-t", "x", "-m", "x")
	p.drain()
	if p.cmd.ProcessState.ExitCode() == 0 {
		t.Error("a wrong password was accepted")
	}
}

// Messages wait for a client with a session, over a restart of the broker too.
func mosquittoOffline(t *testing.T, version string) {
	dir := t.TempDir()
	s := startE2EIn(t, dir, nil)
	// -c is Clean Session off; for MQTT 5 it needs a Session Expiry Interval beside.
	session := []string{"-i", "keeper", "-c", "-q", "2", "-t", "offline/#", "-F", "%q %t %p"}
	if version == "mqttv5" {
		session = append(session, "-x", "3600")
	}
	mosquitto(t, s, version, "sub", append(session, "-E")...).succeed()

	var want []string
	send := func(from, to int) {
		for i := from; i < to; i++ {
			qos := 1 + i%2
			publish(t, s, version, "-q", strconv.Itoa(qos), "-t", "offline/t", "-m", fmt.Sprintf("m%02d", i))
			want = append(want, fmt.Sprintf("%d offline/t m%02d", qos, i))
		}
	}
	send(0, 5)
	publish(t, s, version, "-q", "0", "-t", "other", "-m", "not for it")
	if code := s.stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	s = startE2EIn(t, dir, nil)
	send(5, 10)
	got := mosquitto(t, s, version, "sub", append(session, "-C", "10")...).succeed()
	// mosquitto_sub shows a QoS 2 message at its PUBREL, after QoS 1 messages that
	// were sent later: each has its own order.
	slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
	slices.SortStableFunc(want, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("received\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// Nothing is left.
	publish(t, s, version, "-q", "1", "-t", "offline/t", "-m", "last")
	got = mosquitto(t, s, version, "sub", append(session, "-C", "1")...).succeed()
	if len(got) != 1 || got[0] != "1 offline/t last" {
		t.Errorf("received %v, want the last one alone", got)
	}
}

func TestMosquittoSys(t *testing.T) {
	need(t, "mosquitto_sub", have("mosquitto_sub"))
	s := startE2E(t, nil)
	got := mosquitto(t, s, "mqttv311", "sub", "-v", "-t", "$SYS/broker/version", "-C", "1").succeed()
	if len(got) != 1 || got[0] != "$SYS/broker/version HearthMQ "+version {
		t.Errorf("version: %v", got)
	}
	got = mosquitto(t, s, "mqttv311", "sub", "-t", "$SYS/broker/uptime", "-C", "1").succeed()
	if len(got) != 1 || len(strings.Fields(got[0])) < 1 || strings.Trim(strings.Fields(got[0])[0], "0123456789") != "" {
		t.Errorf("uptime: %v", got)
	}
}
