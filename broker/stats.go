package broker

import "time"

// Stats are the broker's figures. Counters count since the process started and
// never go down.
type Stats struct {
	Started time.Time
	Now     time.Time

	Connections      int // Network Connections that stand, those before CONNECT included
	Clients          int // sessions that are connected
	Sessions         int // sessions, connected or not
	MaxSessions      int // the most there ever were
	Subscriptions    int
	SharedSubs       int
	Retained         int
	RetainedBytes    int64
	QueuedMessages   int // waiting in sessions' queues
	QueuedBytes      int64
	JournalPending   int // changes not stored yet
	Store            StoreFigures
	StoreError       error // not nil while the store does not take changes, or does not keep them
	ExpiredSessions  uint64
	SocketsAccepted  uint64
	ConnectsAccepted uint64
	ConnectsRefused  uint64
	Denied           uint64

	PacketsReceived, PacketsSent           uint64
	BytesReceived, BytesSent               uint64
	PacketsWaiting, BytesWaiting           uint64 // that sockets have not taken yet; a gauge
	PublishReceived, PublishSent           uint64
	PublishBytesReceived, PublishBytesSent uint64 // payload bytes
	PublishDropped                         uint64
	Slowed                                 uint64 // rests of clients that sent faster than they may
	RetainedRefused                        uint64 // messages that a limit kept from being retained
	Memory                                 MemoryFigures
}

// SessionInfo is a snapshot of a session for people.
type SessionInfo struct {
	ClientID      string
	User          string
	Connected     bool
	Identity      *Identity // nil for a session restored and not connected since
	Version       byte      // Protocol Level: 3, 4, 5
	KeepAlive     time.Duration
	Since         time.Time // connected or disconnected since
	Created       time.Time
	Expiry        uint32 // Session Expiry Interval, seconds
	Subscriptions int
	Queued        int
	QueuedBytes   int
	Inflight      int
	Dropped       uint64
	// DroppedBy is the limit that its queue has reached, Slowed how often it was read more
	// slowly in this connection, and SlowedBy the limit that was for; "": none.
	DroppedBy  string
	Slowed     uint64
	SlowedBy   string
	Violations uint64 // of the specification by the client, tolerated
	Received   uint64 // PUBLISH packets from the client in this connection
	Sent       uint64 // PUBLISH packets to it in this connection
	HasWill    bool
	WillTopic  string
	// Mount is the mount point of the listener that it came in by: it stands in front of
	// every topic the client names.
	Mount string
}

// SubscriptionInfo is a subscription with what the access rules make of it.
type SubscriptionInfo struct {
	Subscription
	Narrowed bool // part of what it matches is not delivered for lack of rights
	Rule     RuleRef
	MaxQoS   byte // what the rules grant at most
}
