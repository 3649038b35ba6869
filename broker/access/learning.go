package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// Learning is a time in which a user is watched, so that rules can be proposed for it.
// What was seen stays until the proposal is accepted or thrown away.
type Learning struct {
	UserID       int64
	Begun, Until time.Time
	// Open lets the user do meanwhile whatever no rule denies.
	Open bool
}

// Running reports whether the user is watched now. A clock that shows less than when it
// began was set meanwhile: nobody knows how much of the time is left then, and it rests, or
// what is open would stay so for years (case R12).
func (l Learning) Running(now time.Time) bool {
	return now.Before(l.Until) && !now.Before(l.Begun.Add(-clockStep))
}

// Bounds of learning.
const (
	// clockStep is by how much a clock is set back that was right.
	clockStep   = time.Minute
	MinLearning = time.Minute
	MaxLearning = 7 * 24 * time.Hour
	maxFacts    = 2000 // topics and filters each that are kept of a user
	// saveFacts is how often what was seen is stored: learning goes on over a restart,
	// and the command line sees it.
	saveFacts = 10 * time.Second
)

// facts are what a user was seen doing.
type facts struct {
	Publish   []string `json:"publish"`   // Topic Names, as first seen
	Subscribe []string `json:"subscribe"` // Topic Filters
	Cut       bool     `json:"cut,omitempty"`
}

// Learned is what came of a Learning.
type Learned struct {
	Learning
	Running            bool
	Publish, Subscribe []string // what the user did, sorted
	Cut                bool     // there was more than is kept
	Rules              []Rule   // that allow it, and little else
}

// StartLearning watches a user for a time; what was seen before is forgotten. With open
// the user may do meanwhile whatever no rule denies. ErrNotFound; Problems with the
// keys name, for.
func (a *Accounts) StartLearning(ctx context.Context, user string, span time.Duration, open bool) error {
	if span < MinLearning || span > MaxLearning {
		return Problems{"for": "between a minute and seven days"}
	}
	err := a.change(ctx, func() (string, error) {
		u, err := a.user(user)
		switch {
		case err != nil:
			return nobody, err
		case u.System:
			return nobody, Problems{"name": "is a system user and may do everything"}
		}
		l := Learning{UserID: u.ID, Begun: now(), Until: now().Add(span), Open: open}
		after := "until " + l.Until.Format(time.RFC3339)
		if open {
			after += ", allowed to do everything meanwhile"
		}
		return user, a.repo.StartLearning(ctx, l, entry(ctx, "learning started", user, "", after))
	})
	if err != nil {
		return err
	}
	return a.watch(ctx, false)
}

// DropLearning ends it and forgets what was seen. ErrNotFound.
func (a *Accounts) DropLearning(ctx context.Context, user string) error {
	return a.change(ctx, func() (string, error) {
		u, err := a.user(user)
		if err != nil {
			return nobody, err
		}
		return user, a.repo.EndLearning(ctx, u.ID, entry(ctx, "learning ended", user, "", ""))
	})
}

// AcceptLearned gives the user the rules that are proposed and ends the learning. With
// replace they take the place of its own rules and of its roles; else they are added.
// ErrNotFound; the errors of ChangeUser.
// Problems with the key learning where nothing was seen yet; the learning goes on then.
func (a *Accounts) AcceptLearned(ctx context.Context, user string, replace bool) error {
	l, err := a.Learned(ctx, user)
	if err != nil {
		return err
	}
	if len(l.Rules) == 0 {
		return Problems{"learning": fmt.Sprintf("nothing was seen of user %s yet, so there are no rules to accept", user)}
	}
	if replace {
		u, ok := a.dir.User(user)
		if !ok {
			return fmt.Errorf("user %q %w", user, ErrNotFound)
		}
		err = a.ChangeUser(ctx, user, UserChange{Revision: u.Revision, Rules: &l.Rules, Roles: &[]string{}})
	} else {
		err = a.AddRules(ctx, user, l.Rules)
	}
	if err != nil {
		return err
	}
	return a.DropLearning(ctx, user)
}

// Learned returns what came of it so far. ErrNotFound where the user is not watched
// and was not.
func (a *Accounts) Learned(ctx context.Context, user string) (Learned, error) {
	a.mu.Lock()
	changed, err := a.refresh(ctx)
	var l Learning
	if err == nil {
		var u User
		if u, err = a.user(user); err == nil {
			i := slices.IndexFunc(a.data.Learning, func(l Learning) bool { return l.UserID == u.ID })
			if i < 0 {
				err = fmt.Errorf("learning of user %q %w", user, ErrNotFound)
			} else {
				l = a.data.Learning[i]
			}
		}
	}
	a.mu.Unlock()
	if changed {
		a.revalidate("")
	}
	if err != nil {
		return Learned{}, err
	}
	a.lookAt(user)
	f, ok := a.learner.seen(user, l)
	if !ok {
		text, err := a.repo.Facts(ctx, l.UserID)
		if err != nil {
			return Learned{}, err
		}
		f = parseFacts(text)
	}
	slices.Sort(f.Publish)
	slices.Sort(f.Subscribe)
	return Learned{
		Learning: l, Running: l.Running(time.Now()), Publish: f.Publish, Subscribe: f.Subscribe, Cut: f.Cut,
		Rules: rulesFor(f),
	}, nil
}

// Learner returns what notes the doings of watched users. It belongs among the
// broker's observers; Accounts tells it whom to watch.
func (a *Accounts) Learner() broker.Observer { return a.learner }

// learner watches users. Safe for concurrent use.
type learner struct {
	watched atomic.Pointer[map[string]*watch] // by user name; nil: nobody

	mu    sync.Mutex // held while that is made anew, before Accounts.mu
	saved time.Time  // when what was seen was stored, guarded by mu
}

// watch is one user under observation.
type watch struct {
	Learning
	mu                 sync.Mutex
	publish, subscribe map[string]bool
	cut, dirty         bool
}

var _ broker.Observer = (*learner)(nil)

// OnPublish implements broker.Observer.
func (l *learner) OnPublish(m *broker.Message) {
	if all := l.watched.Load(); all != nil && m.PublisherUser != "" {
		if w := (*all)[m.PublisherUser]; w != nil {
			w.note(w.publish, m.Topic)
		}
	}
}

// OnEvent implements broker.Observer. What is denied counts as well: it is what the
// device wants to do.
func (l *learner) OnEvent(e broker.Event) {
	all := l.watched.Load()
	if all == nil {
		return
	}
	switch e := e.(type) {
	case broker.Connected:
		if w := (*all)[e.Identity.User]; w != nil && e.WillTopic != "" {
			w.note(w.publish, e.WillTopic)
		}
	case broker.Subscribed:
		if w := (*all)[e.Identity.User]; w != nil {
			w.note(w.subscribe, e.Subscription.Filter)
		}
	case broker.Denied:
		w := (*all)[e.Identity.User]
		switch {
		case w == nil:
		case e.Action == broker.Publish:
			w.note(w.publish, e.Name)
		case e.Action == broker.Subscribe:
			name := e.Name
			if _, filter, shared, err := topic.ParseShare(name); shared && err == nil {
				name = filter
			}
			w.note(w.subscribe, name)
		}
	}
}

// lookAt notes what sessions of watched users have: what was subscribed and set as a will
// before, or comes back with a session, no event tells of. a.mu is not held.
func (a *Accounts) lookAt(users ...string) {
	a.mu.Lock()
	sessions := a.sessions
	a.mu.Unlock()
	all := a.learner.watched.Load()
	if sessions == nil || all == nil || len(users) == 0 {
		return
	}
	for _, s := range sessions.Sessions() {
		w := (*all)[s.User]
		if w == nil || !slices.Contains(users, s.User) {
			continue
		}
		if s.HasWill {
			w.note(w.publish, s.WillTopic)
		}
		_, subs, err := sessions.Session(s.ClientID)
		if err != nil {
			continue // it has ended since
		}
		for _, sub := range subs {
			w.note(w.subscribe, sub.Filter)
		}
	}
}

func (w *watch) note(in map[string]bool, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case in[name] || !w.Running(time.Now()):
	case len(in) >= maxFacts || len(name) > maxDenialText:
		w.dirty = w.dirty || !w.cut
		w.cut = true
	default:
		in[strings.Clone(name)], w.dirty = true, true
	}
}

// seen returns what is in memory of that Learning.
func (l *learner) seen(user string, of Learning) (facts, bool) {
	all := l.watched.Load()
	if all == nil || (*all)[user] == nil || !(*all)[user].Begun.Equal(of.Begun) {
		return facts{}, false
	}
	return (*all)[user].facts(), true
}

func (w *watch) facts() facts {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := facts{Cut: w.cut}
	for name := range w.publish {
		f.Publish = append(f.Publish, name)
	}
	for name := range w.subscribe {
		f.Subscribe = append(f.Subscribe, name)
	}
	return f
}

func parseFacts(text string) (f facts) {
	if text != "" && json.Unmarshal([]byte(text), &f) != nil {
		return facts{Cut: true} // somebody wrote into the database by hand
	}
	return f
}

// watch begins and ends watching as the data say, and stores what is new. It is called
// after each change of them; a.mu is not held. all stores at once, whatever the time.
func (a *Accounts) watch(ctx context.Context, all bool) error {
	a.learner.mu.Lock()
	defer a.learner.mu.Unlock()
	a.mu.Lock()
	want := make(map[string]Learning)
	for _, l := range a.data.Learning {
		for _, u := range a.data.Users {
			if u.ID == l.UserID && l.Running(time.Now()) {
				want[u.Name] = l
			}
		}
	}
	a.mu.Unlock()
	l := a.learner
	old := map[string]*watch{}
	if p := l.watched.Load(); p != nil {
		old = *p
	}
	if len(want) == 0 && len(old) == 0 {
		return nil
	}
	var errs []error
	var begun []string
	next := make(map[string]*watch, len(want))
	for name, learning := range want {
		if w := old[name]; w != nil && w.Begun.Equal(learning.Begun) {
			next[name] = w
			continue
		}
		w := &watch{Learning: learning, publish: map[string]bool{}, subscribe: map[string]bool{}}
		text, err := a.repo.Facts(ctx, learning.UserID) // of before a restart
		errs = append(errs, err)
		f := parseFacts(text)
		for _, name := range f.Publish {
			w.publish[name] = true
		}
		for _, name := range f.Subscribe {
			w.subscribe[name] = true
		}
		w.cut = f.Cut
		next[name] = w
		begun = append(begun, name)
	}
	if l.watched.Store(&next); len(next) == 0 {
		l.watched.Store(nil)
	}
	if all {
		begun = slices.Collect(maps.Keys(next))
	}
	a.lookAt(begun...)
	due := all || time.Since(l.saved) >= saveFacts
	if due {
		l.saved = time.Now()
	}
	for name, w := range old {
		if due || next[name] != w {
			errs = append(errs, a.saveFacts(ctx, w))
		}
	}
	return errors.Join(errs...)
}

func (a *Accounts) saveFacts(ctx context.Context, w *watch) error {
	w.mu.Lock()
	dirty := w.dirty
	w.dirty = false
	w.mu.Unlock()
	if !dirty {
		return nil
	}
	text, err := json.Marshal(w.facts())
	if err == nil {
		err = a.repo.SaveFacts(ctx, w.UserID, w.Begun, string(text))
	}
	if err != nil {
		w.mu.Lock()
		w.dirty = true
		w.mu.Unlock()
		return fmt.Errorf("keep what was learnt: %w", err)
	}
	return nil
}

// KeepLearned stores what was seen so far, for commands that read the database.
func (a *Accounts) KeepLearned(ctx context.Context) error {
	all := a.learner.watched.Load()
	if all == nil {
		return nil
	}
	var errs []error
	for _, w := range *all {
		errs = append(errs, a.saveFacts(ctx, w))
	}
	return errors.Join(errs...)
}

// Finish stores what is left to store. It is for the end of the server.
func (a *Accounts) Finish(ctx context.Context) error { return a.watch(ctx, true) }
