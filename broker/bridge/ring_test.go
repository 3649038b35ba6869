package bridge

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// In a ring of bridges went round for ever what a client had written so that no bridge could
// add where it had been: a name that fills its place, or as many User Properties as may be.
func TestLoopsThatCannotBeMarked(t *testing.T) {
	var long packet.Properties
	long.AddUser(viaKey, strings.Repeat("x", 65_535))
	for name, properties := range map[string][]byte{
		"a name as long as may be": long.AppendForward(nil),
		"as many properties":       bytes.Repeat([]byte("\x26\x00\x01k\x00\x01v"), packet.MaxUserProperties),
	} {
		t.Run(name, func(t *testing.T) {
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
				m := broker.NewMessage("x/y", []byte("1"), 1, false)
				m.Properties = properties
				if err := sites[0].Publish(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond) // in the bubble: for ever while it goes round
				sites[0].say(t, "x/z", "2", 1, false)
				pass(time.Minute)
				want(t, sites[0], "x/y 1", "x/z 2", "x/z 2") // an honest one, once around
				want(t, sites[1], "x/z 2")
			})
		})
	}
}

// Another broker's packet was taken up to 256 MB, which could not be passed on.
func TestHostileSize(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hello []byte
	}{
		{"before it is known", nil},
		{"afterwards", (&packet.Connack{}).Append(nil, packet.V50)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, n := newSite(t), new(network)
				took := 0
				n.serve("far:1883", answering(tt.hello, func(nc net.Conn) {
					first := []byte{0x20, 0xff, 0xff, 0xff, 0x7f} // 256 MB
					if tt.hello != nil {
						first[0] = 0x30
					}
					for part := first; ; part = make([]byte, 64<<10) {
						n, err := nc.Write(part)
						if took += n; err != nil || took > 4<<20 {
							return
						}
					}
				}))
				m := manager(t, "near", near, n)
				set(t, m, settings("b", func(s *Settings) { s.RestartMin, s.RestartMax = time.Hour, 0 }, Topic{Pattern: "in/#", In: true, QoS: 1}))
				pass(replyTimeout)
				if s := m.Statuses()[0]; s.LastError == "" || took > 1<<20 {
					t.Errorf("%d bytes were taken: %+v", took, s)
				}
			})
		})
	}
}
