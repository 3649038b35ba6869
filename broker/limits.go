package broker

import "fmt"

// Limits bound what a listener, a user or a client may take. A zero field sets no
// bound. Where several apply the strictest counts. System users have none.
type Limits struct {
	// Connections at a time, of the listener or of the user.
	Connections int
	// ConnectRate is how many a second may come, with a burst of ten seconds' worth;
	// further ones are refused until it is their turn.
	ConnectRate float64
	// MessageRate and ByteRate are per second, of each connection. Who is faster is
	// read more slowly; nothing is lost.
	MessageRate float64
	ByteRate    float64
	// PacketSize is the largest packet in bytes that is taken from a client.
	PacketSize uint32
	// Inflight is how many QoS 1 and 2 messages are under way to a client at most.
	Inflight uint16
	// QueuedMessages and QueuedBytes bound the queue of one session.
	QueuedMessages int
	QueuedBytes    int
	// Subscriptions of one session.
	Subscriptions int
	// RetainedMessages and RetainedBytes are what the user's clients published last. Those
	// of a listener are for each user who publishes by it.
	RetainedMessages int
	RetainedBytes    int64
	// TopicLevels of Topic Names and Topic Filters; topic.MaxLevels holds for all.
	TopicLevels int
}

// Strictest returns the limits where both apply.
func (l Limits) Strictest(m Limits) Limits {
	strictest(&l.Connections, m.Connections)
	strictest(&l.ConnectRate, m.ConnectRate)
	strictest(&l.MessageRate, m.MessageRate)
	strictest(&l.ByteRate, m.ByteRate)
	strictest(&l.PacketSize, m.PacketSize)
	strictest(&l.Inflight, m.Inflight)
	strictest(&l.QueuedMessages, m.QueuedMessages)
	strictest(&l.QueuedBytes, m.QueuedBytes)
	strictest(&l.Subscriptions, m.Subscriptions)
	strictest(&l.RetainedMessages, m.RetainedMessages)
	strictest(&l.RetainedBytes, m.RetainedBytes)
	strictest(&l.TopicLevels, m.TopicLevels)
	return l
}

func strictest[T int | int64 | uint16 | uint32 | float64](p *T, v T) {
	if v > 0 && (*p == 0 || v < *p) {
		*p = v
	}
}

// limitsOf is what all, the listener and the user limit a client to.
func (c *Config) limitsOf(listener string, id *Identity) Limits {
	if id.System {
		return Limits{}
	}
	return c.EachClient.Strictest(c.ListenerLimits[listener]).Strictest(limitsOf(id))
}

// limitsOf is what the user alone is limited to.
func limitsOf(id *Identity) Limits {
	if id.Limits == nil {
		return Limits{}
	}
	return *id.Limits
}

// whose names who set the limit that is most for a client, as an owner can find it: "limit
// of user lamp", "listener_limits of wss", or else the setting that holds for all.
func (c *Config) whose(listener string, id *Identity, setting string, most float64, of func(*Limits) float64) string {
	user, door := limitsOf(id), c.ListenerLimits[listener]
	switch {
	case id.System:
	case of(&user) == most:
		return fmt.Sprintf("limit of user %q", id.User)
	case of(&door) == most:
		return setting + " in listener_limits of " + listener
	}
	return setting
}
