package broker_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// case A18: a client that comes back again and again waits for its turn, one a second and ten
// seconds at most. Who would have to wait longer is told so at once and does not count, or
// it would never get in again; after half a minute of rest all is as it was.
func TestReconnectLoopIsRefused(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		knock := func(n int) (list []*brokertest.Client) {
			for i := range n {
				c := w.from(fmt.Sprintf("192.0.2.1:%d", 1000+i), packet.V50)
				c.Send(&packet.Connect{Version: packet.V50, ClientID: "loop", CleanStart: true})
				list = append(list, c)
			}
			synctest.Wait()
			return list
		}
		answers := func(list []*brokertest.Client) (in, refused int, waiting []*brokertest.Client) {
			for _, c := range list {
				p, ok := c.Peek()
				if !ok {
					waiting = append(waiting, c)
					continue
				}
				switch a := p.(*packet.Connack); a.Code {
				case packet.Success:
					in++
				case packet.ServerUnavailable, packet.ConnectionRateExceeded:
					refused++
				default:
					t.Errorf("answered %v", a.Code)
				}
			}
			return in, refused, waiting
		}
		in, refused, waiting := answers(knock(49)) // an address may not have more at a time
		if in != 30 || refused != 9 || len(waiting) != 10 {
			t.Fatalf("of 49 at once %d were let in, %d refused, %d wait; want 30, 9 and 10", in, refused, len(waiting))
		}
		for second := 1; second <= 10; second++ {
			brokertest.Pass(time.Second)
			if in, refused, rest := answers(waiting); in != second || refused > 0 || len(rest) != 10-second {
				t.Fatalf("after %d s %d were let in, %d refused, %d wait", second, in, refused, len(rest))
			}
		}
		// The nine that were refused owe nothing: the next one waits for a second.
		_, _, waiting = answers(knock(1))
		if len(waiting) != 1 {
			t.Fatal("the next one does not wait")
		}
		brokertest.Pass(time.Second)
		if in, _, _ := answers(waiting); in != 1 {
			t.Error("the next one waits for more than a second")
		}
		brokertest.Pass(30 * time.Second)
		if in, _, waiting := answers(knock(31)); in != 30 || len(waiting) != 1 {
			t.Errorf("half a minute later %d were let in and %d wait, want 30 and 1", in, len(waiting))
		}
	})
}

// This machine itself and exempt networks may come back as they like (case A18); one client in
// an IPv6 network of its own is one, whatever address of it it uses.
func TestReconnectLoopOfExempt(t *testing.T) {
	mod := func(cfg *broker.Config, _ *broker.Deps) {
		cfg.ExemptAddresses = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	}
	inWorld(t, mod, func(w *world) {
		come := func(from string) (waits bool) {
			c := w.from(from, packet.V50)
			in := w.connect(c, "loop", "") == packet.Success
			c.Close()
			synctest.Wait()
			return !in
		}
		for _, tt := range []struct {
			what  string
			from  func(i int) string
			waits bool
		}{
			{"this machine", func(i int) string { return "127.0.0.1:1000" }, false},
			{"this machine by IPv6", func(i int) string { return "[::1]:1000" }, false},
			{"an exempt one", func(i int) string { return "198.51.100.7:1000" }, false},
			{"another", func(i int) string { return "203.0.113.7:1000" }, true},
			{"another, as IPv6 has it", func(i int) string { return "[::ffff:203.0.113.8]:1000" }, true},
			{"one network of IPv6", func(i int) string { return fmt.Sprintf("[2001:db8:0:1::%x]:1000", i+1) }, true},
			{"many networks of IPv6", func(i int) string { return fmt.Sprintf("[2001:db8:1:%x::1]:1000", i) }, false},
			{"many addresses", func(i int) string { return fmt.Sprintf("203.0.113.%d:1000", 100+i) }, false},
		} {
			waited := -1
			for i := range 31 {
				if come(tt.from(i)) {
					waited = i
					break
				}
			}
			if want := map[bool]int{true: 30, false: -1}[tt.waits]; waited != want {
				t.Errorf("%s: connection %d had to wait, want %d", tt.what, waited, want)
			}
			brokertest.Pass(20 * time.Second)
		}
	})
}
