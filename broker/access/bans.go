package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"hearthmq/broker"
)

// BanKind says by what a client is kept out.
type BanKind string

const (
	BanClient  BanKind = "client"  // its Client Identifier, exactly
	BanAddress BanKind = "address" // the address or network that it comes from
)

// Ban keeps clients out whoever they log in as.
type Ban struct {
	ID        int64
	Kind      BanKind
	Value     string // Client Identifier, address (192.168.1.20) or network (192.168.7.0/24)
	Note      string // why, for people
	Created   time.Time
	CreatedBy string
}

// Bounds of bans. A network is looked for one after the other at each CONNECT.
const (
	MaxBans      = 500
	maxBanClient = 65535 // bytes, as in MQTT
	maxBanNote   = 200   // bytes
)

// BanRepository keeps bans. Every mutation writes its audit row in the same
// transaction. Safe for concurrent use.
type BanRepository interface {
	// InsertBan stores b. ErrExists when that is banned already.
	InsertBan(ctx context.Context, b Ban, a AuditEntry) (id int64, err error)
	// Bans returns all of them, the latest first.
	Bans(ctx context.Context) ([]Ban, error)
	// SavedBans returns those of a second place, without their IDs, for when Bans fails:
	// as they were when they were changed last, or none.
	SavedBans(ctx context.Context) ([]Ban, error)
	// DeleteBan removes a ban. ErrNotFound.
	DeleteBan(ctx context.Context, id int64, a AuditEntry) error
}

// Bans keeps clients out by what they call themselves or where they come from. Who is
// connected already is the caller's to disconnect. Safe for concurrent use.
type Bans struct {
	repo     BanRepository
	changing sync.Mutex // held over a change and the snapshot that follows it
	snap     atomic.Pointer[banSnapshot]
	trouble  atomic.Pointer[error] // why they could not be read the last time; nil: they could
}

type banSnapshot struct {
	list     []Ban
	clients  map[string]int // index in list
	networks []bannedNetwork
}

type bannedNetwork struct {
	prefix netip.Prefix
	at     int // index in list
}

// NewBans returns the service over repo. Nobody is kept out before Open.
func NewBans(repo BanRepository) *Bans {
	b := &Bans{repo: repo}
	b.snap.Store(new(banSnapshot))
	return b
}

// Open reads what is stored. When it can't be read, whoever is known to be kept out stays
// so: those of the repository's second place, where nothing was read before. The error is
// then what Trouble says until Open has gone well.
func (b *Bans) Open(ctx context.Context) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	err := b.load(ctx)
	if err == nil || len(b.List()) > 0 {
		return err
	}
	saved, savedErr := b.repo.SavedBans(ctx)
	b.set(saved)
	return errors.Join(err, savedErr)
}

// Trouble is why the stored bans can't be read, nil when they can.
func (b *Bans) Trouble() error {
	if err := b.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// load makes the snapshot anew; when it can't, the one before stays. b.changing is held.
func (b *Bans) load(ctx context.Context) error {
	list, err := b.repo.Bans(ctx)
	if err != nil {
		err = fmt.Errorf("load who is blocked: %w", err)
		b.trouble.Store(&err)
		return err
	}
	b.trouble.Store(nil)
	b.set(list)
	return nil
}

// set makes the snapshot of a list. b.changing is held.
func (b *Bans) set(list []Ban) {
	s := &banSnapshot{list: list, clients: make(map[string]int)}
	for i, ban := range list {
		switch ban.Kind {
		case BanClient:
			s.clients[ban.Value] = i
		case BanAddress:
			// What can't be read any more keeps nobody out, and is listed to be lifted.
			if p, err := banNetwork(ban.Value); err == nil {
				s.networks = append(s.networks, bannedNetwork{p, i})
			}
		}
	}
	b.snap.Store(s)
}

// follow brings the snapshot to what is stored after a change, which holds also when that
// can't be read. b.changing is held.
func (b *Bans) follow(ctx context.Context, change func([]Ban) []Ban) {
	if b.load(context.WithoutCancel(ctx)) != nil { // Trouble tells of it
		b.set(change(slices.Clone(b.List())))
	}
}

// List returns all bans, the latest first. The caller must not change them.
func (b *Bans) List() []Ban { return b.snap.Load().list }

// Banned reports whether a client is kept out, and by what.
func (b *Bans) Banned(clientID string, from netip.Addr) (Ban, bool) {
	s := b.snap.Load()
	if i, ok := s.clients[clientID]; ok {
		return s.list[i], true
	}
	from = from.Unmap().WithZone("")
	for _, n := range s.networks {
		if n.prefix.Contains(from) {
			return s.list[n.at], true
		}
	}
	return Ban{}, false
}

// Add keeps clients out from now on. What is wrong is a Problems with the keys kind,
// value and note.
func (b *Bans) Add(ctx context.Context, kind BanKind, value, note string) (Ban, error) {
	note = strings.TrimSpace(note)
	p := make(Problems)
	if len(note) > maxBanNote || !utf8.ValidString(note) {
		p["note"] = fmt.Sprintf("must be text of at most %d bytes", maxBanNote)
	}
	switch kind {
	case BanClient:
		if value == "" || len(value) > maxBanClient || !utf8.ValidString(value) {
			p["value"] = "must be a client identifier"
		}
	case BanAddress:
		network, err := banNetwork(strings.TrimSpace(value))
		switch {
		case err != nil:
			p["value"] = "must be an address such as 192.168.1.20 or a network such as 192.168.7.0/24"
		case holdsOwn(network):
			p["value"] = "would keep out this machine itself, or Home Assistant and its apps"
		default:
			value = networkText(network)
		}
	default:
		p["kind"] = fmt.Sprintf("must be %s or %s", BanClient, BanAddress)
	}
	if err := p.orNil(); err != nil {
		return Ban{}, err
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	if len(b.List()) >= MaxBans {
		return Ban{}, Problems{"value": fmt.Sprintf("there are %d blocks already: lift one", MaxBans)}
	}
	ban := Ban{Kind: kind, Value: value, Note: note, Created: now(), CreatedBy: Actor(ctx).String()}
	var err error
	ban.ID, err = b.repo.InsertBan(ctx, ban, entry(ctx, "blocked", banObject(ban), "", note))
	switch {
	case errors.Is(err, ErrExists):
		return Ban{}, Problems{"value": "is blocked already"}
	case err != nil:
		return Ban{}, fmt.Errorf("block: %w", err)
	}
	b.follow(ctx, func(list []Ban) []Ban { return slices.Insert(list, 0, ban) })
	return ban, nil
}

// Lift lets in again whom a ban kept out. ErrNotFound.
func (b *Bans) Lift(ctx context.Context, id int64) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	for _, ban := range b.List() {
		if ban.ID != id {
			continue
		}
		if err := b.repo.DeleteBan(ctx, id, entry(ctx, "unblocked", banObject(ban), ban.Note, "")); err != nil {
			return fmt.Errorf("unblock: %w", err)
		}
		b.follow(ctx, func(list []Ban) []Ban { return slices.DeleteFunc(list, func(x Ban) bool { return x.ID == id }) })
		return nil
	}
	return fmt.Errorf("unblock: %w", ErrNotFound)
}

// banObject names a ban in the audit.
func banObject(b Ban) string { return string(b.Kind) + " " + shorten(b.Value) }

func banNetwork(text string) (netip.Prefix, error) {
	p, err := parseNetwork(text)
	if err != nil {
		return p, err
	}
	return normalNetwork(p), nil
}

func networkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// ownNetworks must stay open: this machine, and Home Assistant's network of apps.
var ownNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("172.30.32.0/23"),
}

func holdsOwn(p netip.Prefix) bool {
	for _, own := range ownNetworks {
		if p.Overlaps(own) {
			return true
		}
	}
	return false
}

// Guard asks next about those only who are not banned.
func (b *Bans) Guard(next broker.Authenticator) broker.Authenticator {
	g := &banGuard{b, next}
	if e, ok := next.(broker.EnhancedAuthenticator); ok {
		return &enhancedBanGuard{g, e}
	}
	return g
}

type banGuard struct {
	bans *Bans
	next broker.Authenticator
}

// Authenticate implements broker.Authenticator. It looks before and after next, which
// may take long: who is banned in between does not get in.
func (g *banGuard) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if err := g.refuse(c); err != nil {
		return nil, err
	}
	id, err := g.next.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	return id, g.refuse(c)
}

// Review implements broker.Reviewer: who was banned after it was looked at, and before there
// was a connection to end, is out as well. Parts of the broker are asked for nothing.
func (g *banGuard) Review(id *broker.Identity) (stands bool, reason broker.Reason) {
	if id.System && id.Version == 0 {
		return true, ""
	}
	if _, banned := g.bans.Banned(id.ClientID, id.Remote.Addr()); banned {
		return false, broker.Blocked
	}
	return true, ""
}

// refuse returns a *broker.Refusal for who is banned, else nil.
func (g *banGuard) refuse(c *broker.Credentials) error {
	if ban, ok := g.bans.Banned(c.ClientID, c.Remote.Addr()); ok {
		return broker.Refuse(broker.Blocked, fmt.Errorf("%s", banObject(ban)))
	}
	return nil
}

type enhancedBanGuard struct {
	*banGuard
	enhanced broker.EnhancedAuthenticator
}

// StartAuth implements broker.EnhancedAuthenticator.
func (g *enhancedBanGuard) StartAuth(ctx context.Context, method string, c *broker.Credentials) (broker.AuthExchange, error) {
	if err := g.refuse(c); err != nil {
		return nil, err
	}
	x, err := g.enhanced.StartAuth(ctx, method, c)
	if err != nil {
		return nil, err
	}
	return &guardedExchange{x, g.banGuard, c}, nil
}

// guardedExchange looks again at the end: who is banned in between does not get in here either.
type guardedExchange struct {
	broker.AuthExchange
	guard *banGuard
	c     *broker.Credentials
}

// Step implements broker.AuthExchange.
func (x *guardedExchange) Step(data []byte) (reply []byte, id *broker.Identity, err error) {
	if reply, id, err = x.AuthExchange.Step(data); err == nil && id != nil {
		err = x.guard.refuse(x.c)
	}
	return reply, id, err
}
