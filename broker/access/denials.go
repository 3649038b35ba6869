package access

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"hearthmq/broker"
)

const (
	maxDenials    = 500 // distinct ones of each sort that are kept
	maxDenialText = 512 // bytes of a Client Identifier, topic or name that are kept
)

// Denial is something that was refused, perhaps many times.
type Denial struct {
	ClientID string
	User     string // as the client said
	Listener string
	Remote   string // address of the last time
	Action   string // "publish", "subscribe", "receive", "connect"
	Topic    string // Topic Name or Topic Filter; "" for "connect"
	Rule     string // text of the rule, or the reason why a login was refused
	RuleID   int64  // 0: no stored rule
	Detail   string // more about a refused login the last time, for people; may be ""
	Count    uint64
	First    time.Time
	Last     time.Time
}

// Denials remembers the last distinct denials and refused logins. It is a
// broker.Observer, safe for concurrent use. Strangers can produce refused logins at
// will, so they don't push out denials.
//
// It remembers as well who was here, see Past.
type Denials struct {
	mu      sync.Mutex
	denied  *fair
	refused *fair
	past    *lru[string, *Past]
}

// denialKey is what makes a denial another one.
type denialKey struct {
	clientID, user, action, topic, rule string
	from                                string // of those who did not say who they are
}

var _ broker.Observer = (*Denials)(nil)

// NewDenials returns an empty one.
func NewDenials() *Denials {
	return &Denials{
		denied:  newFair(maxDenials),
		refused: newFair(maxDenials),
		past:    newLRU[string, *Past](maxPast),
	}
}

// OnPublish implements broker.Observer.
func (*Denials) OnPublish(*broker.Message) {}

// OnEvent implements broker.Observer.
func (d *Denials) OnEvent(e broker.Event) {
	switch e := e.(type) {
	case broker.Denied:
		n := Denial{Action: e.Action.String(), Topic: clip(e.Name), Rule: e.Rule.Text, RuleID: e.Rule.ID}
		if id := e.Identity; id != nil {
			n.ClientID, n.User, n.Listener = clip(id.ClientID), clip(id.User), id.Listener
			if id.Remote.IsValid() {
				n.Remote = id.Remote.String()
			}
		}
		d.add(d.denied, n, e.At)
	case broker.Refused:
		d.add(d.refused, Denial{
			ClientID: clip(e.ClientID),
			User:     clip(e.User),
			Listener: e.Listener,
			Remote:   e.Remote,
			Action:   "connect",
			Rule:     string(e.Reason),
			Detail:   clip(e.Detail),
		}, e.At)
	case broker.Connected:
		if e.Identity != nil {
			d.came(e)
		}
	case broker.Disconnected:
		if e.Identity != nil {
			d.went(e)
		}
	case broker.Dropped:
		d.lost(e)
	case broker.Expired:
		d.expired(e)
	}
}

func (d *Denials) add(to *fair, n Denial, at time.Time) {
	key := denialKey{clientID: n.ClientID, user: n.User, action: n.Action, topic: n.Topic, rule: n.Rule}
	if Assigned(n.ClientID) {
		key.clientID = assignedPrefix // a device that tries again has another one each time
	}
	if n.ClientID == "" && n.User == "" {
		key.from = hostOf(n.Remote)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := to.get(key)
	if !ok {
		known = &noted{Denial: n, owner: n.User}
		if n.Action == "connect" || n.User == "" {
			known.owner = "@" + hostOf(n.Remote) // what strangers call themselves is their choice
		}
		known.First = at
		to.put(key, known)
	}
	known.Count++
	known.Last, known.Remote, known.Listener, known.Detail, known.ClientID = at, n.Remote, n.Listener, n.Detail, n.ClientID
}

// Why is what an owner reads: the rule or the reason, with what more is known of it.
func (n Denial) Why() string {
	if n.Detail == "" {
		return n.Rule
	}
	return n.Rule + ": " + n.Detail
}

// assignedPrefix begins the Client Identifiers that the broker gives unless it is told
// otherwise, see broker.Config.AutoIDPrefix; a UUID follows.
const assignedPrefix = "auto-"

// Assigned reports whether a Client Identifier looks like those that the broker gives to
// clients without one: it is another one at each connection.
func Assigned(clientID string) bool {
	return len(clientID) == len(assignedPrefix)+36 && strings.HasPrefix(clientID, assignedPrefix)
}

// Recent returns all that is remembered, the latest first.
func (d *Denials) Recent() []Denial {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Denial
	for _, n := range append(d.denied.all(), d.refused.all()...) {
		list = append(list, n.Denial)
	}
	slices.SortStableFunc(list, func(a, b Denial) int { return cmp.Compare(b.Last.UnixNano(), a.Last.UnixNano()) })
	return list
}

// clip bounds what a client made up, and lets go of the packet it may be a part of.
func clip(s string) string {
	if len(s) > maxDenialText {
		return strings.ToValidUTF8(s[:maxDenialText], "") + "…"
	}
	return strings.Clone(s)
}
