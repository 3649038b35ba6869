package main

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/sqlite"
)

// bridged stores bridges in a folder: one to far, and one to where nobody answers.
func bridged(t *testing.T, far *testServer) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, databaseName), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]struct{ address, topic string }{
		"far": {far.mqtt, "farm/#"}, "gone": {brokertest.FreeAddress(t), "garden/#"},
	} {
		s := bridge.Defaults()
		s.Name, s.ClientID, s.Addresses = name, "bridge-"+name, []string{b.address}
		s.Topics = []bridge.Topic{{Pattern: b.topic, In: true, QoS: 1}}
		if err := db.Bridges().InsertBridge(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The causes that lie elsewhere than in the device: rules with conditions, senders,
// limits, bridges, ports that are closed. Each is brought about by clients on the wire, and found by the
// command and in the admin.
func TestWhyElsewhere(t *testing.T) {
	far := start(t, options{"anonymous": "full"})
	dir, closed := bridged(t, far), brokertest.FreeAddress(t)
	for _, name := range []string{"bad.pem", "bad.key"} {
		writeFile(t, filepath.Join(dir, name), "this is no certificate\n")
	}
	w := &whySite{T: t, testServer: startIn(t, dir, options{
		"certfile": filepath.Join(dir, "bad.pem"), "keyfile": filepath.Join(dir, "bad.key"), "mqtts_address": closed,
		"session_expiry_max": 1, "check_retain_source": true, "bridge_networks": []string{"127.0.0.0/8"},
	})}
	w.signIn()
	w.member("ann", "--role", "everything")
	w.member("picky", "--rule", "allow both home/#", "--rule", "deny subscribe home/lock/#", "--rule", "deny publish home/lock/#",
		"--rule", "allow subscribe hall/# listener=mqtts", "--rule", "allow both yard/# from=10.0.0.0/8",
		"--rule", "allow both low/# qos<=0", "--rule", "allow publish fresh/# no-retain")
	w.member("former", "--rule", "allow both attic/#")
	w.member("busy", "--role", "everything")
	w.users("limits", "busy", "messages=1")
	w.member("hasty", "--role", "everything")
	w.users("limits", "hasty", "connects=0.01")
	subscribe := func(c mqtt.Client, filter string, qos byte) { c.Subscribe(filter, qos, nil).Wait() } // what is refused is what is meant
	publish := func(c mqtt.Client, name string, qos byte, retain bool) {
		if token := c.Publish(name, qos, retain, "1"); !token.WaitTimeout(time.Minute) {
			w.Fatal("no acknowledgement for " + name)
		}
	}
	kept := func(o *mqtt.ClientOptions) { o.SetCleanSession(false) }
	for _, tt := range []struct {
		what  string
		cause access.Cause
		about string
		words []string
		make  func()
	}{
		{"a deny on what it subscribes to", access.MayNotSubscribe, "locksmith", []string{"deny subscribe home/lock/# (user picky)", "a deny beats every allow"}, func() {
			subscribe(w.in("locksmith", "picky"), "home/lock/state", 0)
		}},
		{"a deny on what its sender publishes", access.SourceDenied, "panel", []string{"deny publish home/lock/# (user picky)"}, func() {
			subscribe(w.in("panel", "ann"), "home/lock/set", 0)
			publish(w.in("keypad", "picky"), "home/lock/set", 1, false)
		}},
		{"a condition on the listener", access.MayNotSubscribe, "hallway", []string{"allow subscribe hall/# listener=mqtts (user picky) does not hold for it, as it came in by mqtt"}, func() {
			subscribe(w.in("hallway", "picky"), "hall/lamp", 0)
		}},
		{"a condition on the network", access.MayNotPublish, "mower", []string{"allow both yard/# from=10.0.0.0/8 (user picky) does not hold for it, as it came in by mqtt from 127.0.0.1"}, func() {
			publish(w.in("mower", "picky"), "yard/mower", 1, false)
		}},
		{"a QoS that is too high", access.SourceDenied, "lowly", []string{"allow both low/# qos<=0 (user picky), not with this QoS or RETAIN"}, func() {
			subscribe(w.in("lowly", "ann"), "low/x", 1)
			publish(w.in("careful", "picky"), "low/x", 1, false)
		}},
		{"RETAIN that is refused", access.SourceDenied, "fridge", []string{"allow publish fresh/# no-retain (user picky), not with this QoS or RETAIN"}, func() {
			subscribe(w.in("fridge", "ann"), "fresh/x", 1)
			publish(w.in("baker", "picky"), "fresh/x", 1, true)
		}},
		{"what it retained may not be published any more", access.Withheld, "archive", []string{"may not publish there any more", "check_retain_source"}, func() {
			publish(w.in("chest", "former"), "attic/chest", 1, true)
			w.users("delete", "former")
			subscribe(w.in("archive", "ann"), "attic/#", 1)
		}},
		{"a limit on its messages", access.Slowed, "chatty", []string{"it sends more than 1 message a second (limit of user \"busy\")"}, func() {
			c := w.in("chatty", "busy")
			for range 8 {
				c.Publish("chat/x", 0, false, "1")
			}
		}},
		{"a limit on its connects", access.Cause(broker.TooManyAttempts), "hasty", []string{"no password is wrong"}, func() {
			for i := range 100 {
				if _, err := w.device(30, fmt.Sprint("hasty-", i), "hasty", "x", nil); err != nil {
					return
				}
			}
			w.Error("it was let in each time")
		}},
		{"messages that come below", access.NothingSent, "above", []string{"who wants them subscribes to shed/lamp/#"}, func() {
			publish(w.in("s1", "ann"), "shed/lamp/state", 1, true)
			subscribe(w.in("above", "ann"), "shed/lamp", 0)
		}},
		{"a sender with more in front", access.NothingSent, "prefixed", []string{"Messages come on base/stable/lamp, which has more in front"}, func() {
			publish(w.in("s2", "ann"), "base/stable/lamp", 1, true)
			subscribe(w.in("prefixed", "ann"), "stable/lamp", 0)
		}},
		{"a device with more in front", access.NothingSent, "prefixing", []string{"Messages come on barn/lamp, which has less in front"}, func() {
			publish(w.in("s3", "ann"), "barn/lamp", 1, true)
			subscribe(w.in("prefixing", "ann"), "base/barn/lamp", 0)
		}},
		{"a message that was not retained", access.NothingSent, "late", []string{"and was not retained", "have the sender retain it"}, func() {
			publish(w.in("s4", "ann"), "bell/ring", 1, false)
			subscribe(w.in("late", "ann"), "bell/ring", 0)
		}},
		{"another member of its group", access.NothingSent, "second", []string{"another member of its group may have it"}, func() {
			subscribe(w.in("first", "ann"), "$share/g/jobs/x", 0)
			publish(w.in("s5", "ann"), "jobs/x", 1, false)
			subscribe(w.in("second", "ann"), "$share/g/jobs/x", 0)
		}},
		{"a bridge that does not stand", access.NotCarried, "gnome", []string{`The bridge "gone" brings in some of that, but it is not connected`}, func() {
			subscribe(w.in("gnome", "ann"), "garden/pond", 0)
		}},
		{"that bridge itself", access.NotCarried, "gone", []string{`The bridge "gone" is not connected: it can't be reached`}, func() {}},
		{"a bridge whose filter leaves it out", access.NothingSent, "barometer", []string{`the bridge "far" brings in farm/# only`}, func() {
			c, err := w.device(1, "weather", "", "", w.at("tcp://"+far.mqtt, ""))
			if err != nil {
				w.Fatal(err)
			}
			publish(c, "weather/pressure", 1, true)
			subscribe(w.in("barometer", "ann"), "weather/pressure", 0)
		}},
		{"a session that ended with its time", access.NotConnected, "sleeper", []string{"Its session was kept for it until", "session_expiry_max"}, func() {
			c, err := w.device(1, "sleeper", "ann", "x", kept)
			if err != nil {
				w.Fatal(err)
			}
			subscribe(c, "home/door", 1)
			c.Disconnect(100)
			eventually(w.T, "its session ends", func() bool {
				return strings.Contains(command(w.T, w.dir, "", "why", "sleeper").stdout, "has ended by now")
			})
		}},
		{"a port that stays closed", access.PortClosed, "newcomer", []string{"A port is closed that should be open", "bad.pem", "has not heard of"}, func() {
			if c, err := net.Dial("tcp", closed); err == nil {
				c.Close()
				w.Error("the port is open")
			}
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			w.T, w.admin.t = t, t
			tt.make()
			w.finds(tt.cause, tt.about, tt.words...)
		})
	}
}
