package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// traceText is a trace as lines without times and sizes.
func traceText(t *broker.Trace) string {
	var b strings.Builder
	for _, p := range t.After(0, 1000) {
		way := "<"
		if p.In {
			way = ">"
		}
		fmt.Fprintf(&b, "%s %s", way, p.Type)
		if p.Topic != "" {
			fmt.Fprintf(&b, " %s=%q/%d q%d", p.Topic, p.Payload, p.PayloadSize, p.QoS)
		}
		fmt.Fprintf(&b, " [%s]\n", p.Detail)
	}
	return b.String()
}

func TestTrace(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		early := w.clean(packet.V50, "lamp") // connected before its trace begins
		other := w.clean(packet.V311, "other")
		trace, err := w.b.Trace("lamp")
		if err != nil {
			t.Fatal(err)
		}
		early.Subscribe("lamp/#", 1)
		other.Publish("lamp/set", "on", 0, false, 0)
		other.Publish("lamp/set", "off", 1, false, 7)
		early.All()
		early.Send(ack(packet.TypePuback, 1))
		early.All()
		early.Send(&packet.Pingreq{})
		early.All()
		p := &packet.Publish{Topic: []byte("lamp/state"), Payload: []byte(strings.Repeat("x", 1000)), QoS: 1, PacketID: 9}
		early.Send(p)
		early.All()
		early.Send(&packet.Disconnect{})
		early.All()

		again, _ := w.login(packet.V50, packet.Connect{ClientID: "lamp", HasUserName: true, UserName: "bob", HasPassword: true,
			Password: []byte("canary-password"), CleanStart: true, Will: &packet.Will{Topic: "lamp/gone", Payload: []byte("x")}})
		again.Write([]byte{0x00, 0x00}) // nothing of MQTT
		again.All()

		got := traceText(trace)
		for _, want := range []string{
			`> SUBSCRIBE ["lamp/#" QoS 1]`, "< SUBACK [", `< PUBLISH lamp/set="on"/2 q0 []`, `< PUBLISH lamp/set="off"/3 q1 []`,
			"> PUBACK []\n", "> PINGREQ []\n< PINGRESP []\n", `/1000 q1 []`, "< PUBACK [", "> DISCONNECT [",
			"< connection ended [client disconnected]\n> CONNECT [MQTT", `client "lamp", user "bob", a password, keep alive`, `will "lamp/gone" (QoS 0, retain false)`,
			"< CONNACK [", "< DISCONNECT [", "< connection ended [",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("lacks %q:\n%s", want, got)
			}
		}
		if strings.Contains(got, "canary") || strings.Contains(got, strings.Repeat("x", 257)) { // case W17
			t.Errorf("too much is told:\n%s", got)
		}
		if strings.Contains(got, "7]") || strings.Contains(got, "other") {
			t.Errorf("another client's packets:\n%s", got)
		}
		trace.Stop()
		n := len(trace.After(0, 1000))
		last, _ := w.login(packet.V311, packet.Connect{ClientID: "lamp", CleanStart: true})
		last.Publish("a", "b", 0, false, 0)
		last.All()
		if got := trace.After(0, 1000); len(got) != n || got[n-1].Seq != uint64(n) {
			t.Errorf("goes on after its end: %d packets, then %d", n, len(got))
		}
		if list := trace.After(uint64(n)-2, 1); len(list) != 1 || list[0].Seq != uint64(n)-1 {
			t.Errorf("after the last but two: %v", list)
		}
	})
}

func TestTraceOfRefusedAndBounds(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		trace, err := w.b.Trace("lamp")
		if err != nil {
			t.Fatal(err)
		}
		if same, err := w.b.Trace("lamp"); err != nil || same != trace {
			t.Error("a second trace of the same client", err)
		}
		var all []*broker.Trace
		for i := 0; ; i++ {
			other, err := w.b.Trace(fmt.Sprint("other-", i))
			if err != nil {
				if i != 7 {
					t.Errorf("%d others, then %v", i, err)
				}
				break
			}
			all = append(all, other)
		}
		for _, o := range all {
			o.Stop()
			o.Stop()
		}
		c := w.clean(packet.V311, "lamp")
		for range 3000 {
			c.Publish("a", "b", 0, false, 0)
		}
		c.All()
		list := trace.After(0, 10_000)
		if len(list) != 2000 || list[0].Seq < 900 || list[1999].Seq != list[0].Seq+1999 {
			t.Errorf("%d packets from %d on", len(list), list[0].Seq)
		}
	})
}
