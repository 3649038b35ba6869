package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

func (w *world) retainedNames() []string {
	var names []string
	for m := range w.b.Retained("#") {
		names = append(names, m.Topic)
	}
	slices.Sort(names)
	return names
}

func TestDropRetained(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.clean(packet.V50, "p")
		for i := range 600 {
			p.Publish(fmt.Sprintf("home/%03d", i), "v", 0, true, 0)
		}
		p.Publish("keep", "v", 0, true, 0)
		synctest.Wait()
		s := w.clean(packet.V50, "s")
		s.Subscribe("home/000", 0)
		w.expectPublish(s, "home/000", "v", 0, true)

		var names []string
		for m := range w.b.Retained("home/#") {
			names = append(names, m.Topic)
		}
		names = append(names, "home/none", "$SYS/broker/uptime")
		before := w.b.Stats()
		dropped, err := w.b.DropRetained(w.Context(), names, false)
		if err != nil || len(dropped) != 600 {
			t.Fatalf("%d dropped, %v", len(dropped), err)
		}
		if got := w.retainedNames(); !slices.Equal(got, []string{"keep"}) {
			t.Errorf("%d are left", len(got))
		}
		if st := w.b.Stats(); before.Retained-st.Retained != 600 || before.RetainedBytes-st.RetainedBytes != 600*int64(len("home/000v")) {
			t.Errorf("the figures went down by %d messages, %d bytes", before.Retained-st.Retained, before.RetainedBytes-st.RetainedBytes)
		}
		w.restart()
		if got := w.retainedNames(); !slices.Equal(got, []string{"keep"}) {
			t.Errorf("%d come back with a restart", len(got))
		}

		// Put back, but not over what came meanwhile.
		p = w.clean(packet.V50, "p")
		p.Publish("home/001", "newer", 0, true, 0)
		synctest.Wait()
		restored, err := w.b.RestoreRetained(w.Context(), dropped, false)
		if err != nil || len(restored) != 599 {
			t.Fatalf("%d put back, %v", len(restored), err)
		}
		w.restart()
		if got := len(w.retainedNames()); got != 601 {
			t.Errorf("%d after another restart", got)
		}
		for m := range w.b.Retained("home/#") {
			if want := map[bool]string{true: "newer", false: "v"}[m.Topic == "home/001"]; string(m.Payload) != want || m.PublisherID != "p" || !m.Retain {
				t.Errorf("%s is %q of %q", m.Topic, m.Payload, m.PublisherID)
			}
		}
	})
}

func TestDropRetainedTellsWhenAsked(t *testing.T) {
	for _, tell := range []bool{false, true} {
		inWorld(t, nil, func(w *world) {
			p := w.clean(packet.V50, "p")
			p.Publish("homeassistant/sensor/x/config", "{}", 0, true, 0)
			synctest.Wait()
			s := w.clean(packet.V50, "s")
			s.Subscribe("#", 0)
			w.expectPublish(s, "homeassistant/sensor/x/config", "{}", 0, true)
			dropped, err := w.b.DropRetained(w.Context(), []string{"homeassistant/sensor/x/config"}, tell)
			if err != nil || len(dropped) != 1 {
				t.Fatalf("%d dropped, %v", len(dropped), err)
			}
			if tell {
				w.expectPublish(s, "homeassistant/sensor/x/config", "", 0, false)
			}
			if _, err := w.b.RestoreRetained(w.Context(), dropped, tell); err != nil {
				t.Fatal(err)
			}
			if tell {
				w.expectPublish(s, "homeassistant/sensor/x/config", "{}", 0, false)
			}
			s.Nothing()
		})
	}
}

func TestSubscribers(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		a := w.clean(packet.V50, "a")
		a.Subscribe("home/+", 1)
		a.Subscribe("other", 0)
		b, _ := w.durable(packet.V50, "b")
		b.Subscribe("$share/g/home/#", 2)
		b.Close()
		synctest.Wait()
		got := w.b.Subscribers("home/x")
		want := []broker.SubscriberInfo{
			{ClientID: "a", Connected: true, Filter: "home/+", QoS: 1, Receives: true},
			{ClientID: "b", Filter: "$share/g/home/#", QoS: 2, Receives: true},
		}
		for i := range got {
			got[i].Rule = broker.RuleRef{}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v", got)
		}
	})
}
