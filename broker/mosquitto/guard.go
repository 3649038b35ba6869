package mosquitto

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// Guard decides who comes in and what they may do as a mosquitto.conf says, by its
// password_file and acl_file as they are: line by line, the first match decides. It
// implements broker.Authenticator, broker.Authorizer, broker.UnsubscribeAuthorizer,
// broker.Classifier and broker.Reviewer. Users of dynamic security are a Dynamic's. Safe for
// concurrent use.
type Guard struct {
	dynsec Dynamic // nil without the plugin

	mu         sync.Mutex // serialises Use
	now        atomic.Pointer[inForce]
	generation atomic.Uint64
	epochs     atomic.Uint64                 // of classes, over all Setups
	held       atomic.Pointer[chan struct{}] // closed when the files are reread; nil: they are
}

// Dynamic knows the users of dynamic security.
type Dynamic interface {
	broker.Authenticator
	broker.Authorizer
	broker.UnsubscribeAuthorizer
	broker.Reviewer
	// Users are the users' rules, in the order in which they are asked, by name.
	Users() map[string][]string
}

var (
	_ broker.Authenticator = (*Guard)(nil)
	_ broker.Authorizer    = (*Guard)(nil)
	_ broker.Reviewer      = (*Guard)(nil)
)

// NewGuard returns one that goes by s. dynsec knows the users of dynamic security, nil:
// there are none.
func NewGuard(s *Setup, dynsec Dynamic) *Guard {
	g := &Guard{dynsec: dynsec}
	g.Use(s)
	return g
}

// Use goes by another Setup from now on. Who runs the broker has it look at its
// sessions again (Revalidate).
func (g *Guard) Use(s *Setup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now.Store(&inForce{entrances: &s.entrances, classes: topic.NewClasses(&g.epochs)})
	g.generation.Add(1)
}

// Hold has those who log in wait until release is called, holdTime at most: who comes
// after SIGHUP meets the rules that it brings.
func (g *Guard) Hold() (release func()) {
	reread := make(chan struct{})
	g.held.Store(&reread)
	return func() {
		g.held.Store(nil)
		close(reread)
	}
}

// holdTime bounds how long rereading makes clients wait.
const holdTime = 2 * time.Second

func (g *Guard) await(ctx context.Context) {
	reread := g.held.Load()
	if reread == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	select {
	case <-*reread:
	case <-ctx.Done():
	}
}

// entrances are the listeners' security. Immutable.
type entrances struct {
	by       map[string]*entrance // by name of the listener
	standard *entrance            // of a session whose listener is no more; nil: nobody knows
}

func (s *entrances) of(listener string) *entrance {
	if x := s.by[listener]; x != nil {
		return x
	}
	return s.standard
}

// entrance is who may come in by a listener, and the rules for them.
type entrance struct {
	anonymous    bool
	certificates bool // name users
	prefix       string
	passwords    *access.Directory // nil: there is no password_file
	marks        map[string]uint64 // of each password, by user
	users        *userFile         // where they come from
	acl          *aclTable         // nil: there is no acl_file
	dynsec       bool
}

// Reasons that Mosquitto has and HearthMQ has not.
var (
	errPrefixes   = errors.New("the client identifier does not begin as clientid_prefixes wants it")
	errNoIdentity = errors.New("certificates name the users of this listener, and the client has none")
)

// Authenticate implements broker.Authenticator.
func (g *Guard) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	g.await(ctx)
	s := g.now.Load().of(c.Listener.Name)
	switch {
	case s == nil:
		return nil, broker.Refuse(broker.BackendUnavailable, errors.New("the listener is being closed"))
	case !strings.HasPrefix(c.ClientID, s.prefix):
		return nil, &broker.Refusal{Reason: broker.BadClientID, Code: broker.Refuse(broker.UnknownUser, nil).Code, Err: errPrefixes}
	case s.certificates && c.TLSName == "":
		// Mosquitto's code for it: devices are told what a wrong password would tell them.
		return nil, &broker.Refusal{Reason: broker.CertificateRequired, Code: packet.BadUserNameOrPassword, Err: errNoIdentity}
	case s.certificates:
		return s.identity(c, c.TLSName), nil
	case !c.HasUser || c.User == "" && s.passwords == nil && !s.dynsec:
		if !s.anonymous {
			return nil, broker.Refuse(broker.AnonymousOff, nil)
		}
		return s.identity(c, ""), nil
	case s.passwords == nil && !s.dynsec:
		// Without a password_file a name is only a name.
		if !s.anonymous {
			return nil, broker.Refuse(broker.UnknownUser, errors.New("there is no password_file, and allow_anonymous is off"))
		}
		return s.identity(c, c.User), nil
	case s.passwords != nil && (!s.dynsec || s.marks[c.User] != 0):
		if _, err := s.passwords.Authenticate(ctx, g.noCertificate(c)); err != nil {
			return nil, err
		}
		return s.identity(c, c.User), nil
	}
	if g.dynsec == nil { // the plugin came with a reread, and follows at the next start
		return nil, broker.Refuse(broker.BackendUnavailable, errors.New("dynamic security follows at the next start"))
	}
	return g.dynsec.Authenticate(ctx, g.noCertificate(c))
}

// MayUnsubscribe implements broker.UnsubscribeAuthorizer: dynamic security alone keeps
// anybody from it.
func (g *Guard) MayUnsubscribe(id *broker.Identity, filter string) bool {
	s := g.now.Load().of(id.Listener)
	return s == nil || !s.dynsec || !g.isDynamic(s, id.User) || g.dynsec.MayUnsubscribe(id, filter)
}

// noCertificate has a Directory go by the password: certificates name nobody here.
func (g *Guard) noCertificate(c *broker.Credentials) *broker.Credentials {
	own := *c
	own.TLSName = ""
	return &own
}

// identity is a user of the files. Its Version stands for the password, so that a
// changed one is noticed.
func (s *entrance) identity(c *broker.Credentials, user string) *broker.Identity {
	return &broker.Identity{
		ClientID: c.ClientID, User: user, Listener: c.Listener.Name, Remote: c.Remote, TLSName: c.TLSName, Version: s.marks[user],
	}
}

// mark stands for a password's hash; never 0.
func mark(hash string) uint64 {
	sum := sha256.Sum256([]byte(hash))
	return binary.BigEndian.Uint64(sum[:]) | 1
}

// Generation implements broker.Authorizer.
func (g *Guard) Generation() uint64 {
	n := g.generation.Load()
	if g.dynsec != nil {
		n += g.dynsec.Generation() // both grow
	}
	return n
}

var (
	allowed    = broker.Decision{Allow: true, MaxQoS: 2, Rule: broker.RuleRef{Text: "there is no acl_file"}}
	narrowed   = broker.Decision{Allow: true, Narrowed: true, MaxQoS: 2, Rule: broker.RuleRef{Text: "acl_file: decided for each message"}}
	noListener = broker.Decision{Rule: broker.RuleRef{Text: "the listener is no more"}}
	nobody     = broker.Decision{Rule: broker.RuleRef{Text: "nobody is logged in"}}
)

// Authorize implements broker.Authorizer.
func (g *Guard) Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision {
	if id == nil {
		return nobody
	}
	if id.System {
		return allowed
	}
	in := g.now.Load()
	s := in.of(id.Listener)
	switch {
	case s == nil:
		return noListener
	case s.dynsec && g.isDynamic(s, id.User):
		return g.dynsec.Authorize(id, act, name)
	case s.acl == nil:
		return allowed
	case act == broker.Subscribe:
		return narrowed // Mosquitto refuses no SUBSCRIBE
	}
	bit := Read
	if act == broker.Publish {
		bit = Write
	}
	if act == broker.Receive {
		in.learn(s.acl, id.User, id.ClientID)
	}
	return s.acl.decide(id.User, id.ClientID, bit, name)
}

// isDynamic reports whether a user is one of dynamic security.
func (g *Guard) isDynamic(s *entrance, user string) bool {
	return g.dynsec != nil && s.marks[user] == 0
}

// Review implements broker.Reviewer.
func (g *Guard) Review(id *broker.Identity) (stands bool, reason broker.Reason) {
	s := g.now.Load().of(id.Listener)
	switch {
	case id.System, s == nil, s.certificates:
		return true, ""
	case id.User == "" || s.passwords == nil && !s.dynsec:
		if !s.anonymous {
			return false, broker.AnonymousOff
		}
		return true, ""
	case s.dynsec && g.isDynamic(s, id.User):
		return g.dynsec.Review(id)
	case s.marks[id.User] == 0:
		return false, broker.UnknownUser
	case id.Version != 0 && id.Version != s.marks[id.User]: // 0: restored, not logged in since
		return false, access.AccountChanged
	}
	return true, ""
}

// access reads the files of users and rights.
func (r *setupReader) access(ctx context.Context) {
	s := r.setup
	s.entrances.by = map[string]*entrance{}
	passwords, rights := map[string]*userFile{}, map[string]*aclTable{}
	list, names := s.Conf.securities()
	for i, sec := range list {
		l := &s.Conf.Listeners[i]
		x := &entrance{anonymous: sec.AllowAnonymous, certificates: l.certificateUsers(), prefix: s.Conf.ClientIDPrefixes}
		f := s.Conf.accessFiles(sec)
		if f.passwords != "" {
			u, ok := passwords[f.passwords]
			if !ok {
				u = r.users(ctx, f.passwords)
				passwords[f.passwords] = u
			}
			x.passwords, x.marks, x.users = u.directory, u.marks, u
		}
		if f.acl != "" {
			t, ok := rights[f.acl]
			if !ok {
				t = r.rights(f.acl)
				rights[f.acl] = t
			}
			x.acl = t
		}
		if f.dynsec != "" {
			if s.Dynsec != "" && s.Dynsec != f.dynsec {
				r.tell(l, Broken, "plugin", "there are two files of dynamic security, %q and %q: HearthMQ has one set of users", s.Dynsec, f.dynsec)
			}
			s.Dynsec, x.dynsec = f.dynsec, true
			for _, p := range s.Conf.Plugins {
				if p.Kind() == PluginDynsec && p.Options["config_file"] == f.dynsec {
					s.DynsecInit = p.Options["password_init_file"]
				}
			}
		}
		for _, name := range names[i] {
			s.entrances.by[name] = x
		}
		if !s.Conf.PerListener && s.entrances.standard == nil {
			s.entrances.standard = x
		}
	}
}

// accessFiles are the files of one Security.
type accessFiles struct{ passwords, acl, dynsec string }

func (c *Conf) accessFiles(s Security) accessFiles {
	one := Conf{Security: s, Persistence: c.Persistence, Plugins: slices.Clone(c.Plugins)}
	for i := range one.Plugins {
		one.Plugins[i].Used = slices.Contains(s.Plugins, i)
	}
	u := one.UsedFiles()
	first := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		return list[0]
	}
	return accessFiles{first(u.Passwords), first(u.ACL), first(u.Dynsec)}
}

// userFile is a password_file.
type userFile struct {
	file      string
	lines     map[string]int // by user
	directory *access.Directory
	marks     map[string]uint64
}

// users reads a password_file. A Directory checks its passwords: one at a time, with
// those that were proven remembered and strangers slowed down.
func (r *setupReader) users(ctx context.Context, name string) *userFile {
	in := new(Input)
	in.open(r.files, name, func(f io.Reader) []Notice {
		list, found := ReadPasswords(name, f)
		in.Passwords = list
		return found
	})
	r.found = append(r.found, in.Notices...)
	u := &userFile{directory: access.NewDirectory(access.Policy{KeepHashes: true}), marks: map[string]uint64{}, file: name, lines: map[string]int{}}
	accounts := access.NewAccounts(access.NewMemoryRepository(), u.directory, nil, nil)
	im := access.Import{Source: name}
	for _, p := range in.Passwords {
		im.Users = append(im.Users, access.NewUser{Name: p.User, Hash: p.Hash})
		u.marks[p.User], u.lines[p.User] = mark(p.Hash), p.Line
	}
	r.setup.read[name] = &readFile{marks: u.marks}
	err := accounts.Load(ctx)
	if err == nil {
		_, err = accounts.Import(ctx, im)
	}
	if err != nil {
		r.found = append(r.found, Notice{File: name, Level: Broken, Text: err.Error()})
	}
	return u
}

// rights reads an acl_file.
func (r *setupReader) rights(name string) *aclTable {
	in := new(Input)
	in.open(r.files, name, func(f io.Reader) []Notice {
		acl, found := ReadACL(name, f)
		in.ACL = acl
		return found
	})
	r.found = append(r.found, in.Notices...)
	t := new(aclTable)
	if in.ACL != nil {
		t = newACLTable(in.ACL)
	}
	r.setup.read[name] = &readFile{acl: t}
	return t
}
