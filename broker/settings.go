package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Config holds the broker's settings. The zero value of a field means its
// default; see DefaultConfig.
type Config struct {
	// MaxConnections bounds Network Connections, those before CONNECT included. 0: no bound.
	MaxConnections int
	// MaxConnectionsPerAddress bounds those from one address, and a fifth of it is how
	// many new ones a second it may open after a burst. 0: no bound. This machine itself
	// and ExemptAddresses are not bound.
	MaxConnectionsPerAddress int
	ExemptAddresses          []netip.Prefix
	// MemoryLimit is how many bytes the process may use; 0: no bound. It holds from the start on.
	MemoryLimit int64
	// MessageRatePerAddress and ByteRatePerAddress bound what all connections of one such
	// address send together, per second. 0: no bound.
	MessageRatePerAddress float64
	ByteRatePerAddress    float64
	// EachClient bounds every client, the system users aside.
	EachClient Limits
	// ListenerLimits are those of single listeners, by name: Connections and ConnectRate of
	// the listener as a whole, the others of each client who comes by it.
	ListenerLimits map[string]Limits
	// MaxPacketSize is the largest packet in bytes that is taken from a client,
	// announced to MQTT 5 clients. Before CONNECT the bound is 64 KiB.
	MaxPacketSize uint32
	// MaxInflight is how many QoS 1 and 2 messages are under way to a client
	// that announces no Receive Maximum of its own, and at most to any client.
	MaxInflight uint16
	// MaxInflightBytes bounds their payloads: nothing more is sent while so much is
	// under way. 0: no bound.
	MaxInflightBytes int
	// ReceiveMaximum is how many QoS 1 and 2 messages a client may have under
	// way to the broker [MQTT-3.3.4-9].
	ReceiveMaximum uint16
	// MaxQueuedMessages and MaxQueuedBytes bound a session's queue; what happens
	// beyond is QueueFull's business.
	MaxQueuedMessages int
	MaxQueuedBytes    int
	QueueFull         QueuePolicy
	// Durability says when acknowledgements leave.
	Durability Durability
	// MaxOutboundBytes bounds what waits for a slow socket. QoS 0 messages
	// beyond it are dropped and counted.
	MaxOutboundBytes int
	// MaxKeepAlive in seconds, 0: no bound. MQTT 5 clients are told, older ones
	// that ask for more are refused.
	MaxKeepAlive uint16
	// MaxSessionExpiry caps Session Expiry Intervals, 0: no cap. Persistent
	// sessions of 3.x clients expire after it.
	MaxSessionExpiry    time.Duration
	RetainedMaxMessages int // 0: no bound
	RetainedMaxBytes    int64
	// StrictProtocol ends connections over what is otherwise tolerated and counted
	// (SessionInfo.Violations): see CONFORMANCE.md.
	StrictProtocol bool
	// LikeMosquitto gives Mosquitto's answers where MQTT leaves a choice: no Reason
	// Strings; only PUBACK says that nobody has subscribed; a PUBREL for what is not
	// under way is answered as if it were; who is one too many is not told so.
	LikeMosquitto bool
	// MaximumQoS is the highest QoS that clients may publish with, nil: 2.
	MaximumQoS *byte
	// NoRetain switches retained messages off.
	NoRetain bool
	// TopicAliasMaximum is how many aliases a client may use towards the broker.
	TopicAliasMaximum uint16
	// MaxSubscriptions bounds the subscriptions of one session.
	MaxSubscriptions int
	// ConnectTimeout is how long a Network Connection may take until its CONNECT is
	// complete, twice that where TLS comes first.
	ConnectTimeout time.Duration
	// WriteTimeout is how long a socket may refuse to take anything before it is closed.
	WriteTimeout time.Duration
	// MaxPayload bounds the payload of a message in bytes, 0: MaxPacketSize alone does.
	MaxPayload int
	// MaxSessions bounds sessions, connected or not. 0: no bound.
	MaxSessions int
	// AutoIDPrefix begins the Client Identifiers that the broker gives.
	AutoIDPrefix string
	// QueueQoS0 keeps QoS 0 messages, in memory, for sessions without a connection.
	QueueQoS0 bool
	// UpgradeQoS delivers with the QoS of the subscription, even where the message was
	// published with a lower one.
	UpgradeQoS bool
	// RetainedExpiry ends retained messages that have no expiry of their own, 0: never.
	RetainedExpiry time.Duration
	// CheckRetainedSource has a new subscription get a retained message only while who
	// published it may still do so; see Broker.Withheld.
	CheckRetainedSource bool
	// SysInterval is how often $SYS topics are refreshed; below 0: never.
	SysInterval time.Duration
	// Version is what $SYS/broker/version says.
	Version string
}

// QueuePolicy says what happens to a message for a full queue.
type QueuePolicy string

const (
	DropOldest     QueuePolicy = "drop_oldest"
	DropNewest     QueuePolicy = "drop_newest"
	DisconnectSlow QueuePolicy = "disconnect"
)

// DefaultConfig returns the settings of a home's broker.
func DefaultConfig() Config {
	return Config{
		MaxConnections:           10_000,
		MaxConnectionsPerAddress: 50,
		MaxPacketSize:            16 << 20, // Zigbee2MQTT's definitions alone are hundreds of kB
		MaxInflight:              20,
		ReceiveMaximum:           100,
		MaxQueuedMessages:        8192, // Home Assistant starting up takes a burst of that size
		MaxQueuedBytes:           64 << 20,
		QueueFull:                DropOldest,
		Durability:               Durable,
		MaxOutboundBytes:         1 << 20,
		RetainedMaxMessages:      1_000_000,
		RetainedMaxBytes:         512 << 20,
		TopicAliasMaximum:        10,
		MaxSubscriptions:         10_000,
		ConnectTimeout:           5 * time.Second,
		WriteTimeout:             20 * time.Second,
		CheckRetainedSource:      true,
		AutoIDPrefix:             "auto-",
		SysInterval:              10 * time.Second,
		Version:                  "HearthMQ",
	}
}

// withDefaults fills in zero fields that may not be zero.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	fill(&c.MaxPacketSize, d.MaxPacketSize)
	fill(&c.MaxInflight, d.MaxInflight)
	fill(&c.ReceiveMaximum, d.ReceiveMaximum)
	fill(&c.MaxQueuedMessages, d.MaxQueuedMessages)
	fill(&c.MaxQueuedBytes, d.MaxQueuedBytes)
	fill(&c.QueueFull, d.QueueFull)
	fill(&c.Durability, d.Durability)
	fill(&c.MaxOutboundBytes, d.MaxOutboundBytes)
	fill(&c.MaxSubscriptions, d.MaxSubscriptions)
	fill(&c.ConnectTimeout, d.ConnectTimeout)
	fill(&c.WriteTimeout, d.WriteTimeout)
	fill(&c.AutoIDPrefix, d.AutoIDPrefix)
	fill(&c.SysInterval, d.SysInterval)
	fill(&c.Version, d.Version)
	return c
}

func fill[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func (c Config) validate() error {
	switch c.QueueFull {
	case DropOldest, DropNewest, DisconnectSlow:
	default:
		return fmt.Errorf("queue policy %q is not known", c.QueueFull)
	}
	switch c.Durability {
	case Durable, Balanced, SDSaver, Memory:
	default:
		return fmt.Errorf("durability %q is not known", c.Durability)
	}
	return nil
}

// Deps are the broker's collaborators.
type Deps struct {
	// Controller is asked about messages under $CONTROL; nil: nobody may send any.
	Controller    Controller
	Authenticator Authenticator // must not be nil
	Authorizer    Authorizer    // must not be nil
	Store         Store         // nil: nothing is stored
	// Unkept is why nothing that the Store takes outlives the process; nil: it does.
	Unkept   error
	Observer Observer     // nil: nobody looks
	Log      *slog.Logger // nil: slog.Default()
}

func (d Deps) validate() error {
	if d.Authenticator == nil || d.Authorizer == nil {
		return errors.New("broker: Authenticator and Authorizer must not be nil")
	}
	return nil
}
