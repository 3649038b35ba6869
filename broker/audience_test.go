package broker_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// naiveMatch is section 4.7 in the plainest words, for names that don't begin with $.
func naiveMatch(filter, name []string) bool {
	switch {
	case len(filter) == 1 && filter[0] == "#":
		return true
	case len(filter) == 0 || len(name) == 0:
		return len(filter) == len(name)
	case filter[0] != "+" && filter[0] != name[0]:
		return false
	}
	return naiveMatch(filter[1:], name[1:])
}

func matchesPlainly(filter, name string) bool {
	return naiveMatch(strings.Split(filter, "/"), strings.Split(name, "/"))
}

// who is a client of TestAudiences with what it asked for.
type who struct {
	*brokertest.Client
	user    string
	subs    map[string]uint32 // filter → identifier
	noLocal map[string]bool
}

// Topics that share an audience against counting out: clients subscribe and leave, rules
// change, and each message reaches exactly who asked for it and may have it, with the
// identifiers of exactly the subscriptions that match (cases A3, A6, A8).
func TestAudiences(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	level := func(more ...string) string {
		all := append([]string{"a", "b", "c"}, more...)
		return all[r.IntN(len(all))]
	}
	filter := func() string {
		f := make([]string, 1+r.IntN(3))
		for i := range f {
			f[i] = level("+", "+")
		}
		if r.IntN(3) == 0 {
			f[len(f)-1] = "#"
		}
		return strings.Join(f, "/")
	}
	name := func() string {
		n := make([]string, 1+r.IntN(3))
		for i := range n {
			n[i] = level(fmt.Sprint("z", r.IntN(3)))
		}
		return strings.Join(n, "/")
	}
	rules := func() (list []access.Rule) {
		for range 1 + r.IntN(4) {
			list = append(list, access.NewRule([]access.Effect{access.Allow, access.Allow, access.Deny}[r.IntN(3)], access.ScopeSubscribe, filter()))
		}
		return append(list, access.NewRule(access.Allow, access.ScopePublish, "#"))
	}
	repo, dir := access.NewMemoryRepository(), access.NewDirectory(access.Policy{})
	accounts := access.NewAccounts(repo, dir, nil, nil)
	current := make(map[string][]access.Rule)
	for i := range 4 {
		user := fmt.Sprint("user", i)
		current[user] = rules()
		if _, err := repo.InsertUser(t.Context(), access.User{Name: user, Version: 1, Rules: current[user]}, access.AuditEntry{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := accounts.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	may := func(user, name string) bool {
		allowed := false
		for _, rule := range current[user] {
			if rule.Scope != access.ScopePublish && matchesPlainly(rule.Filter, name) {
				if rule.Effect == access.Deny {
					return false
				}
				allowed = true
			}
		}
		return allowed
	}
	steps := 3000
	if testing.Short() {
		steps = 600
	}
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Authorizer, d.Log = dir, slog.New(slog.DiscardHandler) }, func(w *world) {
		accounts.SetRevalidator(w.b)
		var clients []*who
		join := func(i int) *who {
			user := fmt.Sprint("user", i%4)
			c, _ := w.login(packet.V50, packet.Connect{ClientID: fmt.Sprint("c", i), CleanStart: true, HasUserName: true, UserName: user})
			return &who{Client: c, user: user, subs: make(map[string]uint32), noLocal: make(map[string]bool)}
		}
		for i := range 8 {
			clients = append(clients, join(i))
		}
		reached := 0
		for step := range steps {
			i := r.IntN(len(clients))
			c := clients[i]
			switch n := r.IntN(40); {
			case n < 3:
				f, own := filter(), r.IntN(4) == 0
				s := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: f, NoLocal: own}}}
				s.Properties.SubscriptionIDs = []uint32{uint32(step + 1)}
				c.Send(&s)
				ack, ok := c.Next().(*packet.Suback)
				if !ok {
					t.Fatal("no SUBACK")
				}
				if ack.Codes[0] < 0x80 {
					c.subs[f], c.noLocal[f] = uint32(step+1), own
				}
			case n == 3:
				for f := range c.subs {
					c.Send(&packet.Unsubscribe{PacketID: 1, Filters: []string{f}})
					c.Next()
					delete(c.subs, f)
					break
				}
			case n == 4:
				c.Close()
				clients[i] = join(i)
			case n == 5:
				now := rules()
				if err := accounts.ChangeUser(t.Context(), c.user, access.UserChange{Rules: &now}); err != nil {
					t.Fatal(err)
				}
				current[c.user] = now
				for _, x := range clients { // what is not allowed any more at all is dropped
					if x.user == c.user {
						for f := range x.subs {
							if !dir.Authorize(&broker.Identity{User: x.user, ClientID: "x"}, broker.Subscribe, f).Allow {
								delete(x.subs, f)
							}
						}
					}
				}
			default:
				topic := name()
				c.Publish(topic, fmt.Sprint(step), 0, false, 0)
				for j, x := range clients {
					var want []uint32
					for f, id := range x.subs {
						if matchesPlainly(f, topic) && !(x == c && x.noLocal[f]) {
							want = append(want, id)
						}
					}
					if !may(x.user, topic) {
						want = nil
					}
					var got []uint32
					for _, p := range x.All() {
						m, ok := p.(*packet.Publish)
						if !ok || string(m.Payload) != fmt.Sprint(step) || string(m.Topic) != topic {
							t.Fatalf("step %d: client %d got %v", step, j, p)
						}
						got = append(got, m.SubscriptionIDs...)
						reached++
					}
					slices.Sort(want)
					slices.Sort(got)
					if !slices.Equal(got, want) {
						t.Fatalf("step %d: %s by client %d: client %d (%s) got it by %v, want %v", step, topic, i, j, x.user, got, want)
					}
				}
			}
		}
		if reached < steps/4 {
			t.Errorf("%d messages reached somebody in %d steps: that says little", reached, steps)
		}
	})
}

// What is remembered of who gets a topic is one thing for each publisher that asked for
// nothing of its own.
func TestAudiencesOfPublishers(t *testing.T) {
	inWorld(t, func(_ *broker.Config, d *broker.Deps) {
		d.Authorizer = access.NewDirectory(access.Policy{Anonymous: access.AnonymousFull}) // it tells topics apart
	}, func(w *world) {
		clients := map[string]*brokertest.Client{}
		for _, id := range []string{"a", "b", "bb", "c", "d"} {
			clients[id] = w.clean(packet.V50, id)
			clients[id].Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "x", NoLocal: id != "d"}}})
			brokertest.Get[*packet.Suback](clients[id])
		}
		// The first only has the rules asked; of the others each comes upon what those before left.
		for _, from := range []string{"a", "b", "bb", "c", "d", "a", "b"} {
			clients[from].Publish("x", from, 0, false, 0)
			synctest.Wait()
			for to, c := range clients {
				want := 1
				if to == from && from != "d" {
					want = 0
				}
				if n := len(c.All()); n != want {
					t.Errorf("from %s to %s: %d messages", from, to, n)
				}
			}
		}
	})
}

// case A5: rights decide about the messages of a Shared Subscription as about those of any
// other. Who may not have one gets none, whoever else is in the group, and nothing of it is
// lost where another may have it.
func TestAudiencesOfShares(t *testing.T) {
	rules := map[string][]string{
		"few":  {"allow subscribe home/#", "deny subscribe home/lock/#"},
		"all":  {"allow both #"},
		"lamp": {"allow subscribe home/lamp"},
	}
	repo, dir := access.NewMemoryRepository(), access.NewDirectory(access.Policy{})
	for name, texts := range rules {
		u := access.User{Name: name, Version: 1}
		for _, text := range texts {
			r, err := access.ParseRule(text)
			if err != nil {
				t.Fatal(err)
			}
			u.Rules = append(u.Rules, r)
		}
		if _, err := repo.InsertUser(t.Context(), u, access.AuditEntry{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := access.NewAccounts(repo, dir, nil, nil).Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Authorizer = dir }, func(w *world) {
		clients := map[string]*brokertest.Client{}
		join := func(id, user string, filters ...string) {
			clients[id], _ = w.login(packet.V50, packet.Connect{ClientID: id, CleanStart: true, HasUserName: true, UserName: user})
			for _, f := range filters {
				clients[id].Subscribe(f, 0)
			}
		}
		join("few1", "few", "$share/poor/home/#", "$share/mixed/home/#")
		join("few2", "few", "$share/poor/home/#", "$share/mixed/home/#")
		join("lamp1", "lamp", "$share/poor/home/lamp", "$share/lamps/home/lamp")
		join("all1", "all", "$share/mixed/home/#", "$share/rich/home/#")
		pub := func(topic string, n int) map[string]int {
			for i := range n {
				clients["all1"].Publish(topic, fmt.Sprint(i), 0, false, 0)
			}
			synctest.Wait()
			got := make(map[string]int)
			for id, c := range clients {
				if k := len(c.All()); k > 0 {
					got[id] = k
				}
			}
			return got
		}
		// The groups mixed and rich, each once and to the one that may.
		if got := pub("home/lock/1", 6); len(got) != 1 || got["all1"] != 12 {
			t.Errorf("what some may not have: %v", got)
		}
		got := pub("home/lamp", 6)
		total := 0
		for _, n := range got {
			total += n
		}
		// poor by home/#, poor by home/lamp, lamps, mixed and rich.
		if total != 30 || got["lamp1"] != 12 || got["few1"] == 0 || got["few2"] == 0 {
			t.Errorf("what all may have: %v", got)
		}
	})
}
