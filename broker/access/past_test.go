package access_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// What an owner is told of a client that may do everything and still gets nothing, or that
// is not there any more: each with the words that say what to do.
func TestWhyBySight(t *testing.T) {
	expire := func(p *packet.Publish) { p.HasExpiry, p.MessageExpiry = true, 1 }
	for _, tt := range []struct {
		name  string
		cause access.Cause
		words []string // of text and advice
		make  func(h *home)
	}{
		{"a session that ended with its connection", access.NotConnected, []string{"was here and is not connected now: keep alive timeout", "Wi-Fi", "clean session"}, func(h *home) {
			h.connect(packet.V311, "washer", "ann", packet.Connect{CleanStart: true, KeepAlive: 10})
			brokertest.Pass(20 * time.Second)
		}},
		{"said goodbye", access.NotConnected, []string{"client disconnected", "goodbye"}, func(h *home) {
			h.clean(packet.V50, "washer", "ann").Send(&packet.Disconnect{})
		}},
		{"too large a message", access.NotConnected, []string{"packet is larger than the limit", "max_packet_size"}, func(h *home) {
			h.clean(packet.V50, "washer", "ann").Publish("home/x", strings.Repeat("x", 70_000), 0, false, 0)
		}},
		{"away, and QoS 0", access.NotConnected, []string{"Its session is kept, no messages wait for it", "QoS 0"}, func(h *home) {
			h.connect(packet.V311, "washer", "ann", packet.Connect{}).Subscribe("home/#", 0)
			h.b.Disconnect("washer", packet.AdministrativeAction)
		}},
		{"away, and one waits", access.NotConnected, []string{"1 message waits for it"}, func(h *home) {
			h.connect(packet.V311, "washer", "ann", packet.Connect{}).Subscribe("home/#", 1)
			h.b.Disconnect("washer", packet.AdministrativeAction)
			synctest.Wait()
			h.clean(packet.V311, "lamp", "ann").Publish("home/x", "1", 1, false, 1)
		}},
		{"two with one name", access.PushedOut, []string{"pushed out again and again", "give each its own"}, func(h *home) {
			for range 4 {
				h.clean(packet.V311, "washer", "ann")
				brokertest.Pass(3 * time.Second)
			}
		}},
		{"taken over once in a while", access.NotSubscribed, nil, func(h *home) {
			for range 4 {
				h.clean(packet.V311, "washer", "ann")
				brokertest.Pass(2 * time.Minute)
			}
		}},
		{"taken over once in a while, and just now", access.NotSubscribed, nil, func(h *home) {
			for range 5 {
				brokertest.Pass(2 * time.Minute)
				h.clean(packet.V311, "washer", "ann")
			}
		}},
		{"comes and goes all the time", access.NotConnected, []string{"client disconnected"}, func(h *home) {
			for range 6 {
				h.clean(packet.V311, "washer", "ann").Send(&packet.Disconnect{})
				brokertest.Pass(time.Second)
			}
		}},
		{"a session that was kept for a while", access.NotConnected, []string{"Its session was kept for it until", "session_expiry_max"}, func(h *home) {
			keep := packet.Connect{}
			keep.Properties.SetSessionExpiry(60)
			h.connect(packet.V50, "washer", "ann", keep).Subscribe("home/#", 1)
			h.b.Disconnect("washer", packet.AdministrativeAction)
			brokertest.Pass(3 * time.Minute)
		}},
		{"other capitals", access.NothingSent, []string{"Messages come on home/lamp/state", "Capitals"}, func(h *home) {
			h.clean(packet.V311, "washer", "ann").Subscribe("home/Lamp/state", 0)
			h.clean(packet.V311, "lamp", "ann").Publish("home/lamp/state", "1", 0, false, 0)
		}},
		{"a slash too much", access.NothingSent, []string{"Messages come on home/lamp/state", "/ at the start"}, func(h *home) {
			h.clean(packet.V311, "washer", "ann").Subscribe("home/lamp/state/", 0)
			h.clean(packet.V311, "lamp", "ann").Publish("home/lamp/state", "1", 0, false, 0)
		}},
		{"a letter, below a wildcard", access.NothingSent, []string{"Messages come on home/kitchen/temperature"}, func(h *home) {
			h.clean(packet.V311, "washer", "ann").Subscribe("home/+/temperture", 0)
			h.clean(packet.V311, "lamp", "ann").Publish("home/kitchen/temperature", "1", 0, false, 0)
		}},
		{"the device, not what is below", access.NothingSent, []string{"subscribes to home/lamp/#"}, func(h *home) {
			h.clean(packet.V311, "washer", "ann").Subscribe("home/lamp", 0)
			h.clean(packet.V311, "lamp", "ann").Publish("home/lamp/state", "1", 0, false, 0)
		}},
		{"nothing like it", access.NothingSent, []string{"Look on the page Topics"}, func(h *home) {
			h.clean(packet.V311, "washer", "ann").Subscribe("home/door", 0)
			h.clean(packet.V311, "lamp", "ann").Publish("home/lamp/state", "1", 0, false, 0)
		}},
		{"before it came, not retained", access.NothingSent, []string{"the last message there, on home/lamp", "was not retained", "have the sender retain it"}, func(h *home) {
			h.clean(packet.V311, "lamp", "ann").Publish("home/lamp", "1", 0, false, 0)
			brokertest.Pass(time.Second)
			h.clean(packet.V311, "washer", "ann").Subscribe("home/+", 0)
		}},
		{"retained, and expired", access.NothingSent, []string{"on home/lamp", "was not retained"}, func(h *home) {
			p := &packet.Publish{Topic: []byte("home/lamp"), Payload: []byte("1"), Retain: true}
			expire(p)
			h.clean(packet.V50, "lamp", "ann").Send(p)
			brokertest.Pass(3 * time.Second)
			h.clean(packet.V311, "washer", "ann").Subscribe("home/lamp", 0)
		}},
		{"another one of the group has it", access.NothingSent, []string{"shared subscription"}, func(h *home) {
			h.clean(packet.V50, "dryer", "ann").Subscribe("$share/g/home/x", 0)
			h.clean(packet.V50, "washer", "ann").Subscribe("$share/g/home/x", 0)
			h.clean(packet.V311, "lamp", "ann").Publish("home/x", "1", 0, false, 0)
			for _, s := range h.b.Sessions() {
				if s.ClientID == "washer" && s.Sent > 0 { // the other one asks
					h.b.DeleteSession("dryer")
					h.b.DeleteSession("washer")
					synctest.Wait()
					h.clean(packet.V50, "washer", "ann").Subscribe("$share/g/home/x", 0)
				}
			}
		}},
		{"expired while it was away", access.Dropped, []string{"1 message for client", "expired", "how long the sender lets"}, func(h *home) {
			keep := packet.Connect{}
			keep.Properties.SetSessionExpiry(1000)
			h.connect(packet.V50, "washer", "ann", keep).Subscribe("home/#", 1)
			h.b.Disconnect("washer", packet.AdministrativeAction)
			synctest.Wait()
			p := &packet.Publish{Topic: []byte("home/lamp"), Payload: []byte("1"), QoS: 1, PacketID: 1}
			expire(p)
			h.clean(packet.V50, "lamp", "ann").Send(p)
			brokertest.Pass(3 * time.Second)
			h.connect(packet.V50, "washer", "ann", keep)
		}},
		{"a deny", access.MayNotSubscribe, []string{"deny subscribe home/cam/#", "a deny beats every allow"}, func(h *home) {
			h.clean(packet.V311, "washer", "den").Subscribe("home/cam/1", 0)
		}},
		{"a deny takes a part", access.Narrowed, []string{"gets all of it but home/cam/#", "Denied on purpose"}, func(h *home) {
			h.clean(packet.V311, "washer", "den").Subscribe("home/#", 0)
		}},
		{"rules allow a part", access.Narrowed, []string{"only what its rules allow of it: home/#"}, func(h *home) {
			h.clean(packet.V311, "washer", "ann").Subscribe("#", 0)
		}},
		{"the broker's own topics", access.MayNotPublish, []string{"begin with $"}, func(h *home) {
			h.clean(packet.V311, "washer", "ann").Publish("$SYS/x", "1", 0, false, 0)
		}},
		{"more subscriptions than it may have", access.MayNotSubscribe, []string{"subscribe to home/b: limit reached", "That is a limit"}, func(h *home) {
			h.must(h.accounts.ChangeUser(h.Context(), "ann", access.UserChange{Limits: &broker.Limits{Subscriptions: 1}}))
			c := h.clean(packet.V311, "washer", "ann")
			c.Subscribe("home/a", 0)
			if code := c.Subscribe("home/b", 0); code < 0x80 {
				h.Errorf("granted %v", code)
			}
		}},
		{"more retained messages than it may have", access.MayNotPublish, []string{"publish to home/b: not retained", "That is a limit"}, func(h *home) {
			h.must(h.accounts.ChangeUser(h.Context(), "ann", access.UserChange{Limits: &broker.Limits{RetainedMessages: 1}}))
			c := h.clean(packet.V311, "washer", "ann")
			c.Publish("home/a", "1", 0, true, 0)
			c.Publish("home/b", "1", 0, true, 0)
		}},
		{"TLS on the port without", access.NeverSeen, []string{"1883 (MQTT)"}, func(h *home) {
			brokertest.Dial(h.T, h.b, packet.V311).Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
		}},
		{"a name misspelt", access.NeverSeen, []string{`There is "wascher"`}, func(h *home) {
			h.clean(packet.V311, "wascher", "ann").Send(&packet.Disconnect{})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inHouse(t, access.Policy{}, func(h *home) { h.cfg.MaxPacketSize = 65_000 }, func(h *home) {
				h.user("ann", "allow both home/#")
				h.user("den", "allow both home/#", "deny subscribe home/cam/#")
				tt.make(h)
				synctest.Wait()
				brokertest.Pass(2 * time.Second)
				all := h.explain.Why("washer").Findings
				said := all[0].Text + " " + all[0].Advice
				if all[0].Cause != tt.cause {
					h.Fatalf("%+v", all)
				}
				for _, words := range tt.words {
					if !strings.Contains(said, words) {
						t.Errorf("%q is missing in %q", words, said)
					}
				}
				if strings.HasPrefix(tt.name, "TLS") && (len(all) < 2 || all[1].Cause != access.Cause(broker.WrongDoor) || !strings.Contains(all[1].Text, "wants encryption (TLS)")) {
					t.Errorf("%+v", all)
				}
			})
		})
	}
}

// A user without rights is the cause, whatever of its clients somebody asks about.
func TestWhyNoRightsByClient(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("poor")
		h.clean(packet.V311, "washer", "poor").Subscribe("home/#", 0)
		if f := h.explain.Why("washer").Findings; f[0].Cause != access.NoRights || f[1].Cause != access.MayNotSubscribe {
			t.Errorf("%+v", f)
		}
	})
}

// A refusal that a login followed is over, and stays so when the client has gone again.
func TestWhyRefusalIsOver(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both #")
		h.try(packet.V311, "washer", "ann", "wrong", packet.Connect{CleanStart: true})
		brokertest.Pass(time.Second)
		h.clean(packet.V311, "washer", "ann").Send(&packet.Disconnect{})
		synctest.Wait()
		if f := h.explain.Why("washer").Findings; f[0].Cause != access.NotConnected || len(f) != 1 {
			t.Errorf("%+v", f)
		}
		// Of a user with many clients that are gone, one is told.
		for i := range 5 {
			h.clean(packet.V311, fmt.Sprint("c", i), "ann").Send(&packet.Disconnect{})
		}
		synctest.Wait()
		if f := h.explain.Why("ann").Findings; f[0].ClientID != "c4" || len(f) != 1 {
			t.Errorf("%+v", f)
		}
	})
}

// What was denied and is allowed by now is no reason any more; who only asks when it connects
// has to do so again. What another rule still denies stays.
func TestWhyDeniedIsOver(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann")
		c := h.clean(packet.V50, "washer", "ann")
		c.Publish("home/x", "1", 1, false, 1)
		c.Publish("other/x", "1", 1, false, 2)
		c.Send(&packet.Subscribe{PacketID: 3, Subscriptions: []packet.Subscription{{Filter: "home/set"}}})
		synctest.Wait()
		h.user("eve", "allow subscribe #")
		h.clean(packet.V50, "panel", "eve").Subscribe("home/x", 0)
		waits := func() (n int) {
			for _, f := range h.explain.Why("panel").Findings {
				if f.Cause == access.SourceDenied {
					n++
				}
			}
			return n
		}
		if waits() != 1 {
			t.Error("who waits for home/x is not told of the sender")
		}
		told := func() (texts []string) {
			for _, f := range h.explain.Why("washer").Findings {
				if f.Cause == access.MayNotPublish || f.Cause == access.MayNotSubscribe {
					texts = append(texts, f.Text)
				}
			}
			return texts
		}
		if got := told(); len(got) != 3 {
			t.Errorf("denied: %q", got)
		}
		h.must(h.accounts.AddRules(h.Context(), "ann", h.rules("allow both home/#")))
		got := told()
		if len(got) != 2 || !strings.Contains(strings.Join(got, "\n"), "asked for home/set when it was not allowed yet; it is now") || !strings.Contains(strings.Join(got, "\n"), "may not publish to other/x") {
			t.Errorf("allowed by now: %q", got)
		}
		if waits() != 0 {
			t.Error("who waits for home/x is told that its sender may not, which it may by now")
		}
	})
}

// Somebody who has many things denied, or tries many names, pushes out what is known of
// itself, not of others; and clients without a name are told apart by where they are.
func TestDenialsAreFair(t *testing.T) {
	d := access.NewDenials()
	id := func(user, from string) *broker.Identity {
		return &broker.Identity{User: user, ClientID: user, Remote: netip.MustParseAddrPort(from)}
	}
	at := time.Now()
	for i := range 20 {
		d.OnEvent(broker.Denied{At: at, Identity: id("ann", "10.0.0.2:1"), Action: broker.Publish, Name: fmt.Sprint("home/", i)})
		d.OnEvent(broker.Refused{At: at, ClientID: fmt.Sprint("lamp", i), User: "bob", Remote: "10.0.0.2:2", Reason: broker.WrongPassword})
	}
	// At the same address as mallory, and nameless elsewhere.
	d.OnEvent(broker.Denied{At: at, Identity: id("neighbour", "10.0.0.66:2"), Action: broker.Publish, Name: "home/x"})
	d.OnEvent(broker.Denied{At: at, Identity: id("", "10.0.0.4:1"), Action: broker.Publish, Name: "home/y"})
	d.OnEvent(broker.Refused{At: at, Remote: "10.0.0.3:1", Reason: broker.WrongDoor})
	d.OnEvent(broker.Refused{At: at, Remote: "[fd00::1]:1", Reason: broker.WrongDoor})
	for i := range 10_000 {
		d.OnEvent(broker.Denied{At: at.Add(time.Minute), Identity: id("mallory", "10.0.0.66:1"), Action: broker.Publish, Name: fmt.Sprint("x", i)})
		d.OnEvent(broker.Denied{At: at.Add(time.Minute), Identity: id("", "10.0.0.67:1"), Action: broker.Publish, Name: fmt.Sprint("x", i)})
		d.OnEvent(broker.Refused{At: at.Add(time.Minute), ClientID: fmt.Sprint("x", i), User: fmt.Sprint("u", i), Remote: fmt.Sprint("[fd66::", i%9, "]:1"), Reason: broker.UnknownUser})
		d.OnEvent(broker.Refused{At: at.Add(time.Minute), Remote: "[fd66::1]:1", Reason: broker.WrongDoor})
	}
	kept := map[string]int{}
	for _, n := range d.Recent() {
		kept[n.User]++
		if n.User == "" {
			kept[n.Remote]++
		}
	}
	if all := len(d.Recent()); all != 1000 {
		t.Errorf("%d are kept", all)
	}
	if kept["ann"] != 20 || kept["bob"] != 20 || kept["neighbour"] != 1 || kept["10.0.0.4:1"] != 1 || kept["10.0.0.3:1"] != 1 || kept["[fd00::1]:1"] != 1 {
		t.Errorf("of others are kept: ann %d, bob %d, neighbour %d, nameless %d, %d and %d", kept["ann"], kept["bob"], kept["neighbour"],
			kept["10.0.0.4:1"], kept["10.0.0.3:1"], kept["[fd00::1]:1"])
	}
}

// A retained value that is withheld is the whole answer: nobody is told that nothing came,
// or that the topic looks much like itself.
func TestWhyWithheldIsTheAnswer(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both #")
		h.user("lamp", "allow publish home/#")
		h.clean(packet.V311, "", "lamp").Publish("home/lamp", "on", 0, true, 0)
		synctest.Wait()
		h.become("lamp")
		h.clean(packet.V311, "panel", "ann").Subscribe("home/lamp", 0)
		f := h.explain.Why("panel").Findings
		if len(f) != 1 || f[0].Cause != access.Withheld || !strings.Contains(f[0].Text, "waits for home/lamp, but a client of user \"lamp\"") {
			t.Errorf("%+v", f)
		}
	})
}

// What kept a device out is said to be over when it is, and who was not let in again is not
// said to have left.
func TestWhyRefusalHasNoReasonAnyMore(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		bans := access.NewBans(access.NewMemoryRepository())
		h.explain.Bans = bans
		h.user("ann", "allow both #")
		h.clean(packet.V311, "washer", "ann").Send(new(packet.Disconnect))
		brokertest.Pass(time.Second)
		for _, tt := range []struct {
			name, over string
			refuse     func()
			mend       func()
		}{
			{"disabled", "the user is enabled by now", func() {
				off := true
				h.must(h.accounts.ChangeUser(h.Context(), "ann", access.UserChange{Disabled: &off}))
				h.try(packet.V311, "washer", "ann", password, packet.Connect{})
			}, func() {
				off := false
				h.must(h.accounts.ChangeUser(h.Context(), "ann", access.UserChange{Disabled: &off}))
			}},
			{"unknown", "there is a user of that name by now", func() {
				h.try(packet.V311, "washer", "bob", password, packet.Connect{})
			}, func() { h.user("bob") }},
			{"blocked", "the block is gone by now", func() {
				_, err := bans.Add(h.Context(), access.BanClient, "washer", "")
				h.must(err)
				h.denials.OnEvent(broker.Refused{At: time.Now(), ClientID: "washer", User: "ann", Remote: "192.168.1.7:4711", Reason: broker.Blocked})
			}, func() { h.must(bans.Lift(h.Context(), bans.List()[0].ID)) }},
		} {
			tt.refuse()
			brokertest.Pass(time.Second)
			for _, over := range []bool{false, true} {
				if over {
					tt.mend()
				}
				f := h.explain.Why("washer").Findings
				i := slices.IndexFunc(f, func(f access.Finding) bool { return strings.Contains(f.Text, tt.over) })
				if over != (i >= 0) || f[0].Cause == access.NotConnected {
					t.Errorf("%s, over %v: %+v", tt.name, over, f)
				}
			}
		}
	})
}
