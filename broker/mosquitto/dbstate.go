package mosquitto

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// State is what a Database comes to in HearthMQ.
type State struct {
	Retained []*broker.Message
	Sessions []broker.StoredSession
}

// States of a ClientMessage that was sent and not acknowledged.
const (
	waitForPuback  = 3
	waitForPubrec  = 5
	resendPubrel   = 6
	waitForPubcomp = 9
)

// conversion is one call of State.
type conversion struct {
	notices
	db        *Database
	anonymous bool
	now       time.Time
	messages  map[uint64]*broker.Message
	users     map[string]string // who published with a Client Identifier; "" when it was more than one
	sessions  map[string]*broker.StoredSession
	subs      map[[2]string]int // Client Identifier and full Topic Filter → index
	flights   map[flight]bool
	counts    map[string]int // texts about many things of the same sort
}

// flight is a Packet Identifier in use.
type flight struct {
	clientID string
	packetID uint16
	incoming bool
}

// State turns db into retained messages and sessions. A session is bound to its user
// in HearthMQ: one whose user is not known stays behind, and so does one without a
// user unless anonymous says that clients without one are let in.
func (db *Database) State(now time.Time, anonymous bool) (State, []Notice) {
	c := &conversion{
		notices: notices{file: db.File}, db: db, now: now, anonymous: anonymous,
		messages: map[uint64]*broker.Message{}, users: map[string]string{},
		sessions: map[string]*broker.StoredSession{}, counts: map[string]int{},
		subs: map[[2]string]int{}, flights: map[flight]bool{},
	}
	for _, m := range db.Messages {
		if old, ok := c.users[m.SourceID]; ok && old != m.SourceUser {
			c.users[m.SourceID] = ""
		} else if m.SourceID != "" {
			c.users[m.SourceID] = m.SourceUser
		}
	}
	st := State{Retained: c.retained()}
	for _, x := range db.Clients {
		c.session(x)
	}
	for _, s := range db.Subscriptions {
		c.subscription(s)
	}
	for _, m := range db.Queued {
		c.queued(m)
	}
	for _, s := range c.sessions {
		st.Sessions = append(st.Sessions, *s)
	}
	slices.SortFunc(st.Sessions, func(a, b broker.StoredSession) int { return cmp.Compare(a.ClientID, b.ClientID) })
	c.tellCounts()
	return st, c.all()
}

// count collects what is told once, with how often it happened.
func (c *conversion) count(text string) { c.counts[text]++ }

func (c *conversion) tellCounts() {
	for _, text := range slices.Sorted(maps.Keys(c.counts)) {
		level := Left
		if strings.HasPrefix(text, "expired") {
			level = Harmless
		}
		c.add(0, level, "", "%d %s", c.counts[text], text)
	}
}

// message returns a message as HearthMQ keeps it, nil when it can't be kept.
func (c *conversion) message(id uint64) *broker.Message {
	if m, ok := c.messages[id]; ok {
		return m
	}
	c.messages[id] = nil
	b := c.db.Messages[id]
	if b == nil {
		c.count("entries refer to a message that is not in the file")
		return nil
	}
	if err := topic.ValidName(b.Topic); err != nil || b.QoS > 2 {
		c.count("messages have a topic or a QoS that MQTT does not allow")
		return nil
	}
	m := broker.NewMessage(b.Topic, b.Payload, b.QoS, b.Retain)
	m.PublisherID, m.PublisherUser = validText(b.SourceID), validText(b.SourceUser)
	m.Expires, m.Received = b.Expires, c.now
	if len(b.Properties) > 0 {
		if p, err := packet.DecodeProperties(b.Properties); err != nil {
			c.count("messages lost their MQTT 5 properties, which were not well formed")
		} else {
			m.Properties = p.AppendForward(nil)
		}
	}
	if m.Expired(c.now) {
		c.count("expired messages are not taken over")
		return nil
	}
	c.messages[id] = m
	return m
}

// validText returns s when MQTT allows it, "" else.
func validText(s string) string {
	if len(s) > topic.MaxBytes || !packet.ValidText(s) {
		return ""
	}
	return s
}

func (c *conversion) retained() []*broker.Message {
	list := make([]*broker.Message, 0, len(c.db.Retained))
	seen := make(map[string]int, len(c.db.Retained))
	for _, id := range c.db.Retained {
		m := c.message(id)
		switch {
		case m == nil:
			continue
		case strings.HasPrefix(m.Topic, "$SYS/"), strings.HasPrefix(m.Topic, "$CONTROL/"), strings.HasPrefix(m.Topic, "$hearthmq/"):
			c.count("retained messages of $ topics, which HearthMQ keeps for itself")
			continue
		case len(m.Payload) == 0:
			continue // stands for none
		}
		if !m.Retain { // the same message may wait in queues without the flag
			k := *m
			k.Retain = true
			m = &k
		}
		if i, ok := seen[m.Topic]; ok {
			list[i] = m
			continue
		}
		seen[m.Topic] = len(list)
		list = append(list, m)
	}
	return list
}

func (c *conversion) session(x Client) {
	user := x.User
	if !x.UserKnown {
		user = c.users[x.ID]
	}
	switch {
	case x.ID == "" || validText(x.ID) == "" || validText(user) != user:
		c.count("sessions have a client identifier or a user that MQTT does not allow")
		return
	case !x.ExpiresAt.IsZero() && !x.ExpiresAt.After(c.now), x.Expiry == 0:
		c.count("expired sessions are not taken over")
		return
	case user == "" && !c.anonymous && !x.UserKnown:
		c.add(0, Left, "", "the session of client %s stays behind: the file does not say whose it is", quote(x.ID))
		return
	case user == "" && !c.anonymous:
		c.add(0, Left, "", "the session of client %s stays behind: it has no user, and clients without one are not let in", quote(x.ID))
		return
	}
	since := c.now
	if !x.ExpiresAt.IsZero() && x.Expiry != broker.NeverExpires {
		since = x.ExpiresAt.Add(-time.Duration(x.Expiry) * time.Second)
	}
	c.sessions[x.ID] = &broker.StoredSession{SessionRecord: broker.SessionRecord{
		ClientID: x.ID, User: user, Version: packet.V311, Expiry: x.Expiry, Disconnected: since, Created: since,
	}}
}

func (c *conversion) subscription(x Subscription) {
	s := c.sessions[x.ClientID]
	if s == nil {
		return // told of with the session, or a client that keeps none
	}
	sub := broker.Subscription{
		QoS: x.QoS, NoLocal: x.Options&0x04 != 0, RetainAsPublished: x.Options&0x08 != 0,
		RetainHandling: x.Options >> 4 & 3, ID: x.Identifier,
	}
	share, filter, _, err := topic.ParseShare(x.Filter)
	if err == nil {
		err = topic.ValidFilter(filter)
	}
	if err != nil || sub.QoS > 2 || sub.RetainHandling > 2 || sub.ID > 268_435_455 {
		c.count("subscriptions have a topic filter or options that MQTT does not allow")
		return
	}
	sub.Share, sub.Filter = share, filter
	if sub.ID > 0 || x.Options != 0 {
		s.Version = packet.V50
	}
	key := [2]string{x.ClientID, sub.FullFilter()}
	if i, ok := c.subs[key]; ok {
		s.Subscriptions[i] = sub
		return
	}
	c.subs[key] = len(s.Subscriptions)
	s.Subscriptions = append(s.Subscriptions, sub)
}

func (c *conversion) queued(x ClientMessage) {
	s := c.sessions[x.ClientID]
	if s == nil {
		return
	}
	if x.Incoming {
		c.count("QoS 2 messages from clients were not complete; their clients are told that they are, and they are gone")
		if key := (flight{x.ClientID, x.PacketID, true}); x.PacketID != 0 && !c.flights[key] {
			c.flights[key] = true
			s.Received = append(s.Received, x.PacketID)
		}
		return
	}
	m := c.message(x.MessageID)
	if m == nil || x.QoS > 2 {
		return
	}
	d := broker.StoredDelivery{Seq: int64(len(s.Queue)) + 1, Message: m, QoS: min(x.QoS, m.QoS), Retain: x.Retain}
	if x.Identifier > 0 {
		d.SubIDs = []uint32{x.Identifier}
	}
	if key := (flight{x.ClientID, x.PacketID, false}); x.PacketID != 0 && d.QoS > 0 && !c.flights[key] {
		switch x.State {
		case waitForPuback, waitForPubrec:
			d.State, d.PacketID = broker.StateSent, x.PacketID
		case resendPubrel, waitForPubcomp:
			if d.QoS == 2 {
				d.State, d.PacketID = broker.StateReleased, x.PacketID
			}
		}
		c.flights[key] = d.State != broker.StateQueued
	}
	s.Queue = append(s.Queue, d)
}

// changes is the state as a Store takes it. next is the first message number that is
// free in the store. Topics and clients that skip knows keep what they have.
func (st *State) changes(next int64, skipTopic, skipClient func(string) bool) []broker.Change {
	list := make([]broker.Change, 0, len(st.Retained)+2*len(st.Sessions))
	for _, m := range st.Retained {
		if !skipTopic(m.Topic) {
			list = append(list, broker.RetainedSet{Message: m})
		}
	}
	ids := map[*broker.Message]int64{}
	for _, s := range st.Sessions {
		if skipClient(s.ClientID) {
			continue
		}
		list = append(list, broker.SessionSaved{Session: s.SessionRecord})
		for _, sub := range s.Subscriptions {
			list = append(list, broker.SubscriptionSaved{ClientID: s.ClientID, Subscription: sub})
		}
		for _, id := range s.Received {
			list = append(list, broker.Received{ClientID: s.ClientID, PacketID: id})
		}
		for _, d := range s.Queue {
			id, ok := ids[d.Message]
			if !ok {
				id = next
				ids[d.Message] = id
				next++
			}
			list = append(list, broker.Queued{ClientID: s.ClientID, MessageID: id, Delivery: d})
		}
	}
	return list
}
