package broker

// Limits bound what a listener, a user or a client may take. A zero field sets no
// bound. Where several apply the strictest counts.
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
	// RetainedMessages and RetainedBytes are what the user's clients published last.
	RetainedMessages int
	RetainedBytes    int64
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
	return l
}

func strictest[T int | int64 | uint16 | uint32 | float64](p *T, v T) {
	if v > 0 && (*p == 0 || v < *p) {
		*p = v
	}
}
