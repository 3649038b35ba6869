package mosquitto

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// Target is where an import goes. Accounts has to be set, and either Store or, while
// the broker runs, the other four.
type Target struct {
	// Accounts is loaded. Directory is what it fills.
	Accounts  *access.Accounts
	Directory *access.Directory
	// Store is that of a broker that does not run.
	Store broker.Store
	// Publish publishes retained messages to the running broker, which has stored them
	// when it returns.
	Publish func(ctx context.Context, list []*broker.Message) error
	// AddSessions adds sessions to the running broker for clients that have none, and
	// HasSession tells who has one.
	AddSessions func(ctx context.Context, list []broker.StoredSession) (added, queued int, err error)
	HasSession  func(clientID string) bool
	// Retained lists the topics with a retained message in the running broker.
	Retained func(ctx context.Context) (map[string]bool, error)
}

// ErrBroken is returned by Apply for a plan whose report says why it can't be.
var ErrBroken = errors.New("nothing was imported")

// target is what is there already.
type target struct {
	*Target
	next     int64
	topics   map[string]bool
	sessions map[string]bool
}

// Look compares the plan with what is there and completes the Report: what exists
// stays as it is, so that twice is the same as once. It stores nothing.
func (p *Plan) Look(ctx context.Context, t Target) error {
	if !p.Report.OK() {
		return nil
	}
	_, err := p.look(ctx, t)
	return err
}

func (p *Plan) look(ctx context.Context, t Target) (*target, error) {
	p.renameRoles(t.Directory)
	r := p.Report
	x := &target{Target: &t}
	if err := x.load(ctx, p); err != nil {
		return nil, err
	}
	r.There = nil
	there := func(n int, one, many, more string) {
		if n > 0 {
			r.There = append(r.There, plural(n, one, many)+more)
		}
	}
	var users []string
	for _, u := range p.Users {
		if _, ok := t.Directory.User(u.Name); ok {
			users = append(users, u.Name)
		}
	}
	there(len(users), "user", "users", " with password and rights: "+some(users))
	topics := 0
	for _, m := range p.State.Retained {
		if x.topics[m.Topic] {
			topics++
		}
	}
	there(topics, "retained message", "retained messages", "")
	sessions := 0
	for _, s := range p.State.Sessions {
		if x.sessions[s.ClientID] {
			sessions++
		}
	}
	there(sessions, "session", "sessions", "")
	return x, nil
}

func (x *target) load(ctx context.Context, p *Plan) error {
	x.topics, x.sessions = map[string]bool{}, map[string]bool{}
	switch {
	case x.Store != nil:
		st, err := x.Store.Load(ctx)
		if err != nil {
			return fmt.Errorf("look at what is stored: %w", err)
		}
		x.next = st.NextMessage
		for _, m := range st.Retained {
			x.topics[m.Topic] = true
		}
		for _, s := range st.Sessions {
			x.sessions[s.ClientID] = true
		}
	case x.Retained != nil:
		topics, err := x.Retained(ctx)
		if err != nil {
			return fmt.Errorf("look at what is retained: %w", err)
		}
		x.topics = maps.Clone(topics)
		for _, s := range p.State.Sessions {
			x.sessions[s.ClientID] = x.HasSession(s.ClientID)
		}
	}
	return nil
}

// renameRoles gives roles another name where HearthMQ has one with other rules. Such a
// role is left out when nobody who is new has it: the owner has changed it since.
func (p *Plan) renameRoles(d *access.Directory) {
	needed := map[string]bool{}
	for _, u := range p.Users {
		if _, there := d.User(u.Name); !there {
			for _, name := range u.Roles {
				needed[name] = true
			}
		}
	}
	p.Roles = slices.DeleteFunc(p.Roles, func(r access.Role) bool {
		there, ok := d.Role(r.Name)
		return ok && !needed[r.Name] && !access.SameRules(there.Rules, normal(r.Rules))
	})
	taken := map[string]bool{}
	renamed := map[string]string{}
	for i := range p.Roles {
		r := &p.Roles[i]
		name := r.Name
		for n := 2; ; n++ {
			there, ok := d.Role(name)
			if !taken[name] && (!ok || access.SameRules(there.Rules, normal(r.Rules))) {
				break
			}
			name = fmt.Sprintf("%s-%d", r.Name, n)
		}
		taken[name] = true
		if name != r.Name {
			renamed[r.Name] = name
			p.Report.Changed = append(p.Report.Changed, Notice{Level: Changed, Text: fmt.Sprintf("role %s becomes %s: HearthMQ has one of that name with other rules", quote(r.Name), quote(name))})
			r.Name = name
		}
	}
	for i := range p.Users {
		roles := slices.Clone(p.Users[i].Roles)
		for j, name := range roles {
			if to, ok := renamed[name]; ok {
				roles[j] = to
			}
		}
		p.Users[i].Roles = roles
	}
}

func normal(rules []access.Rule) []access.Rule {
	out := make([]access.Rule, 0, len(rules))
	for _, r := range rules {
		if n, err := r.Normal(); err == nil {
			r = n
		}
		out = append(out, r)
	}
	return out
}

// Done is what an import came to.
type Done struct {
	Accounts access.Imported
	Retained int
	Sessions int
	Queued   int
}

// Apply stores the plan: first messages and sessions in one transaction, then
// accounts in another. When it fails, doing it again completes it. A plan whose report
// is not OK is not applied at all: ErrBroken.
func (p *Plan) Apply(ctx context.Context, t Target) (Done, error) {
	var done Done
	if !p.Report.OK() {
		return done, ErrBroken
	}
	x, err := p.look(ctx, t)
	if err != nil {
		return done, err
	}
	switch {
	case t.Store != nil:
		err = p.store(ctx, x, &done)
	case t.Publish != nil:
		err = p.publish(ctx, x, &done)
	case len(p.State.Retained)+len(p.State.Sessions) > 0:
		err = errors.New("messages and sessions can't be stored here")
	}
	if err != nil {
		return done, err
	}
	if len(p.Users)+len(p.Roles)+len(p.Anonymous) == 0 {
		return done, nil
	}
	done.Accounts, err = t.Accounts.Import(ctx, access.Import{Roles: p.Roles, Users: p.Users, Anonymous: p.Anonymous, Source: p.source})
	if err != nil {
		return done, fmt.Errorf("import users and roles: %w", err)
	}
	return done, nil
}

func (p *Plan) store(ctx context.Context, x *target, done *Done) error {
	changes := p.State.changes(x.next,
		func(topic string) bool { return x.topics[topic] },
		func(clientID string) bool { return x.sessions[clientID] })
	if len(changes) == 0 {
		return nil
	}
	if err := x.Store.Apply(ctx, changes); err != nil {
		return fmt.Errorf("store messages and sessions: %w", err)
	}
	for _, c := range changes {
		switch c.(type) {
		case broker.RetainedSet:
			done.Retained++
		case broker.SessionSaved:
			done.Sessions++
		case broker.Queued:
			done.Queued++
		}
	}
	return nil
}

func (p *Plan) publish(ctx context.Context, x *target, done *Done) error {
	list := slices.DeleteFunc(slices.Clone(p.State.Retained), func(m *broker.Message) bool { return x.topics[m.Topic] })
	if len(list) > 0 {
		if err := x.Publish(ctx, list); err != nil {
			return fmt.Errorf("publish to the running broker: %w", err)
		}
		done.Retained = len(list)
	}
	// Sessions come after what is retained, which would wait in them as if it were new.
	var err error
	if done.Sessions, done.Queued, err = x.AddSessions(ctx, p.State.Sessions); err != nil {
		return fmt.Errorf("add sessions to the running broker: %w", err)
	}
	return nil
}
