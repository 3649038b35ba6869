package broker_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

func likeMosquitto(c *broker.Config, _ *broker.Deps) { c.LikeMosquitto = true }

// What Mosquitto 2.1 answers to what is broken, byte by byte.
func TestMosquittoManners(t *testing.T) {
	mod := func(c *broker.Config, d *broker.Deps) {
		likeMosquitto(c, d)
		d.Store, d.Log = nil, slog.New(slog.DiscardHandler)
	}
	inWorld(t, mod, func(w *world) {
		x := &wire{world: w}
		for _, r := range []struct{ name, send, old, v5 string }{
			{"length that never ends", "30ffffffff01", "X", "X"},
			{"reserved type", "0000", "X", "e00182X"},
			{"PINGREQ with a body", "c00100", "X", "X"},
			{"PINGREQ with flags", "c100", "X", "e00181X"},
			{"PINGRESP", "d000", "X", "e00182X"},
			{"PINGRESP with a body", "d00100", "X", "X"},
			{"SUBACK with flags", "91{0001 ~ 00}", "X", "e00181X"},
			{"AUTH with flags", "f100", "X", "e00182X"},
			{"DISCONNECT of a server", "e0018b", "X", "X"},
			{"DISCONNECT with Server Reference", `e0{00 06 1c "abc"}`, "X", "X"},
			{"PUBLISH without Topic Name", `30{"" ~ 'x'}`, "X", "e00181X"},
			{"PUBLISH to a wildcard", `30{"a/#" ~ 'x'}`, "X", "e00181X"},
			{"PUBLISH with a control character", `30{0003 61 07 62 ~ 'x'}`, "X", "e00181X"},
			{"PUBLISH with U+0085", `30{0002 c2 85 ~ 'x'}`, "X", "e00181X"},
			{"PUBLISH with U+FFFE", `30{0003 ef bf be ~ 'x'}`, "X", "e00181X"},
			{"PUBLISH with U+00E4", `30{"ä" ~ 'x'}`, "", ""},
			{"PUBLISH to $share", `32{"$share/g/t" 0001 ~ 'x'}`, "40020001", "4003000187"},
			{"SUBSCRIBE id 0", `82{0000 ~ "a" 00}`, "X", "e00181X"},
			{"SUBSCRIBE with a control character", `82{0001 ~ 0003 61 1f 62 00}`, "X", "e00181X"},
			{"SUBSCRIBE to a/#/b", `82{0001 ~ "a/#/b" 00}`, "X", "e00181X"},
			{"SUBSCRIBE, a share without a filter", `82{0001 ~ "$share/g" 00}`, "X", "e00182X"},
			{"SUBSCRIBE, + as a share", `82{0001 ~ "$share/+/a" 00}`, "X", "e00182X"},
			{"SUBSCRIBE, # as a share", `82{0001 ~ "$share/#/a" 00}`, "X", "e00181X"},
			{"UNSUBSCRIBE id 0", `a2{0000 ~ "a"}`, "X", "e00181X"},
			{"UNSUBSCRIBE of nothing", `a2{0001 ~ ""}`, "X", "e00181X"},
			{"PUBREC for nothing", "50020009", "62020009", "62020009"},
			{"QoS 2 repeated", `34{"t" 0007 ~ 'x'} 3c{"t" 0007 ~ 'x'}`, "50020007 50020007", "50020007 50020007"},
			{"QoS 2 repeated again", `34{"t" 0007 ~ 'x'} 3c{"t" 0007 ~ 'x'} 3c{"t" 0007 ~ 'x'}`, "50020007 50020007 X", "50020007 50020007 e00182X"},
		} {
			x.one(packet.V311, r.name, encode(packet.V311, r.send), r.old)
			x.one(packet.V50, r.name, encode(packet.V50, r.send), r.v5)
		}
		for _, v := range []packet.Version{packet.V311, packet.V50} {
			for _, kind := range []struct{ qos, acks, want string }{
				{"01", "50020001", bad(v, packet.ProtocolError)}, {"01", "70020001", bad(v, packet.ProtocolError)},
				{"02", "40020001", bad(v, packet.ProtocolError)}, {"02", "70020001", bad(v, packet.ProtocolError)},
				{"02", "50020001 40020001", "62020001" + bad(v, packet.ProtocolError)},
				{"02", "50020001 50020001 70020001", "62020001 62020001"}, {"01", "40020001", ""},
			} {
				l := x.connect(v)
				l.send(encode(v, fmt.Sprintf(`82{0001 ~ "t" %s}`, kind.qos)))
				l.take()
				other := w.clean(packet.V311, "other")
				other.Publish("t", "x", 2, false, 1)
				l.take()
				l.send(encode(v, kind.acks))
				l.check("QoS "+kind.qos+" acknowledged by "+kind.acks, kind.want)
				l.end()
			}
		}
	})
}

// The same for CONNECT, where Mosquitto says more seldom what is wrong.
func TestMosquittoGreets(t *testing.T) {
	inWorld(t, likeMosquitto, func(w *world) {
		x := &wire{world: w}
		long := strings.Repeat("c", 60_000)
		for _, r := range []struct {
			name, send, want string
			v                packet.Version
		}{
			{"level 2", `10{"MQTT" 02 00 0000 "c"}`, "2003008400X", packet.V311},
			{"another protocol", `10{"MQTTx" 04 02 0000 "c"}`, "X", packet.V311},
			{"control character in the client identifier", `10{"MQTT" 04 02 0000 0002 61 01}`, "X", packet.V311},
			{"control character in the client identifier", `10{"MQTT" 05 02 0000 00 0002 61 01}`, "2003008500X", packet.V50},
			{"client identifier that is no text", `10{"MQTT" 05 02 0000 00 0002 61 ff}`, "2003008500X", packet.V50},
			{"user name that is no text", `10{"MQTT" 05 82 0000 00 "c" 0001 ff}`, "X", packet.V50},
			{"control character in the user name", `10{"MQTT" 05 82 0000 00 "c" 0001 1b}`, "X", packet.V50},
			{"no password", `10{"MQTT" 05 c2 0000 00 "c" "u"}`, "X", packet.V50},
			{"something behind it", `10{"MQTT" 05 02 0000 00 "c" "u"}`, "2003008100X", packet.V50},
			{"control character in the Will Topic", `10{"MQTT" 05 06 0000 00 "c" 00 0001 7f 0000}`, "X", packet.V50},
			{"will property twice", `10{"MQTT" 05 06 0000 00 "c" 04 0100 0100 "w" 0000}`, "2003008200X", packet.V50},
			{"Will under $CONTROL", `10{"MQTT" 05 06 0000 00 "c" 00 "$CONTROL/x" 0000}`, "X", packet.V50},
			{"Response Information wanted", `10{"MQTT" 05 02 0000 02 1901 "c"}`, accepted(packet.V50), packet.V50},
			{"a long client identifier", `10{"MQTT" 05 02 0000 00 "` + long + `"}`, accepted(packet.V50), packet.V50},
		} {
			x.first(r.v, r.name, encode(r.v, r.send), r.want)
		}
	})
}

// Mosquitto keeps a Will for its delay, although the session is gone, and forgets it
// when the client comes back. MQTT has it published at once.
func TestLateWill(t *testing.T) {
	gone := func(id string) packet.Connect {
		p := packet.Connect{ClientID: id, CleanStart: true, Will: &packet.Will{Topic: "gone/" + id, Payload: []byte("x"), Retain: true}}
		p.Will.Properties.SetWillDelay(10)
		return p
	}
	for _, like := range []bool{true, false} {
		t.Run(fmt.Sprint("like Mosquitto ", like), func(t *testing.T) {
			inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.LikeMosquitto = like }, func(w *world) {
				watcher := w.clean(packet.V50, "watcher")
				watcher.Subscribe("gone/#", 0)
				for _, id := range []string{"back", "away"} {
					c, _ := w.login(packet.V50, gone(id))
					c.Close()
				}
				if !like {
					w.expectPublish(watcher, "gone/back", "x", 0, false)
					w.expectPublish(watcher, "gone/away", "x", 0, false)
					return
				}
				brokertest.Pass(5 * time.Second)
				w.clean(packet.V50, "back")
				brokertest.Pass(4 * time.Second)
				watcher.Nothing()
				brokertest.Pass(2 * time.Second)
				w.expectPublish(watcher, "gone/away", "x", 0, false)
				watcher.Nothing()
				c, _ := w.login(packet.V50, gone("stopped"))
				c.Close()
				w.restart() // nothing would remember it
				if names := w.retainedNames(); !strings.Contains(fmt.Sprint(names), "gone/stopped") {
					w.Error(names)
				}
			})
		})
	}
}

// Who takes an identifier over does not make somebody else's Will disappear.
func TestLateWillOfAnother(t *testing.T) {
	inWorld(t, likeMosquitto, func(w *world) {
		watcher := w.clean(packet.V50, "watcher")
		watcher.Subscribe("gone", 0)
		p := packet.Connect{ClientID: "dev", HasUserName: true, UserName: "anna", CleanStart: true, Will: &packet.Will{Topic: "gone", Payload: []byte("x")}}
		p.Will.Properties.SetWillDelay(10)
		c, _ := w.login(packet.V50, p)
		c.Close()
		w.login(packet.V50, packet.Connect{ClientID: "dev", HasUserName: true, UserName: "bert", CleanStart: true})
		w.expectPublish(watcher, "gone", "x", 0, false)
	})
}

// The properties of a Will keep their order, as those of messages do.
func TestWillPropertiesInOrder(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		x := &wire{world: w}
		watcher := x.connect(packet.V50)
		watcher.send(encode(packet.V50, `82{0001 00 "t" 00}`))
		watcher.take()
		l := x.open(packet.V50)
		l.send(encode(packet.V50, `10{"MQTT" 05 06 0000 00 "c" {26"k""v" 08"r" 18 00000000 26"k""v" 0101 03"t"} "t" "p"}`))
		l.end()
		watcher.check("Will", `30{"t" {26"k""v" 08"r" 26"k""v" 0101 03"t"} 'p'}`)
	})
}

// Where the rules let them, clients of a stand-in for Mosquitto say for bridges
// whether they are connected.
func TestStateOfOthers(t *testing.T) {
	for _, like := range []bool{true, false} {
		inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.LikeMosquitto = like }, func(w *world) {
			c := w.clean(packet.V50, "dev")
			for i, name := range []string{"$SYS/broker/connection/dev/state", "$SYS/broker/connection/other/state", "$SYS/broker/connection/a/b/state", "$SYS/broker/connection//state", "$SYS/broker/uptime"} {
				c.Publish(name, "1", 1, true, uint16(i+1))
				a := w.expectAck(c, packet.TypePuback, uint16(i+1))
				if want := i == 0 || i == 1 && like; a.Code.Failed() == want {
					w.Errorf("like Mosquitto %v: %s: %s", like, name, a.Code)
				}
			}
		})
	}
}
