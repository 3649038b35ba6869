package access_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// watching is a home whose broker tells the learner, and where time goes on with
// what the server does twice a second.
func watching(t *testing.T, f func(h *home, pass func(time.Duration))) {
	inHouse(t, access.Policy{}, func(h *home) {
		h.deps.Observer = broker.Observers{h.denials, h.accounts.Learner()}
	}, func(h *home) {
		f(h, func(d time.Duration) {
			brokertest.Pass(d)
			_, err := h.accounts.Refresh(h.Context())
			h.must(err)
		})
	})
}

func texts(rules []access.Rule) string {
	list := make([]string, len(rules))
	for i, r := range rules {
		list[i] = r.String()
	}
	return strings.Join(list, "; ")
}

func TestLearning(t *testing.T) {
	watching(t, func(h *home, pass func(time.Duration)) {
		h.user("z2m", "deny publish zigbee2mqtt/lock/set")
		h.user("other", "allow both #")
		h.must(h.accounts.StartLearning(h.Context(), "z2m", time.Hour, true))
		pass(time.Second)
		c := h.clean(packet.V311, "z", "z2m")
		if code := c.Subscribe("zigbee2mqtt/#", 1); code >= 0x80 {
			t.Errorf("SUBSCRIBE while everything is open: %v", code)
		}
		c.Subscribe("$share/g/homeassistant/status", 0)
		for i := range 7 {
			c.Publish(fmt.Sprintf("zigbee2mqtt/lamp%d", i), "{}", 0, false, 0)
			c.Publish(fmt.Sprintf("zigbee2mqtt/lamp%d/availability", i), "{}", 0, true, 0)
		}
		c.Publish("zigbee2mqtt/lock/set", "OPEN", 0, false, 0) // a deny stays one
		h.clean(packet.V311, "o", "other").Publish("elsewhere", "1", 0, false, 0)
		pass(time.Second)
		l, err := h.accounts.Learned(h.Context(), "z2m")
		h.must(err)
		if !l.Running || len(l.Publish) != 15 || len(l.Subscribe) != 2 || l.Cut {
			t.Errorf("learnt %+v", l)
		}
		if got := texts(l.Rules); got != "allow publish zigbee2mqtt/+; allow publish zigbee2mqtt/+/availability; allow publish zigbee2mqtt/+/set; "+
			"allow subscribe homeassistant/status; allow subscribe zigbee2mqtt/#" {
			t.Errorf("proposed: %s", got)
		}
		if d := h.dir.Check(access.Question{User: "z2m", Name: "zigbee2mqtt/lock/set"}); d.Allow {
			t.Error("learning opened what a rule denies")
		}
		got(c)
		// The time is over: rights end within a second, and so do subscriptions.
		pass(time.Hour)
		if d := h.dir.Check(access.Question{User: "z2m", Name: "zigbee2mqtt/lamp1"}); d.Allow {
			t.Errorf("after the time: %+v", d)
		}
		h.clean(packet.V311, "o", "other").Publish("zigbee2mqtt/lamp0/set", "1", 0, false, 0)
		h.want(c)
		c.Publish("late", "1", 0, false, 0)
		pass(time.Second)
		if l, err = h.accounts.Learned(h.Context(), "z2m"); err != nil || l.Running || len(l.Publish) != 15 {
			t.Errorf("after the time: %+v, %v", l, err)
		}
		h.must(h.accounts.AcceptLearned(h.Context(), "z2m", true))
		u, _ := h.dir.User("z2m")
		if len(u.Rules) != 5 {
			t.Errorf("rules %s", texts(u.Rules))
		}
		if _, err := h.accounts.Learned(h.Context(), "z2m"); !errors.Is(err, access.ErrNotFound) {
			t.Errorf("after accepting: %v", err)
		}
	})
}

// Without opening anything, what is denied is what the device wants.
func TestLearningFromDenials(t *testing.T) {
	watching(t, func(h *home, pass func(time.Duration)) {
		h.user("lamp")
		h.must(h.accounts.StartLearning(h.Context(), "lamp", time.Hour, false))
		pass(time.Second)
		c := h.clean(packet.V311, "l", "lamp")
		c.Publish("home/lamp/state", "on", 0, false, 0)
		c.Publish("$SYS/lamp", "1", 0, false, 0)                                    // what no rule can allow is not proposed
		c.Subscribe("$SYS/broker/uptime", 0)                                        // nor what everybody may
		for _, filter := range []string{"home/lamp/set", "$share/lamps/home/all"} { // rules are about topics
			if code := h.clean(packet.V50, "five", "lamp").Subscribe(filter, 0); code < 0x80 {
				t.Errorf("%s: granted %v", filter, code)
			}
		}
		pass(time.Second)
		h.must(h.accounts.AcceptLearned(h.Context(), "lamp", false))
		u, _ := h.dir.User("lamp")
		if got := texts(u.Rules); got != "allow publish home/lamp/state; allow subscribe home/all; allow subscribe home/lamp/set" {
			t.Errorf("rules %s", got)
		}
	})
}

// Who accepts before anything was seen is told so, and the watch goes on; and what was
// seen is stored when somebody asks, for another process to read.
func TestLearningTooEarly(t *testing.T) {
	watching(t, func(h *home, pass func(time.Duration)) {
		h.user("lamp")
		h.must(h.accounts.StartLearning(h.Context(), "lamp", time.Hour, true))
		pass(time.Second)
		for _, replace := range []bool{false, true} {
			err := h.accounts.AcceptLearned(h.Context(), "lamp", replace)
			if p, ok := errors.AsType[access.Problems](err); !ok || p["learning"] == "" {
				t.Errorf("accepted nothing: %v", err)
			}
		}
		h.clean(packet.V311, "l", "lamp").Publish("home/lamp", "on", 0, false, 0)
		pass(time.Second) // what was learnt is stored every ten
		another := access.NewAccounts(h.repo, access.NewDirectory(access.Policy{}), nil, nil)
		h.must(another.Open(h.Context()))
		h.must(h.accounts.KeepLearned(h.Context()))
		if l, err := another.Learned(h.Context(), "lamp"); err != nil || texts(l.Rules) != "allow publish home/lamp" {
			t.Errorf("another process sees %s, %v", texts(l.Rules), err)
		}
	})
}

// Learning goes on where it was after a restart, and another process sees what is stored.
func TestLearningSurvives(t *testing.T) {
	watching(t, func(h *home, pass func(time.Duration)) {
		repo := access.NewMemoryRepository()
		first := access.NewAccounts(repo, h.dir, nil, nil)
		h.must(first.Open(h.Context()))
		_, _, err := first.CreateUser(h.Context(), access.NewUser{Name: "lamp", Generate: true})
		h.must(err)
		h.must(first.StartLearning(h.Context(), "lamp", time.Hour, false))
		_, err = first.Refresh(h.Context())
		h.must(err)
		first.Learner().OnPublish(&broker.Message{Topic: "a", PublisherUser: "lamp"})
		h.must(first.Finish(h.Context()))
		second := access.NewAccounts(repo, access.NewDirectory(access.Policy{}), nil, nil)
		h.must(second.Open(h.Context()))
		_, err = second.Refresh(h.Context())
		h.must(err)
		second.Learner().OnPublish(&broker.Message{Topic: "b", PublisherUser: "lamp"})
		if l, err := second.Learned(h.Context(), "lamp"); err != nil || fmt.Sprint(l.Publish) != "[a b]" {
			t.Errorf("%+v, %v", l, err)
		}
		for range 3000 {
			second.Learner().OnPublish(&broker.Message{Topic: fmt.Sprint("x/", rand.Int64()), PublisherUser: "lamp"})
		}
		if l, err := second.Learned(h.Context(), "lamp"); err != nil || !l.Cut || len(l.Publish) != 2000 || len(l.Rules) != 3 {
			t.Errorf("%d topics, cut %v, rules %s, %v", len(l.Publish), l.Cut, texts(l.Rules), err)
		}
	})
}

func TestLearningRefused(t *testing.T) {
	watching(t, func(h *home, _ func(time.Duration)) {
		h.user("lamp")
		for _, tt := range []struct {
			user string
			span time.Duration
			key  string
		}{{"lamp", time.Second, "for"}, {"lamp", 8 * 24 * time.Hour, "for"}, {access.AddonsUser, time.Hour, "name"}} {
			err := h.accounts.StartLearning(h.Context(), tt.user, tt.span, true)
			if p, ok := errors.AsType[access.Problems](err); !ok || p[tt.key] == "" {
				t.Errorf("%s for %v: %v", tt.user, tt.span, err)
			}
		}
		if err := h.accounts.StartLearning(h.Context(), "nobody", time.Hour, true); !errors.Is(err, access.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		page, _, err := h.accounts.Audit(h.Context(), access.AuditQuery{Text: "learning"})
		if err != nil || len(page) != 0 {
			t.Errorf("refused learning left %v, %v", page, err)
		}
	})
}

// Whatever is seen, the proposal allows all of it, and never gives away a first level
// that was not seen.
func TestProposedRulesCoverWhatWasSeen(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 9))
	levels := []string{"a", "b", "c", "", "d", "e f", "%u", "g", "$h"}
	for round := range 500 {
		watchingName := func() string {
			parts := make([]string, 1+r.IntN(4))
			for i := range parts {
				parts[i] = levels[r.IntN(len(levels)-1)]
			}
			parts[0] = []string{"home", "z2m", "tele"}[r.IntN(3)]
			return strings.Join(parts, "/")
		}
		var names, filters []string
		for range 1 + r.IntN(60) {
			names = append(names, watchingName())
		}
		for range r.IntN(10) {
			filters = append(filters, watchingName())
		}
		filters = append(filters, "home/+/x")
		rules := access.RulesFor(names, filters)
		for _, name := range names {
			if !allowed(rules, access.ScopeSubscribe, func(f string) bool { return topic.Match(f, name) }) {
				t.Fatalf("round %d: %q is not covered by %s", round, name, texts(rules))
			}
		}
		for _, filter := range filters {
			if !strings.Contains(filter, "%") && !allowed(rules, access.ScopePublish, func(f string) bool { return topic.Covers(f, filter) }) {
				t.Fatalf("round %d: %q is not covered by %s", round, filter, texts(rules))
			}
		}
		for _, rule := range rules {
			if first, _, _ := strings.Cut(rule.Filter, "/"); first == "+" || first == "#" {
				t.Fatalf("round %d: %s gives away everything", round, rule)
			}
		}
	}
}

// allowed reports whether some rule whose scope is not but matches.
func allowed(rules []access.Rule, but access.Scope, match func(filter string) bool) bool {
	for _, r := range rules {
		if r.Scope != but && match(r.Filter) {
			return true
		}
	}
	return false
}

// A device that was there before it is watched keeps what it has: its subscriptions, those
// of a session that waits for it, and its will, with which it logs in the next time.
func TestLearningSeesWhatIsThere(t *testing.T) {
	watching(t, func(h *home, pass func(time.Duration)) {
		h.user("robot", "allow both #")
		h.user("other", "allow both #")
		will := func() *packet.Will { return &packet.Will{Topic: "robot/online", Payload: []byte("no")} }
		c := h.connect(packet.V311, "r", "robot", packet.Connect{CleanStart: true, Will: will()})
		c.Subscribe("robot/cmd/#", 1)
		away := h.connect(packet.V311, "s", "robot", packet.Connect{})
		away.Subscribe("home/alarm", 1)
		away.Close()
		h.clean(packet.V311, "o", "other").Subscribe("other/#", 0)
		h.must(h.accounts.StartLearning(h.Context(), "robot", time.Hour, false))
		c.Publish("robot/state", "1", 0, false, 0)
		// One that comes and goes within the second, as a sensor does that sleeps.
		h.connect(packet.V311, "q", "robot", packet.Connect{CleanStart: true, Will: &packet.Will{Topic: "robot/q", Payload: []byte("gone")}}).Send(new(packet.Disconnect))
		brokertest.Pass(time.Millisecond)
		l, err := h.accounts.Learned(h.Context(), "robot")
		h.must(err)
		const want = "allow publish robot/online; allow publish robot/q; allow publish robot/state; allow subscribe home/alarm; allow subscribe robot/cmd/#"
		if got := texts(l.Rules); got != want {
			t.Errorf("proposed %s\n    want %s", got, want)
		}
		h.must(h.accounts.AcceptLearned(h.Context(), "robot", true))
		pass(time.Second)
		got(c)
		h.clean(packet.V311, "p", "other").Publish("robot/cmd/go", "1", 0, false, 0)
		h.want(c, "robot/cmd/go")
		c.Close()
		h.connect(packet.V311, "r", "robot", packet.Connect{CleanStart: true, Will: will()})
		if d := h.dir.Check(access.Question{User: "robot", Name: "other/x"}); d.Allow {
			t.Error("it may do more than it does")
		}
	})
}
