package access_test

import (
	"errors"
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

// What is learnt takes the place of all that a user had, its roles as well: who accepts it
// with replace wants the device to do no more than that. Without, all of it stays.
func TestAcceptedRulesReplaceRoles(t *testing.T) {
	for _, replace := range []bool{true, false} {
		watching(t, func(h *home, pass func(time.Duration)) {
			h.must(h.accounts.CreateRole(h.Context(), "wide", "", h.rules("allow both #")))
			h.user("lamp", "allow both own/#")
			h.must(h.accounts.ChangeUser(h.Context(), "lamp", access.UserChange{Roles: &[]string{"wide"}}))
			h.must(h.accounts.StartLearning(h.Context(), "lamp", time.Hour, false))
			c := h.clean(packet.V311, "l", "lamp")
			c.Publish("home/lamp", "on", 0, false, 0)
			pass(time.Second)
			h.must(h.accounts.AcceptLearned(h.Context(), "lamp", replace))
			u, _ := h.dir.User("lamp")
			if want := map[bool]string{true: "allow publish home/lamp", false: "allow both own/#; allow publish home/lamp"}[replace]; texts(u.Rules) != want || len(u.Roles) != map[bool]int{true: 0, false: 1}[replace] {
				t.Errorf("replace %v: rules %s, roles %q", replace, texts(u.Rules), u.Roles)
			}
			if d := h.dir.Check(access.Question{User: "lamp", Name: "elsewhere"}); d.Allow == replace {
				t.Errorf("replace %v: elsewhere it may %+v", replace, d)
			}
		})
	}
}

// Whoever has a user do everything for a time is in the audit with that; and so is the end.
func TestLearningIsInTheAudit(t *testing.T) {
	watching(t, func(h *home, _ func(time.Duration)) {
		h.user("lamp")
		for _, open := range []bool{false, true} {
			h.must(h.accounts.StartLearning(h.Context(), "lamp", time.Hour, open))
			page, _, err := h.accounts.Audit(h.Context(), access.AuditQuery{})
			h.must(err)
			if e := page[0]; e.Action != "learning started" || e.Object != "lamp" || !strings.HasPrefix(e.After, "until ") || strings.Contains(e.After, "everything") != open {
				t.Errorf("open %v: %+v", open, e)
			}
		}
		h.must(h.accounts.DropLearning(h.Context(), "lamp"))
		page, _, err := h.accounts.Audit(h.Context(), access.AuditQuery{})
		h.must(err)
		if e := page[0]; e.Action != "learning ended" || e.Object != "lamp" {
			t.Errorf("%+v", e)
		}
		for what, err := range map[string]error{
			"drop":   h.accounts.DropLearning(h.Context(), "nobody"),
			"accept": h.accounts.AcceptLearned(h.Context(), "nobody", true),
			"look":   func() error { _, err := h.accounts.Learned(h.Context(), "nobody"); return err }(),
		} {
			if !errors.Is(err, access.ErrNotFound) {
				t.Errorf("%s of nobody: %v", what, err)
			}
		}
	})
}

// Of users that are watched at the same time each has learnt its own, by its own time; who is
// watched anew has learnt nothing yet.
func TestLearningOfSeveral(t *testing.T) {
	watching(t, func(h *home, pass func(time.Duration)) {
		clients := map[string]*brokertest.Client{}
		for _, name := range []string{"a", "b", "idle"} {
			h.user(name, "allow both #")
			clients[name] = h.clean(packet.V311, "client "+name, name)
		}
		h.must(h.accounts.StartLearning(h.Context(), "a", time.Hour, false))
		h.must(h.accounts.StartLearning(h.Context(), "b", 2*time.Hour, false))
		said := 0
		say := func() {
			said++
			for name, c := range clients {
				c.Publish(fmt.Sprint(name, "/", said), "1", 0, false, 0)
			}
			synctest.Wait()
		}
		want := func(name, published string, running bool) {
			t.Helper()
			l, err := h.accounts.Learned(h.Context(), name)
			if err != nil || fmt.Sprint(l.Publish) != published || l.Running != running || l.Begun.IsZero() || l.Cut {
				t.Errorf("%s: %+v, %v, want %s", name, l, err, published)
			}
		}
		say()
		want("a", "[a/1]", true)
		want("b", "[b/1]", true)
		brokertest.Pass(61 * time.Minute) // and nothing looks after what is over
		say()
		want("a", "[a/1]", false)
		want("b", "[b/1 b/2]", true)
		pass(time.Second)
		say()
		want("a", "[a/1]", false)
		want("b", "[b/1 b/2 b/3]", true)
		if _, err := h.accounts.Learned(h.Context(), "idle"); !errors.Is(err, access.ErrNotFound) {
			t.Errorf("who is not watched: %v", err)
		}
		h.must(h.accounts.StartLearning(h.Context(), "b", time.Hour, false))
		want("b", "[]", true)
		say()
		want("b", "[b/4]", true)
	})
}

// What was seen is stored every ten seconds and no more often, whole: that there was more
// than is kept, and filters as well.
func TestLearningIsStored(t *testing.T) {
	watching(t, func(h *home, pass func(time.Duration)) {
		h.user("lamp", "allow both #")
		h.must(h.accounts.StartLearning(h.Context(), "lamp", time.Hour, false))
		pass(time.Second)
		c := h.clean(packet.V311, "l", "lamp")
		c.Subscribe("home/#", 0)
		stored := func() access.Learned {
			t.Helper()
			another := access.NewAccounts(h.repo, access.NewDirectory(access.Policy{}), nil, nil)
			h.must(another.Open(h.Context()))
			l, err := another.Learned(h.Context(), "lamp")
			h.must(err)
			return l
		}
		pass(11 * time.Second)
		if l := stored(); fmt.Sprint(l.Subscribe) != "[home/#]" || l.Cut {
			t.Errorf("after ten seconds: %+v", l)
		}
		c.Publish(strings.Repeat("x", 600), "1", 0, false, 0) // longer than is kept
		pass(5 * time.Second)
		if l := stored(); l.Cut {
			t.Error("stored before its time")
		}
		pass(6 * time.Second)
		if l := stored(); !l.Cut || fmt.Sprint(l.Subscribe) != "[home/#]" || len(l.Publish) != 0 {
			t.Errorf("after ten more: %+v", l)
		}
		// Who goes on with it after a restart has all of that.
		next := access.NewAccounts(h.repo, access.NewDirectory(access.Policy{}), nil, nil)
		h.must(next.Open(h.Context()))
		_, err := next.Refresh(h.Context())
		h.must(err)
		next.Learner().OnPublish(&broker.Message{Topic: "new", PublisherUser: "lamp"})
		if l, err := next.Learned(h.Context(), "lamp"); err != nil || !l.Cut || fmt.Sprint(l.Subscribe) != "[home/#]" || fmt.Sprint(l.Publish) != "[new]" {
			t.Errorf("after a restart: %+v, %v", l, err)
		}
	})
}

// Proposals go as far as they have to, and a deny, another door and another network hold.
func TestNoProposalBeyondTheRules(t *testing.T) {
	disabled := true
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both home/#")
		h.user("off")
		h.must(h.accounts.ChangeUser(h.Context(), "off", access.UserChange{Disabled: &disabled}))
		h.user("dev", "deny both secret/%c/#")
		h.user("door", "deny both # listener=ws")
		h.user("net", "deny both # from=10.0.0.0/8")
		h.user("low", "allow subscribe low/# qos<=0")
		long := strings.Repeat("a", 512)
		for _, tt := range []struct {
			what string
			n    access.Denial
			want string
		}{
			{"a topic that was cut off", access.Denial{User: "ann", Action: "publish", Topic: long + "…"}, ""},
			{"one that only ends so", access.Denial{User: "ann", Action: "publish", Topic: "a…"}, "allow publish a…"},
			{"a long one", access.Denial{User: "ann", Action: "publish", Topic: long + "aaa"}, "allow publish " + long + "aaa"},
			{"a user that is disabled", access.Denial{User: "off", Action: "publish", Topic: "a"}, ""},
			{"nobody", access.Denial{Action: "publish", Topic: "a"}, ""},
			{"denied for that client", access.Denial{User: "dev", ClientID: "c", Action: "publish", Topic: "secret/c/x"}, ""},
			{"for another client", access.Denial{User: "dev", ClientID: "d", Action: "publish", Topic: "secret/c/x"}, "allow publish secret/c/x"},
			{"denied at that door", access.Denial{User: "door", Listener: "ws", Action: "subscribe", Topic: "a"}, ""},
			{"at another door", access.Denial{User: "door", Listener: "mqtt", Action: "subscribe", Topic: "a"}, "allow subscribe a"},
			{"denied from there", access.Denial{User: "net", Remote: "10.1.2.3:4", Action: "publish", Topic: "a"}, ""},
			{"from elsewhere", access.Denial{User: "net", Remote: "192.168.1.2:4", Action: "publish", Topic: "a"}, "allow publish a"},
			{"subscribed with less QoS", access.Denial{User: "low", Action: "subscribe", Topic: "low/x"}, ""},
			{"no topic at all", access.Denial{User: "ann", Action: "publish", Topic: "a/#/b"}, ""},
		} {
			p, ok := h.dir.Proposal(tt.n)
			if ok != (tt.want != "") || ok && (p.Rule.String() != tt.want || p.User != tt.n.User) {
				t.Errorf("%s: %v %v, want %q", tt.what, p, ok, tt.want)
			}
		}
	})
	for mode, want := range map[string]string{access.AnonymousOff: "", access.AnonymousFull: "", access.AnonymousRestricted: "allow publish a"} {
		inHouse(t, access.Policy{Anonymous: mode}, nil, func(h *home) {
			p, ok := h.dir.Proposal(access.Denial{Action: "publish", Topic: "a"})
			if ok != (want != "") || ok && p.Rule.String() != want {
				t.Errorf("anonymous %v: %v %v, want %q", mode, p, ok, want)
			}
			if want == "" {
				return
			}
			h.must(h.accounts.AmendRole(h.Context(), access.RoleAnonymous, h.rules("deny publish a", "allow publish b"), nil))
			for _, name := range []string{"a", "b"} {
				if p, ok := h.dir.Proposal(access.Denial{Action: "publish", Topic: name}); ok {
					t.Errorf("anonymous, %s: %v in spite of its rules", name, p)
				}
			}
		})
	}
}

// Rules that are proposed are few and go no further than they have to.
func TestProposedRulesAreFew(t *testing.T) {
	many := func(n int, format string) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf(format, i))
		}
		return list
	}
	for _, tt := range []struct {
		what               string
		publish, subscribe []string
		want               string
	}{
		{"nothing", nil, nil, ""},
		{"four beside each other", many(4, "a/%d"), nil, "allow publish a/0; allow publish a/1; allow publish a/2; allow publish a/3"},
		{"five beside each other", many(5, "a/%d"), nil, "allow publish a/+"},
		{"five first levels", many(5, "%d"), nil, "allow publish 0; allow publish 1; allow publish 2; allow publish 3; allow publish 4"},
		{"both ways", []string{"a"}, []string{"a"}, "allow both a"},
		{"what a filter covers", nil, []string{"a/#", "a/b", "a/+/c", "b"}, "allow subscribe a/#; allow subscribe b"},
		{"the same twice", []string{"a", "a"}, []string{"b", "b"}, "allow publish a; allow subscribe b"},
		{"eight below one place", []string{"a/b/1", "a/b/2", "a/b/3", "a/b/4", "a/c/1/x", "a/c/2/x", "a/c/3/x", "a/c/4/x"}, nil,
			"allow publish a/b/1; allow publish a/b/2; allow publish a/b/3; allow publish a/b/4; allow publish a/c/1/x; allow publish a/c/2/x; allow publish a/c/3/x; allow publish a/c/4/x"},
		{"nine below one place", []string{"a/b/1", "a/b/2", "a/b/3", "a/b/4", "a/c/1/x", "a/c/2/x", "a/c/3/x", "a/c/4/x", "a/d"}, nil, "allow publish a/#"},
		{"the broker's own", []string{"$SYS/x"}, []string{"$SYS/broker/#", "$SYS/x"}, ""},
		{"a placeholder in a name", []string{"a/%u/b"}, nil, "allow publish a/+/b"},
		{"a placeholder in the first level", []string{"%u/b"}, []string{"a/%c/+"}, ""},
		{"one above others", []string{"a", "a/b"}, nil, "allow publish a; allow publish a/b"},
	} {
		if got := texts(access.RulesFor(tt.publish, tt.subscribe)); got != tt.want {
			t.Errorf("%s: %s\n    want %s", tt.what, got, tt.want)
		}
	}
}

// A denial is another one where the client, the user, the action, the topic or the rule is
// another, and where somebody without a name comes from elsewhere; a device whose names are
// made by the broker is one, and only those names are.
func TestDenialsThatDiffer(t *testing.T) {
	base := broker.Denied{Identity: &broker.Identity{ClientID: "c", User: "u"}, Action: broker.Publish, Name: "t", Rule: broker.RuleRef{Text: "r"}}
	with := func(f func(e *broker.Denied)) broker.Denied {
		e, id := base, *base.Identity
		e.Identity = &id
		f(&e)
		return e
	}
	from := func(clientID, user, remote string) broker.Denied {
		return with(func(e *broker.Denied) {
			e.Identity = &broker.Identity{ClientID: clientID, User: user, Remote: netip.MustParseAddrPort(remote)}
		})
	}
	auto := func(c string) string { return "auto-" + strings.Repeat(c, 36) }
	for _, tt := range []struct {
		what string
		a, b broker.Denied
		want int
	}{
		{"the same", base, base, 1},
		{"another client", base, with(func(e *broker.Denied) { e.Identity.ClientID = "d" }), 2},
		{"another user", base, with(func(e *broker.Denied) { e.Identity.User = "v" }), 2},
		{"another action", base, with(func(e *broker.Denied) { e.Action = broker.Subscribe }), 2},
		{"another topic", base, with(func(e *broker.Denied) { e.Name = "s" }), 2},
		{"another rule", base, with(func(e *broker.Denied) { e.Rule.Text = "q" }), 2},
		{"another address", from("c", "u", "10.0.0.1:1"), from("c", "u", "10.0.0.2:1"), 1},
		{"another address, with a client only", from("c", "", "10.0.0.1:1"), from("c", "", "10.0.0.2:1"), 1},
		{"another address, with a user only", from("", "u", "10.0.0.1:1"), from("", "u", "10.0.0.2:1"), 1},
		{"another address, without a name", from("", "", "10.0.0.1:1"), from("", "", "10.0.0.2:1"), 2},
		{"another port, without a name", from("", "", "10.0.0.1:1"), from("", "", "10.0.0.1:2"), 1},
		{"names of the broker's", from(auto("a"), "u", "10.0.0.1:1"), from(auto("b"), "u", "10.0.0.1:1"), 1},
		{"as long as those", from(strings.Repeat("a", 41), "u", "10.0.0.1:1"), from(strings.Repeat("b", 41), "u", "10.0.0.1:1"), 2},
		{"that begin like those", from("auto-a", "u", "10.0.0.1:1"), from("auto-b", "u", "10.0.0.1:1"), 2},
	} {
		d := access.NewDenials()
		d.OnEvent(tt.a)
		d.OnEvent(tt.b)
		if got := d.Recent(); len(got) != tt.want || got[0].Count != uint64(3-tt.want) {
			t.Errorf("%s: %+v, want %d", tt.what, got, tt.want)
		}
	}
}

// Only who logged in itself since is no longer told to have been refused: not by another
// client of its user, nor by another user that calls itself so, nor by an earlier login.
func TestWhyRefusalStays(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both #")
		h.user("bob", "allow both #")
		refused := func() bool {
			return slices.ContainsFunc(h.explain.Why("washer").Findings, func(f access.Finding) bool {
				return f.Cause == access.Cause(broker.WrongPassword) && f.ClientID == "washer" && f.User == "ann" && !f.Last.IsZero()
			})
		}
		earlier := h.clean(packet.V311, "washer", "ann")
		brokertest.Pass(time.Second)
		h.try(packet.V311, "washer", "ann", "wrong", packet.Connect{CleanStart: true})
		if !refused() {
			t.Error("over by the login before")
		}
		earlier.Close()
		brokertest.Pass(time.Second)
		h.clean(packet.V311, "dryer", "ann")
		if !refused() {
			t.Error("over by the login of another client")
		}
		other := h.clean(packet.V311, "washer", "bob")
		brokertest.Pass(time.Second)
		if !refused() {
			t.Error("over by the login of another user")
		}
		other.Close()
		brokertest.Pass(time.Second)
		if !refused() {
			t.Error("over by the end of another user's connection")
		}
		h.clean(packet.V311, "washer", "ann")
		brokertest.Pass(time.Second)
		if refused() {
			t.Error("still told after it logged in")
		}
	})
}

// Two devices with one client identifier are told with where they are, if that tells them apart.
func TestPushedOutFromWhere(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		for _, tt := range []struct{ a, b, want string }{
			{"192.0.2.1", "192.0.2.2", "The last two came from 192.0.2.2 and 192.0.2.1."},
			{"192.0.2.3", "192.0.2.3", ""},
		} {
			h.denials = access.NewDenials()
			h.explain.Denials = h.denials
			now := time.Now()
			for i := range 6 {
				at := []string{tt.a, tt.b}[i%2] + ":4000"
				id := &broker.Identity{ClientID: "washer", User: "ann", Remote: netip.MustParseAddrPort(at)}
				h.denials.OnEvent(broker.Connected{At: now, Identity: id})
				if i < 5 {
					h.denials.OnEvent(broker.Disconnected{At: now, Identity: id, Code: packet.SessionTakenOver})
				}
			}
			if p := h.denials.Pasts()[0]; !p.PushedOut(now.Add(2*time.Minute)) || p.PushedOut(now.Add(2*time.Minute+time.Second)) {
				t.Error("two minutes later it counts on, or later still")
			}
			f := h.explain.Why("washer").Findings[0]
			if f.Cause != access.PushedOut || f.ClientID != "washer" || f.User != "ann" || f.Count != 5 || !f.Last.Equal(now) || strings.Contains(f.Text, "The last two") != (tt.want != "") || !strings.Contains(f.Text, tt.want) {
				t.Errorf("%s and %s: %+v", tt.a, tt.b, f)
			}
		}
	})
}
