//go:build unix

package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/mosquitto"
	"hearthmq/broker/packet"
)

// BenchmarkRules is a QoS 0 fan-out over TCP to 500 clients of 500 users with 20 rules
// each, against the same where everybody may do everything. With "role" the users' rules
// are alike, with "own" all but one name the user or the client; "acl_file" are the latter
// as Mosquitto has them, nineteen lines of each user and a pattern. 20 topics a connection
// remembers; with 2,000 and 20,000 every message is a topic's first.
//
// An operation is a round: 500 messages to all 500 clients of each of five brokers,
// which take turns at going first. A round's price of rules is what the process used of
// the processors for them, over what it used in the same round without: reported are the
// medians of the rounds, since a machine changes its pace within seconds, and again/none is
// what two brokers alike differ by.
//
//	go test ./broker -run - -bench Rules -benchtime 40x
func BenchmarkRules(b *testing.B) {
	for _, topics := range []int{20, 2000, 20_000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) { benchRules(b, topics) })
	}
}

const (
	benchUsers   = 500
	benchWindow  = 50 // messages that are sent before the next wait for all
	benchWindows = 10 // of each broker in a round
)

func benchRules(b *testing.B, topics int) {
	kinds := []string{"none", "again", "role", "own", "acl_file"}
	batches, size := benchBatches(topics, benchWindow)
	houses := make([]*rulesHouse, len(kinds))
	for i, kind := range kinds {
		houses[i] = newRulesHouse(b, kind, batches, size)
	}
	spent, ratios := make([][]float64, len(kinds)), make([][]float64, len(kinds))
	for round := 0; b.Loop(); round++ {
		for turn := range kinds {
			i := (round + turn) % len(kinds)
			used := processorTime(b)
			for range benchWindows {
				houses[i].send(b)
			}
			used = processorTime(b) - used
			spent[i] = append(spent[i], float64(used)/float64(time.Microsecond)/(benchWindow*benchWindows))
		}
		for i := range kinds {
			ratios[i] = append(ratios[i], spent[i][round]/spent[0][round])
		}
	}
	b.ReportMetric(median(spent[0]), "cpu-µs/msg")
	for i, kind := range kinds[1:] {
		b.ReportMetric(median(ratios[i+1]), kind+"/none")
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// A rulesHouse is a broker with its 500 subscribers and a sender.
type rulesHouse struct {
	sender  net.Conn
	batches [][]byte // windows of messages, sent in turn
	size    int      // bytes of one of them at a subscriber
	next    int      // batch
	got     atomic.Int64
	want    int64
	told    chan struct{}
}

func newRulesHouse(b *testing.B, rules string, batches [][]byte, size int) *rulesHouse {
	deps := broker.Deps{Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{}, Log: slog.New(slog.DiscardHandler)}
	switch rules {
	case "role", "own":
		deps.Authorizer = manyUsers(b, rules == "own")
	case "acl_file":
		deps.Authorizer = manyLines(b)
	}
	br, err := broker.New(broker.DefaultConfig(), deps)
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = br.Serve(ctx, ln, broker.ListenerInfo{Name: "mqtt"}) }) // ends with the listener
	b.Cleanup(func() {
		cancel()
		ln.Close()
		_ = br.Shutdown(context.Background())
		wg.Wait()
	})
	dial := func(user string) net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		p := packet.Connect{Version: packet.V311, ClientID: user, CleanStart: true, HasUserName: true, UserName: user}
		if _, err := c.Write(p.Append(nil, packet.V311)); err != nil {
			b.Fatal(err)
		}
		discard(b, c, 4)
		return c
	}
	h := &rulesHouse{batches: batches, size: size, told: make(chan struct{}, 1)}
	for i := range benchUsers {
		c := dial(fmt.Sprint("user", i))
		s := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "home/+/+/state"}}}
		if _, err := c.Write(s.Append(nil, packet.V311)); err != nil {
			b.Fatal(err)
		}
		discard(b, c, 5)
		wg.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := c.Read(buf)
				h.got.Add(int64(n))
				select {
				case h.told <- struct{}{}:
				default:
				}
				if err != nil {
					return
				}
			}
		})
	}
	h.sender = dial("sender")
	for range benchWindows { // the first message of a topic asks the rules
		h.send(b)
	}
	return h
}

// send sends a window of messages and waits until all have it.
func (h *rulesHouse) send(b *testing.B) {
	if _, err := h.sender.Write(h.batches[h.next]); err != nil {
		b.Fatal(err)
	}
	h.next = (h.next + 1) % len(h.batches)
	for h.want += int64(benchWindow * h.size * benchUsers); h.got.Load() < h.want; {
		<-h.told
	}
}

// processorTime is what this process has used of the processors so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchBatches are messages on so many topics, as they go over the wire, window by window.
func benchBatches(topics, window int) (batches [][]byte, size int) {
	for first := 0; first < topics || first < window; first += window {
		var out []byte
		for i := range window {
			n := (first + i) % topics
			p := packet.Publish{Topic: fmt.Appendf(nil, "home/r%05d/device%02d/state", n, n%20), Payload: make([]byte, 32)}
			before := len(out)
			out = p.Append(out, packet.V311)
			size = len(out) - before
		}
		batches = append(batches, out)
	}
	return batches, size
}

func discard(b *testing.B, c net.Conn, n int) {
	b.Helper()
	for n > 0 {
		got, err := c.Read(make([]byte, n))
		if err != nil {
			b.Fatal(err)
		}
		n -= got
	}
}

// manyUsers knows 500 users with 20 rules each: ten of their own and ten by a role that
// all have, or, with own, one by the role and nineteen that are nobody else's.
func manyUsers(b *testing.B, own bool) *access.Directory {
	rules := func(from, n int, filter string) (list []access.Rule) {
		for i := range n {
			list = append(list, access.NewRule(access.Allow, access.ScopeBoth, fmt.Sprintf(filter, from+i)))
		}
		return list
	}
	role, each := rules(10, 10, "home/+/device%02d/#"), rules(0, 10, "home/+/device%02d/#")
	if own {
		role = []access.Rule{access.NewRule(access.Allow, access.ScopeBoth, "home/+/+/state")}
		each = append(rules(0, 10, "home/%%u/device%02d/#"), rules(10, 9, "home/%%c/device%02d/#")...)
	}
	repo := access.NewMemoryRepository()
	if _, err := repo.InsertRole(b.Context(), access.Role{Name: "r", Rules: role}, access.AuditEntry{}); err != nil {
		b.Fatal(err)
	}
	for i := range benchUsers + 1 {
		u := access.User{Name: fmt.Sprint("user", i), Version: 1, Roles: []string{"r"}, Rules: each}
		if i == benchUsers {
			u.Name = "sender"
		}
		if _, err := repo.InsertUser(b.Context(), u, access.AuditEntry{}); err != nil {
			b.Fatal(err)
		}
	}
	d := access.NewDirectory(access.Policy{})
	if err := access.NewAccounts(repo, d, nil, nil).Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	return d
}

// manyLines is manyUsers with an acl_file.
func manyLines(b *testing.B) *mosquitto.Guard {
	var lines strings.Builder
	for u := range benchUsers + 1 {
		name := fmt.Sprint("user", u)
		if u == benchUsers {
			name = "sender"
		}
		fmt.Fprintf(&lines, "user %s\n", name)
		for i := range 19 {
			fmt.Fprintf(&lines, "topic home/%s/device%02d/#\n", name, i)
		}
	}
	lines.WriteString("pattern read home/%u/+/state\npattern home/+/+/state\n")
	s, found := mosquitto.NewSetup(b.Context(), mosquitto.Uploaded{
		"m.conf": []byte("allow_anonymous true\nacl_file acl\n"), "acl": []byte(lines.String()),
	}, mosquitto.SetupOptions{File: "m.conf"})
	if s == nil {
		b.Fatal(found)
	}
	return mosquitto.NewGuard(s, nil)
}
