package access_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// refuser refuses some users before anybody else is asked, as doors with rules of
// their own do.
type refuser struct {
	broker.Authenticator
	reasons map[string]broker.Reason
}

func (r refuser) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if reason := r.reasons[c.User]; reason != "" {
		return nil, broker.Refuse(reason, nil)
	}
	return r.Authenticator.Authenticate(ctx, c)
}

// Why is my device silent? One test for each reason of the design's 4.5: the
// owner is told the cause and what to do about it, whatever the wire says.
func TestWhyNotLetIn(t *testing.T) {
	disabled := true
	for _, tt := range []struct {
		reason broker.Reason
		ask    string // about whom
		make   func(h *home)
	}{
		{broker.UnknownUser, "washer", func(h *home) { h.try(packet.V311, "washer", "nobody", "x", packet.Connect{}) }},
		{broker.WrongPassword, "washer", func(h *home) { h.try(packet.V311, "washer", "ann", "wrong", packet.Connect{}) }},
		{broker.UserDisabled, "ann", func(h *home) {
			h.must(h.accounts.ChangeUser(h.Context(), "ann", access.UserChange{Disabled: &disabled}))
			h.try(packet.V50, "washer", "ann", password, packet.Connect{})
		}},
		{broker.CertificateInvalid, "192.168.1.7", func(h *home) {
			h.b.TurnedAway("", "192.168.1.7:4711", "mqtts", broker.CertificateInvalid, errors.New("expired"))
		}},
		{broker.CertificateRequired, "192.168.1.7", func(h *home) {
			h.b.TurnedAway("", "192.168.1.7:4711", "mqtts", broker.CertificateRequired, nil)
		}},
		{broker.NetworkNotAllowed, "washer", func(h *home) {
			h.must(h.accounts.ChangeUser(h.Context(), "bob", access.UserChange{Networks: &[]netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}}))
			h.try(packet.V311, "washer", "bob", password, packet.Connect{})
		}},
		{broker.TooManyAttempts, "washer", func(h *home) {
			for range 40 {
				h.try(packet.V311, "washer", "ann", "wrong", packet.Connect{})
			}
		}},
		{broker.ClientIDInUse, "bob", func(h *home) {
			h.clean(packet.V311, "washer", "ann")
			h.try(packet.V311, "washer", "bob", password, packet.Connect{CleanStart: true})
		}},
		{broker.ServerFull, "washer", func(h *home) {
			for i := range 3 {
				h.try(packet.V311, "other"+string(rune('0'+i)), "ann", password, packet.Connect{})
			}
			h.try(packet.V311, "washer", "ann", password, packet.Connect{})
		}},
		{broker.BackendUnavailable, "anna", func(h *home) { h.try(packet.V311, "tablet", "anna", "x", packet.Connect{}) }},
		{broker.AnonymousOff, "washer", func(h *home) { h.try(packet.V311, "washer", "", "", packet.Connect{CleanStart: true}) }},
	} {
		t.Run(string(tt.reason), func(t *testing.T) {
			inHouse(t, access.Policy{}, func(h *home) {
				h.deps.Authenticator = refuser{h.dir, map[string]broker.Reason{"anna": broker.BackendUnavailable}}
				if tt.reason == broker.ServerFull {
					h.cfg.MaxConnections = 3
				}
			}, func(h *home) {
				h.user("ann", "allow both #")
				h.user("bob", "allow both #")
				tt.make(h)
				e := h.explain.Why(tt.ask)
				found := -1
				for i, f := range e.Findings {
					if f.Cause == access.Cause(tt.reason) {
						found = i
						if f.Advice == "" || !strings.Contains(f.Text, string(tt.reason)) && tt.reason != broker.UserDisabled || f.Count == 0 {
							t.Errorf("finding %+v", f)
						}
						break
					}
				}
				if found < 0 || found > 1 {
					t.Errorf("%q is not among the first of %+v", tt.reason, e.Findings)
				}
			})
		})
	}
}

// The other half: the device is in, and still hears nothing.
func TestWhySilent(t *testing.T) {
	for _, tt := range []struct {
		cause    access.Cause
		ask      string
		proposal string
		make     func(h *home)
	}{
		{access.NeverSeen, "washer", "", func(*home) {}},
		{access.NotConnected, "ann", "", func(*home) {}},
		{access.NotConnected, "washer", "", func(h *home) {
			h.connect(packet.V311, "washer", "ann", packet.Connect{}).Close()
		}},
		{access.NoRights, "poor", "", func(h *home) { h.user("poor"); h.clean(packet.V311, "washer", "poor") }},
		{access.NotSubscribed, "washer", "", func(h *home) { h.clean(packet.V311, "washer", "ann") }},
		{access.MayNotSubscribe, "washer", "allow subscribe secret/#", func(h *home) {
			h.clean(packet.V311, "washer", "ann").Subscribe("secret/#", 0)
		}},
		{access.Narrowed, "washer", "allow subscribe #", func(h *home) { h.clean(packet.V311, "washer", "ann").Subscribe("#", 0) }},
		{access.SourceDenied, "washer", "allow publish home/lamp", func(h *home) {
			h.clean(packet.V311, "washer", "ann").Subscribe("home/+", 0)
			h.clean(packet.V311, "lamp", "poorer").Publish("home/lamp", "on", 0, false, 0)
		}},
		{access.MayNotPublish, "washer", "allow publish away", func(h *home) {
			h.clean(packet.V311, "washer", "ann").Publish("away", "1", 0, false, 0)
		}},
		{access.Withheld, "washer", "allow publish home/lamp", func(h *home) {
			h.become("poorer", "allow publish home/#")
			h.clean(packet.V311, "lamp", "poorer").Publish("home/lamp", "on", 0, true, 0)
			synctest.Wait()
			h.become("poorer", "allow publish cellar/#")
			h.clean(packet.V311, "washer", "ann").Subscribe("home/+", 0)
		}},
		{access.Dropped, "washer", "", func(h *home) {
			h.connect(packet.V311, "washer", "ann", packet.Connect{}).Subscribe("home/#", 1)
			h.b.Disconnect("washer", packet.AdministrativeAction)
			synctest.Wait()
			sender := h.clean(packet.V311, "lamp", "ann")
			for i := range 200 {
				sender.Publish("home/lamp", "on", 1, false, uint16(i+1))
			}
			h.connect(packet.V311, "washer", "ann", packet.Connect{})
		}},
		{access.NothingSent, "washer", "", func(h *home) { h.clean(packet.V311, "washer", "ann").Subscribe("home/Lamp", 0) }},
		{access.AllWell, "washer", "", func(h *home) {
			c := h.clean(packet.V311, "washer", "ann")
			c.Subscribe("home/#", 0)
			c.Publish("home/lamp", "on", 0, false, 0)
			got(c)
		}},
	} {
		t.Run(string(tt.cause)+" "+tt.ask, func(t *testing.T) {
			inHouse(t, access.Policy{}, func(h *home) { h.cfg.MaxQueuedMessages = 4 }, func(h *home) {
				h.user("ann", "allow both home/#")
				h.user("poorer", "allow publish cellar/#")
				tt.make(h)
				synctest.Wait()
				brokertest.Pass(2 * time.Second) // figures are gathered once a second
				e := h.explain.Why(tt.ask)
				f := e.Findings[0]
				if f.Cause != tt.cause || f.Proposal != tt.proposal || f.Text == "" {
					t.Errorf("%+v", e.Findings)
				}
				if tt.proposal == "" {
					return
				}
				// What is proposed is enough: once it is added nothing of the kind is found.
				h.must(h.accounts.AddRules(h.Context(), f.ProposalUser, h.rules(f.Proposal)))
				d := h.dir.Check(access.Question{User: f.ProposalUser, ClientID: "x", Name: f.Topic, Action: map[bool]broker.Action{true: broker.Subscribe, false: broker.Publish}[strings.Contains(f.Proposal, "subscribe")]})
				if !d.Allow || d.Narrowed {
					t.Errorf("after adding %s: %+v", f.Proposal, d)
				}
			})
		})
	}
}

func TestWhyByPart(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both #")
		h.clean(packet.V311, "Shelly-Kitchen-1", "ann")
		if f := h.explain.Why(" kitchen ").Findings; f[0].Cause != access.NotSubscribed {
			t.Errorf("%+v", f)
		}
		// A login that went well afterwards takes a failed one off the list.
		h.try(packet.V311, "lamp", "ann", "wrong", packet.Connect{})
		if f := h.explain.Why("lamp").Findings; f[0].Cause != access.Cause(broker.WrongPassword) {
			t.Errorf("%+v", f)
		}
		brokertest.Pass(time.Second)
		h.clean(packet.V311, "lamp", "ann")
		if f := h.explain.Why("lamp").Findings; f[0].Cause != access.NotSubscribed {
			t.Errorf("after a login: %+v", f)
		}
		if f := h.explain.Why("").Findings; f[0].Cause != access.NeverSeen {
			t.Errorf("about nothing: %+v", f)
		}
	})
}

func TestProposals(t *testing.T) {
	inHouse(t, access.Policy{Anonymous: access.AnonymousRestricted}, nil, func(h *home) {
		h.user("ann", "allow both home/#", "deny both home/lock/#", "allow publish low/# qos<=0", "allow publish fresh/# no-retain", "deny publish log/# retain", "allow publish log/#")
		for _, tt := range []struct {
			name string
			n    access.Denial
			want string // "": none
		}{
			{"publish", access.Denial{User: "ann", Action: "publish", Topic: "garden/pump"}, "allow publish garden/pump"},
			{"a topic with a space", access.Denial{User: "ann", Action: "publish", Topic: "living room/x"}, `allow publish "living room/x"`},
			{"subscribe", access.Denial{User: "ann", Action: "subscribe", Topic: "garden/+"}, "allow subscribe garden/+"},
			{"shared", access.Denial{User: "ann", Action: "subscribe", Topic: "$share/g/garden/+"}, "allow subscribe garden/+"},
			{"QoS too high", access.Denial{User: "ann", Action: "publish", Topic: "low/x"}, "allow publish low/x"},
			{"retained", access.Denial{User: "ann", Action: "publish", Topic: "fresh/x"}, "allow publish fresh/x"},
			{"retained is denied on purpose", access.Denial{User: "ann", Action: "publish", Topic: "log/x"}, ""},
			{"denied on purpose", access.Denial{User: "ann", Action: "publish", Topic: "home/lock/set"}, ""},
			{"the broker's own", access.Denial{User: "ann", Action: "publish", Topic: "$SYS/x"}, ""},
			{"allowed by now", access.Denial{User: "ann", Action: "publish", Topic: "home/x"}, ""},
			{"placeholder", access.Denial{User: "ann", Action: "publish", Topic: "a/%u"}, ""},
			{"nobody", access.Denial{User: "ghost", Action: "publish", Topic: "a"}, ""},
			{"a system user", access.Denial{User: access.AddonsUser, Action: "publish", Topic: "$CONTROL/x"}, ""},
			{"anonymous", access.Denial{Action: "publish", Topic: "door"}, "allow publish door"},
			{"a login", access.Denial{User: "ann", Action: "connect"}, ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				p, ok := h.dir.Proposal(tt.n)
				if ok != (tt.want != "") || ok && (p.Rule.String() != tt.want || p.User != tt.n.User) {
					t.Errorf("proposal %v %v, want %q", p, ok, tt.want)
				}
			})
		}
		h.must(h.accounts.AddRules(h.Context(), "", h.rules("allow publish door", "allow publish door")))
		if r, _ := h.dir.Role(access.RoleAnonymous); len(r.Rules) != 1 {
			t.Errorf("anonymous has %v", r.Rules)
		}
	})
}

// Whoever a limit slows down, keeps out or takes messages from is explained with its name.
func TestWhyLimits(t *testing.T) {
	mod := func(h *home) {
		h.cfg.MessageRatePerAddress, h.cfg.MaxQueuedMessages = 1000, 100
		h.cfg.ListenerLimits = map[string]broker.Limits{"mqtt": {QueuedMessages: 4, Subscriptions: 1}}
	}
	inHouse(t, access.Policy{}, mod, func(h *home) {
		h.user("ann", "allow both home/#")
		h.user("bob", "allow both home/#")
		h.must(h.accounts.ChangeUser(h.Context(), "bob", access.UserChange{Limits: &broker.Limits{MessageRate: 1, ConnectRate: 0.01}}))
		h.connect(packet.V311, "washer", "ann", packet.Connect{}).Subscribe("home/#", 1)
		h.b.Disconnect("washer", packet.AdministrativeAction)
		sender := h.clean(packet.V311, "lamp", "bob")
		for i := range 10 {
			sender.Publish("home/lamp", "on", 1, false, uint16(i+1))
		}
		brokertest.Pass(20 * time.Second)
		h.try(packet.V311, "meter", "bob", password, packet.Connect{})
		both := h.clean(packet.V311, "both", "ann")
		both.Subscribe("home/a", 0)
		both.Subscribe("home/b", 0)
		for about, want := range map[string][2]string{
			"washer": {string(access.Dropped), "the limit is max_queued_messages in listener_limits of mqtt"},
			"lamp":   {string(access.Slowed), `it sends more than 1 message a second (limit of user "bob").`},
			"meter":  {string(broker.TooManyAttempts), "more than 0.01 connections a second of this user"},
			"both":   {string(access.MayNotSubscribe), "home/b: limit reached: 1 subscription already (max_subscriptions in listener_limits of mqtt)"},
		} {
			found := false
			list := h.explain.Why(about).Findings
			for _, f := range list {
				found = found || string(f.Cause) == want[0] && strings.Contains(f.Text+f.Advice, want[1]) && f.Proposal == "" && !strings.Contains(f.Advice, "Correct the password")
			}
			if !found {
				t.Errorf("%s: want %q in %+v", about, want, list)
			}
		}
	})
}
