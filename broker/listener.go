package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// ListenerInfo tells of the listener that a connection came in by.
type ListenerInfo struct {
	Name      string // as settings and rules call it: mqtt, ws, mqtts, wss, unix
	TLS       bool
	WebSocket bool
	// Rules are what holds for this listener alone; nil: Config.
	Rules *ListenerRules
	// Trusted is who is at the other end where that is a part of this program, such as
	// a bridge: it is not asked for a password. Its Client Identifier is CONNECT's.
	Trusted *Identity
}

// ListenerRules are settings of one listener. Immutable.
type ListenerRules struct {
	MaxConnections int              // at a time; 0: no bound of its own
	MaximumQoS     *byte            // nil: Config's
	Versions       []packet.Version // that are let in; nil: all
	// MountPoint stands in front of every topic that clients of the listener name, and
	// is taken off again on the way to them. What does not begin with it they never see.
	MountPoint string
	// TopicAliasMaximum is Config's for this listener, OutgoingAliases how many the
	// broker uses towards a client at most; nil: Config's, and as many as the client takes.
	TopicAliasMaximum, OutgoingAliases *uint16
	// UserAsClientID makes the user's name the Client Identifier, whatever the client sent.
	UserAsClientID bool
	// NoEmptyClientID refuses clients without a Client Identifier.
	NoEmptyClientID bool
	// AutoIDPrefix begins the Client Identifiers that the broker gives; "": Config's.
	AutoIDPrefix string
}

func (i *ListenerInfo) mountPoint() string {
	if i.Rules == nil {
		return ""
	}
	return i.Rules.MountPoint
}

// cfg is the settings as they are now.
func (b *Broker) cfg() *Config { return b.settings.Load() }

// cfgOf is the settings for a connection of a listener. They hold as long as it does.
func (b *Broker) cfgOf(info ListenerInfo) *Config {
	cfg := b.cfg()
	r := info.Rules
	if r == nil {
		return cfg
	}
	own := *cfg
	if r.MaximumQoS != nil {
		own.MaximumQoS = r.MaximumQoS
	}
	if r.TopicAliasMaximum != nil {
		own.TopicAliasMaximum = *r.TopicAliasMaximum
	}
	if r.AutoIDPrefix != "" {
		own.AutoIDPrefix = r.AutoIDPrefix
	}
	return &own
}

// Reconfigure changes the settings while the broker runs. Connections keep what
// CONNACK told them; queues, retained messages and new connections follow at once.
// Durability and Version stay what they are.
func (b *Broker) Reconfigure(cfg Config) error {
	cfg = cfg.withDefaults()
	cfg.Durability, cfg.Version = b.cfg().Durability, b.cfg().Version
	if err := cfg.validate(); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	b.settings.Store(&cfg)
	return nil
}

// DisconnectListener ends the connections of a listener that is no more.
func (b *Broker) DisconnectListener(name string) {
	b.connsMu.Lock()
	var list []*guest
	for g := range b.conns {
		if g.info.Name == name {
			list = append(list, g)
		}
	}
	b.connsMu.Unlock()
	for _, g := range list {
		g.disconnect(packet.AdministrativeAction, "listener closed")
	}
}

// checkListener applies the listener's own rules to a CONNECT.
func (c *conn) checkListener(p *packet.Connect) *Refusal {
	r := c.info.Rules
	switch {
	case r == nil:
	case r.Versions != nil && !slices.Contains(r.Versions, p.Version):
		return &Refusal{Reason: BadProtocol, Code: packet.UnsupportedProtocolVersion, Err: errors.New("this listener does not take " + p.Version.String())}
	case r.NoEmptyClientID && !r.UserAsClientID && p.ClientID == "":
		refusal := Refuse(BadClientID, errors.New("empty client identifier"))
		if c.cfg.LikeMosquitto && p.Version == packet.V50 {
			refusal.Code = packet.UnspecifiedError
		}
		return refusal
	}
	return nil
}

// ownClientID gives the client the identifier that the listener prescribes.
func (c *conn) ownClientID(p *packet.Connect, id *Identity) (*Identity, *Refusal) {
	if c.info.Rules == nil || !c.info.Rules.UserAsClientID {
		return id, nil
	}
	if id.User == "" || len(id.User) > maxClientID {
		return nil, &Refusal{Reason: BadClientID, Code: packet.NotAuthorized, Err: errors.New("the user's name has to be the client identifier, and there is none")}
	}
	own := *id
	own.ClientID, p.ClientID = id.User, id.User
	return &own, nil
}

// mounted is a Topic Name or Topic Filter of the client as everybody else calls it.
func (c *conn) mounted(name string) string {
	if c.mount == "" || name == "" {
		return name
	}
	return c.mount + name
}

// mountTopic is mounted for a PUBLISH.
func (c *conn) mountTopic(p *packet.Publish) {
	if c.mount != "" && len(p.Topic) > 0 {
		p.Topic = append([]byte(c.mount), p.Topic...)
	}
}

// mountFilter is mounted for a Topic Filter, which may be that of a Shared Subscription.
func (c *conn) mountFilter(full string) string {
	if c.mount == "" {
		return full
	}
	share, filter, shared, err := topic.ParseShare(full)
	if err != nil || !shared {
		return c.mounted(full)
	}
	return "$share/" + share + "/" + c.mounted(filter)
}

// unmount is a Topic Name as the client knows it.
func (c *conn) unmount(name []byte) []byte { return name[min(len(c.mount), len(name)):] }

// reaches reports whether a topic is one that the client can see.
func (c *conn) reaches(name string) bool {
	return c.mount == "" || len(name) > len(c.mount) && strings.HasPrefix(name, c.mount)
}

// outgoingAliases bounds the aliases towards a client that takes most.
func (c *conn) outgoingAliases(most uint16) uint16 {
	if r := c.info.Rules; r != nil && r.OutgoingAliases != nil {
		return min(most, *r.OutgoingAliases)
	}
	return most
}

// queues reports whether QoS 0 messages are kept for a session without a connection.
func (s *Session) queues() bool {
	return s.persistent && (s.b.cfg().QueueQoS0 || s.holds.Load())
}

// retainedCopy is the message as it is retained: it may have to end by itself.
func (c *Config) retainedCopy(m *Message) *Message {
	if c.RetainedExpiry <= 0 || !m.Expires.IsZero() {
		return m
	}
	k := *m
	k.Expires = m.Received.Add(c.RetainedExpiry)
	return &k
}

// sysPause is how long $SYS rests until it is published again, or, while it is
// switched off, until that is looked at again.
func (c *Config) sysPause() time.Duration {
	if c.SysInterval < 0 {
		return time.Minute
	}
	return c.SysInterval
}
