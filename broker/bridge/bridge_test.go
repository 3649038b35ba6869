package bridge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// Messages go where the topics say, under the names of the other side.
func TestTopics(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		near, far, n := newSite(t), newSite(t), new(network)
		n.put("far:1883", far)
		m := manager(t, "near", near, n)
		set(t, m, settings("b", func(s *Settings) { s.Version = v },
			Topic{Pattern: "up/#", Out: true, QoS: 1},
			Topic{Pattern: "down/+", In: true, QoS: 2},
			Topic{Pattern: "#", Out: true, QoS: 0, Local: "mine/", Remote: "theirs/near/"},
			Topic{Pattern: "both/#", In: true, Out: true, QoS: 1, Remote: "x/"},
			Topic{Local: "one", Remote: "other/one", In: true, Out: true, QoS: 1},
		))
		state(t, m, Connected)
		near.say(t, "up/a", "1", 1, false)
		near.say(t, "mine/a/b", "2", 2, false)
		near.say(t, "both/c", "3", 1, false)
		near.say(t, "one", "4", 0, false)
		near.say(t, "elsewhere", "5", 1, false)
		pass(time.Second)
		want(t, far, "up/a 1", "theirs/near/a/b 2", "x/both/c 3", "other/one 4")
		want(t, near, "up/a 1", "mine/a/b 2", "both/c 3", "one 4", "elsewhere 5") // nothing came back
		far.say(t, "down/a", "1", 2, false)
		far.say(t, "down/a/b", "2", 1, false)
		far.say(t, "x/both/c", "3", 1, false)
		far.say(t, "other/one", "4", 1, false)
		far.say(t, "up/a", "5", 1, false)
		pass(time.Second)
		want(t, near, "down/a 1", "both/c 3", "one 4")
		want(t, far, "down/a 1", "down/a/b 2", "x/both/c 3", "other/one 4", "up/a 5")
		if s := state(t, m, Connected); s.Out != 4 || s.In != 3 || s.Dropped != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// RETAIN goes along, and what was retained before the bridge stood.
func TestRetain(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		near, far, n := newSite(t), newSite(t), new(network)
		n.put("far:1883", far)
		near.say(t, "a/old", "1", 1, true)
		far.say(t, "b/old", "2", 1, true)
		m := manager(t, "near", near, n)
		topics := []Topic{{Pattern: "a/#", Out: true, QoS: 1}, {Pattern: "b/#", In: true, QoS: 1}}
		set(t, m, settings("b", func(s *Settings) { s.Version = v }, topics...))
		near.say(t, "a/new", "3", 1, true)
		far.say(t, "b/new", "4", 1, true)
		pass(time.Second)
		if !far.holds("a/old") || !far.holds("a/new") || !near.holds("b/old") {
			t.Error("retained messages are missing")
		}
		if v != packet.V31 && !near.holds("b/new") {
			t.Error("a message published with RETAIN is not retained here")
		}
		set(t, m, settings("b", func(s *Settings) { s.Version, s.DropRetain = v, true }, topics...))
		near.say(t, "a/drop", "5", 1, true)
		pass(time.Second)
		if far.holds("a/drop") {
			t.Error("retained against drop_retain")
		}
	})
}

func (s *site) holds(topic string) bool {
	for range s.Retained(topic) {
		return true
	}
	return false
}

// What comes while the other side is away waits, and QoS 2 comes once over any number
// of cuts.
func TestCuts(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		seed := uint64(time.Now().UnixNano()) + rand.Uint64()
		t.Log("seed", seed)
		rnd := rand.New(rand.NewPCG(seed, 0))
		near, far, n := newSite(t), newSite(t), new(network)
		m := manager(t, "near", near, n)
		set(t, m, settings("b", func(s *Settings) { s.Version = v },
			Topic{Pattern: "out", Out: true, QoS: 2}, Topic{Pattern: "in", In: true, QoS: 2}))
		state(t, m, Waiting)
		var wantOut, wantIn []string
		for i := range 50 { // never reached so far
			near.say(t, "out", fmt.Sprint(i), 2, false)
			wantOut = append(wantOut, fmt.Sprint("out ", i))
		}
		n.put("far:1883", far)
		pass(10 * time.Second)
		state(t, m, Connected)
		for i := range 400 {
			near.say(t, "out", fmt.Sprint(50+i), 2, false)
			wantOut = append(wantOut, fmt.Sprint("out ", 50+i))
			far.say(t, "in", fmt.Sprint(i), 2, false)
			wantIn = append(wantIn, fmt.Sprint("in ", i))
			if rnd.IntN(15) == 0 {
				n.cut()
			}
			if rnd.IntN(20) == 0 {
				pass(time.Duration(rnd.IntN(6000)) * time.Millisecond)
			}
		}
		pass(time.Minute)
		only := func(s *site, topic string) []string {
			return slices.DeleteFunc(s.take(), func(m string) bool { return m[:len(topic)+1] != topic+" " })
		}
		if got := only(far, "out"); !slices.Equal(got, wantOut) {
			t.Errorf("%d messages out, want %d in order: %q", len(got), len(wantOut), got)
		}
		if got := only(near, "in"); !slices.Equal(got, wantIn) {
			t.Errorf("%d messages in, want %d in order", len(got), len(wantIn))
		}
	})
}

// A side that loses its session does not take messages for ones that it had.
func TestSessionLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, n := newSite(t), newSite(t), new(network)
		n.put("far:1883", far)
		m := manager(t, "near", near, n)
		set(t, m, settings("b", nil, Topic{Pattern: "out", Out: true, QoS: 2}, Topic{Pattern: "in", In: true, QoS: 2}))
		for i := range 30 {
			near.say(t, "out", fmt.Sprint(i), 2, false)
			far.say(t, "in", fmt.Sprint(i), 2, false)
			switch {
			case i%10 == 3:
				if err := far.DeleteSession("b-id"); err != nil {
					t.Fatal(err)
				}
			case i%10 == 7:
				if err := near.DeleteSession("local.b-id"); err != nil {
					t.Fatal(err)
				}
			}
			pass(10 * time.Second)
			state(t, m, Connected)
			near.say(t, "out", fmt.Sprint("x", i), 2, false)
			far.say(t, "in", fmt.Sprint("x", i), 2, false)
			pass(time.Second)
			if got := far.take(); !slices.Contains(got, fmt.Sprint("out x", i)) {
				t.Errorf("%d: out: %q", i, got)
			}
			if got := near.take(); !slices.Contains(got, fmt.Sprint("in x", i)) {
				t.Errorf("%d: in: %q", i, got)
			}
		}
	})
}

// A bridge that stands in Mosquitto's place takes over what waits for it on the other
// side, though its session here is new; one of our own begins anew on both sides.
func TestKeepRemote(t *testing.T) {
	for _, keep := range []bool{true, false} {
		eachVersion(t, func(t *testing.T, v packet.Version) {
			near, far, n := newSite(t), newSite(t), new(network)
			n.put("far:1883", far)
			old, _ := brokertest.Login(t, far.Broker, packet.V311, packet.Connect{ClientID: "b-id"})
			old.Subscribe("in", 1)
			old.Close()
			far.say(t, "in", "waits", 1, false)
			set(t, manager(t, "near", near, n), settings("b", func(s *Settings) { s.Version, s.LikeMosquitto, s.SessionExpiry = v, keep, 1<<32-1 }, Topic{Pattern: "in", In: true, QoS: 1}))
			far.say(t, "in", "comes", 1, false)
			pass(time.Second)
			if keep {
				want(t, near, "in waits", "in comes")
			} else {
				want(t, near, "in comes")
			}
		})
	}
}

// Three brokers in a ring, and a bridge to oneself: messages come to an end (case W21).
func TestLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		names := []string{"a", "b", "c"}
		var sites []*site
		for _, name := range names {
			s := newSite(t)
			sites = append(sites, s)
			n.put(name+":1883", s)
		}
		for i, name := range names {
			m := manager(t, name, sites[i], n)
			set(t, m, settings("to-next-of-"+name, func(s *Settings) { s.Addresses = []string{names[(i+1)%3] + ":1883"} },
				Topic{Pattern: "x/#", Out: true, QoS: 1}))
		}
		sites[0].say(t, "x/y", "1", 1, false)
		pass(time.Minute)
		want(t, sites[0], "x/y 1", "x/y 1") // its own, and once around
		want(t, sites[1], "x/y 1")
		want(t, sites[2], "x/y 1")

		m := manager(t, "self", sites[0], n)
		set(t, m, settings("self", func(s *Settings) { s.Addresses = []string{"a:1883"} }, Topic{Pattern: "self/#", Out: true, QoS: 1}))
		sites[0].say(t, "self/x", "1", 1, false)
		pass(time.Minute)
		want(t, sites[0], "self/x 1", "self/x 1")
	})
}

// The names of a topic grow with each round where the mapping says so: hops end it.
func TestHopLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		var sites []*site
		for i := range maxHops + 3 {
			s := newSite(t)
			sites = append(sites, s)
			n.put(fmt.Sprintf("s%d:1883", i), s)
		}
		for i := range len(sites) - 1 {
			m := manager(t, fmt.Sprint("s", i), sites[i], n)
			set(t, m, settings("b", func(s *Settings) {
				s.Addresses, s.ClientID = []string{fmt.Sprintf("s%d:1883", i+1)}, fmt.Sprint("from", i)
			},
				Topic{Pattern: "x", Out: true, QoS: 1}))
		}
		sites[0].say(t, "x", "1", 1, false)
		pass(time.Minute)
		for i, s := range sites {
			if got := s.take(); (len(got) == 1) != (i <= maxHops) {
				t.Errorf("site %d: %q", i, got)
			}
		}
	})
}

func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, n := newSite(t), newSite(t), new(network)
		m := manager(t, "near", near, n)
		topics := []Topic{{Pattern: "out", Out: true, QoS: 1}}
		local := "$SYS/broker/connection/b-id/state"
		value := func(s *site) string {
			for msg := range s.Retained(local) {
				return string(msg.Payload)
			}
			return ""
		}

		// Unreachable, with growing pauses; then both addresses, the first preferred.
		set(t, m, settings("b", func(s *Settings) { s.Addresses, s.NotifyLocal = []string{"far:1883", "second:1883"}, false }, topics...))
		if s := state(t, m, Waiting); s.LastError != "it can't be reached" || value(near) != "0" {
			t.Errorf("%+v, state %q", s, value(near))
		}
		second := newSite(t)
		n.put("second:1883", second)
		pass(20 * time.Second)
		if s := state(t, m, Connected); s.Address != "second:1883" || value(near) != "1" || value(second) != "1" {
			t.Errorf("%+v, states %q %q", s, value(near), value(second))
		}
		n.put("far:1883", far)
		pass(2 * time.Minute)
		if s := state(t, m, Connected); s.Address != "far:1883" || value(far) != "1" || value(second) != "0" {
			t.Errorf("not back at the first address: %+v, states %q %q", s, value(far), value(second))
		}
		n.cut()
		pass(100 * time.Millisecond)
		if value(near) != "0" || value(far) != "0" {
			t.Errorf("after the cut: %q, %q", value(near), value(far))
		}

		// Lazy: rests until enough is there, and rests again.
		set(t, m, settings("b", func(s *Settings) { s.Start, s.Threshold, s.IdleTimeout = Lazy, 3, 30*time.Second }, topics...))
		state(t, m, Resting)
		near.say(t, "out", "1", 1, false)
		near.say(t, "out", "2", 1, false)
		pass(10 * time.Second)
		state(t, m, Resting)
		near.say(t, "out", "3", 1, false)
		pass(5 * time.Second)
		state(t, m, Connected)
		want(t, far, "out 1", "out 2", "out 3")
		pass(time.Minute)
		state(t, m, Resting)

		// Once: lost is lost.
		set(t, m, settings("b", func(s *Settings) { s.Start = Once }, topics...))
		state(t, m, Connected)
		n.cut()
		pass(time.Minute)
		state(t, m, Ended)

		// Disabled, the queue stays; deleted, it goes.
		set(t, m, settings("b", func(s *Settings) { s.Disabled = true }, topics...))
		state(t, m, Off)
		near.say(t, "out", "4", 1, false)
		set(t, m, settings("b", nil, topics...))
		pass(time.Second)
		want(t, far, "out 4")
		set(t, m)
		if _, _, err := near.Session("local.b-id"); err == nil || len(m.Statuses()) != 0 {
			t.Error("a deleted bridge left something")
		}
	})
}

// A changed bridge does not go on with the topics that it had.
func TestChangedTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, n := newSite(t), newSite(t), new(network)
		n.put("far:1883", far)
		m := manager(t, "near", near, n)
		set(t, m, settings("b", nil, Topic{Pattern: "a", In: true, Out: true, QoS: 1}, Topic{Pattern: "b", In: true, Out: true, QoS: 1}))
		set(t, m, settings("b", nil, Topic{Pattern: "b", In: true, Out: true, QoS: 1}))
		near.say(t, "a", "1", 1, false)
		near.say(t, "b", "2", 1, false)
		pass(time.Second)
		want(t, far, "b 2")
		near.take()
		far.say(t, "a", "3", 1, false)
		far.say(t, "b", "4", 1, false)
		pass(time.Second)
		want(t, near, "b 4")
	})
}

func TestParseTopics(t *testing.T) {
	text := "sensors/#\n\n topic  a/b both 2 here/ there/ \n\"with space\" in 1 \"\" x/\n\"\" in 0 one two\n"
	list, err := ParseTopics(text)
	want := []Topic{
		{Pattern: "sensors/#", Out: true},
		{Pattern: "a/b", In: true, Out: true, QoS: 2, Local: "here/", Remote: "there/"},
		{Pattern: "with space", In: true, QoS: 1, Remote: "x/"},
		{In: true, Local: "one", Remote: "two"},
	}
	if err != nil || !slices.Equal(list, want) {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, x := range want { // and back
		if got, err := ParseTopics(x.String()); err != nil || len(got) != 1 || got[0] != x {
			t.Errorf("%s: %+v, %v", x, got, err)
		}
	}
	for _, bad := range []string{"a b", "a in 3", "a in 1 x y z", "\"a", "\"a\"b in", "\"\" out", "a/#/b out", "a out 1 +/ x"} {
		if list, err := ParseTopics(bad); err == nil {
			t.Errorf("%q: %+v", bad, list)
		}
	}
}
