package addon

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// How long Home Assistant's word on a login counts.
const (
	loginFresh   = time.Minute      // nothing is asked
	loginTTL     = 10 * time.Minute // let in, and asked again behind the client's back
	loginOutage  = 24 * time.Hour   // let in only if Home Assistant can't say anything
	loginRefused = 10 * time.Second // the same wrong password is not asked about again
	maxLogins    = 1024             // names remembered, and wrong passwords
	maxQuestions = 4                // to Home Assistant at a time
	maxWaiting   = 64               // for their turn; others are told to come back
	loginTimeout = 10 * time.Second
)

// HomeAssistantLoginConfig is what a HomeAssistantLogin works with.
type HomeAssistantLoginConfig struct {
	// Check asks Home Assistant, as Supervisor.CheckLogin does: nil for yes,
	// ErrWrongLogin for no, any other error when it can't say. Must not be nil.
	Check func(ctx context.Context, name, password string) error
	// Roles are the roles of those it lets in; must not be empty.
	Roles []string
	// Revoked is told of a user who was let in by a password that Home Assistant does not
	// take any more, and may be connected. It must return soon; nil: nobody is told.
	Revoked func(name string)
	Log     *slog.Logger // must not be nil
}

// HomeAssistantLogin is a broker.Authenticator for the users of Home Assistant. It is
// the second of an access.Chain, so it is asked for names alone that no local user
// has. A password once proven is remembered as an HMAC under a key of this process;
// nothing is ever let in that Home Assistant has not proven (case A25). Safe for
// concurrent use.
type HomeAssistantLogin struct {
	cfg       HomeAssistantLoginConfig
	key       []byte
	questions chan struct{} // one token for each question under way

	mu      sync.Mutex
	proven  map[string]*proof         // by name
	refused map[fingerprint]time.Time // until when
	asking  map[fingerprint]*question
	took    time.Duration // the last question whose answer was no, or none
	silence error         // why there was none to the last question; nil: there was
}

var _ access.Pretender = (*HomeAssistantLogin)(nil)

// fingerprint stands for a name with a password.
type fingerprint [sha256.Size]byte

// proof says that Home Assistant took a password.
type proof struct {
	password fingerprint
	at       time.Time // of the last time
}

// question is one under way; done is closed when err is set.
type question struct {
	done chan struct{}
	err  error
}

// NewHomeAssistantLogin returns the Authenticator.
func NewHomeAssistantLogin(cfg HomeAssistantLoginConfig) *HomeAssistantLogin {
	l := &HomeAssistantLogin{
		cfg: cfg, key: make([]byte, 32), questions: make(chan struct{}, maxQuestions),
		proven: make(map[string]*proof), refused: make(map[fingerprint]time.Time), asking: make(map[fingerprint]*question),
	}
	_, _ = rand.Read(l.key) // never fails
	return l
}

// Authenticate implements broker.Authenticator.
func (l *HomeAssistantLogin) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if access.ValidName(c.User) != "" {
		return nil, broker.Refuse(broker.UnknownUser, nil)
	}
	if !asksAbout(c) {
		return nil, broker.Refuse(broker.WrongPassword, nil)
	}
	fp := l.fingerprint(c.User, c.Password)
	switch l.remembered(c.User, fp) {
	case rememberedWrong:
		return nil, broker.Refuse(broker.WrongPassword, ErrWrongLogin)
	case rememberedFresh:
		return l.identity(c), nil
	case rememberedAging:
		l.start(c.User, fp, l.check(c))
		return l.identity(c), nil
	}
	err := l.ask(ctx, c.User, fp, l.check(c))
	switch {
	case err == nil:
		return l.identity(c), nil
	case errors.Is(err, ErrWrongLogin):
		return nil, broker.Refuse(broker.WrongPassword, err)
	case ctx.Err() == nil && l.known(c.User, fp):
		l.cfg.Log.Debug("Home Assistant can't say, its last word counts", "user", c.User, "err", err)
		return l.identity(c), nil
	}
	return nil, broker.Refuse(broker.BackendUnavailable, err)
}

// asksAbout reports whether a password is one to ask about. What is not UTF-8 would reach
// Home Assistant as something else.
func asksAbout(c *broker.Credentials) bool {
	return c.HasPassword && len(c.Password) > 0 && len(c.Password) <= access.MaxPasswordBytes && utf8.Valid(c.Password)
}

// Pretend implements access.Pretender: it stands in the same line as a question, takes as
// long as the last one and fails as that did.
func (l *HomeAssistantLogin) Pretend(ctx context.Context, c *broker.Credentials) error {
	if !asksAbout(c) {
		return nil
	}
	fp := l.fingerprint(c.User, c.Password)
	if l.remembered(c.User, fp) == rememberedWrong {
		return nil
	}
	if err := l.ask(ctx, c.User, fp, l.likeLast); !errors.Is(err, ErrWrongLogin) {
		return err
	}
	return nil
}

// check is the question about a login.
func (l *HomeAssistantLogin) check(c *broker.Credentials) func(context.Context) error {
	name, password := c.User, string(c.Password)
	return func(ctx context.Context) error {
		begun := time.Now()
		err := l.cfg.Check(ctx, name, password)
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil {
			l.took = time.Since(begun)
		}
		if l.silence = err; errors.Is(err, ErrWrongLogin) {
			l.silence = nil
		}
		return err
	}
}

// likeLast answers as the last question was answered about a name that nobody knows.
func (l *HomeAssistantLogin) likeLast(ctx context.Context) error {
	l.mu.Lock()
	took, err := l.took, l.silence
	l.mu.Unlock()
	if err == nil {
		err = ErrWrongLogin
	}
	wait := time.NewTimer(took)
	defer wait.Stop()
	select {
	case <-wait.C:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *HomeAssistantLogin) identity(c *broker.Credentials) *broker.Identity {
	return &broker.Identity{
		ClientID: c.ClientID, User: c.User, Listener: c.Listener.Name, Remote: c.Remote, TLSName: c.TLSName, Roles: l.cfg.Roles,
	}
}

func (l *HomeAssistantLogin) fingerprint(name string, password []byte) fingerprint {
	mac := hmac.New(sha256.New, l.key)
	mac.Write([]byte(name))
	mac.Write([]byte{0}) // in no valid name
	mac.Write(password)
	return fingerprint(mac.Sum(nil))
}

// memory is what is remembered of a login.
type memory byte

const (
	rememberedNothing memory = iota
	rememberedFresh
	rememberedAging
	rememberedWrong
)

func (l *HomeAssistantLogin) remembered(name string, fp fingerprint) memory {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if until, ok := l.refused[fp]; ok && now.Before(until) {
		return rememberedWrong
	}
	p := l.proven[name]
	switch {
	case p == nil || !hmac.Equal(p.password[:], fp[:]):
		return rememberedNothing
	case now.Sub(p.at) < loginFresh:
		return rememberedFresh
	case now.Sub(p.at) < loginTTL:
		return rememberedAging
	}
	return rememberedNothing
}

// known reports whether Home Assistant took this login within the last day.
func (l *HomeAssistantLogin) known(name string, fp fingerprint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.proven[name]
	return p != nil && hmac.Equal(p.password[:], fp[:]) && time.Since(p.at) < loginOutage
}

// ask asks Home Assistant and waits; one question at a time for each login.
func (l *HomeAssistantLogin) ask(ctx context.Context, name string, fp fingerprint, check func(context.Context) error) error {
	q := l.start(name, fp, check)
	if q == nil {
		return errors.New("too many logins wait for Home Assistant")
	}
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start asks Home Assistant in the background, unless that happens already. The
// goroutine ends within loginTimeout. nil: too many wait.
func (l *HomeAssistantLogin) start(name string, fp fingerprint, check func(context.Context) error) *question {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := l.asking[fp]; q != nil {
		return q
	}
	if len(l.asking) >= maxQuestions+maxWaiting {
		return nil
	}
	q := &question{done: make(chan struct{})}
	l.asking[fp] = q
	go l.question(q, name, fp, check)
	return q
}

// question is not bound to a client's context: others may wait for the same answer,
// and a client that gives up would otherwise never learn it.
func (l *HomeAssistantLogin) question(q *question, name string, fp fingerprint, check func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), loginTimeout)
	defer cancel()
	select {
	case l.questions <- struct{}{}:
		q.err = check(ctx)
		<-l.questions
	case <-ctx.Done():
		q.err = ctx.Err()
	}
	revoked := l.learn(q.err, name, fp)
	close(q.done)
	if revoked && l.cfg.Revoked != nil {
		l.cfg.Revoked(name)
	}
}

// learn remembers an answer. revoked says that it takes back another one.
func (l *HomeAssistantLogin) learn(err error, name string, fp fingerprint) (revoked bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asking, fp)
	switch {
	case err == nil:
		makeRoom(l.proven, name, func(p *proof) time.Time { return p.at })
		l.proven[name] = &proof{password: fp, at: now}
	case errors.Is(err, ErrWrongLogin):
		if p := l.proven[name]; p != nil && p.password == fp {
			delete(l.proven, name)
			revoked = true
			l.cfg.Log.Info("Home Assistant does not take this password any more", "user", name)
		}
		makeRoom(l.refused, fp, func(t time.Time) time.Time { return t })
		l.refused[fp] = now.Add(loginRefused)
	}
	return revoked
}

// makeRoom deletes the oldest entry of a full map, unless key is there already.
func makeRoom[K comparable, V any](m map[K]V, key K, at func(V) time.Time) {
	if _, ok := m[key]; ok || len(m) < maxLogins {
		return
	}
	var oldest K
	var least time.Time
	for k, v := range m {
		if t := at(v); least.IsZero() || t.Before(least) {
			oldest, least = k, t
		}
	}
	delete(m, oldest)
}
