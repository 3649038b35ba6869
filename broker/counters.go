package broker

import (
	"cmp"
	"sync/atomic"
	"time"
)

// counters are the broker's own; what a connection counts for itself is folded
// in when it ends, and added up on demand while it stands.
type counters struct {
	sockets, accepted, refused, denied, expired atomic.Uint64
	dropped, strayAcks, retainedRefused         atomic.Uint64
	slowed                                      atomic.Uint64 // rests of readers that were too fast
	queued, queuedBytes                         atomic.Int64

	// ended sums up connections that are gone; Broker.connsMu guards it.
	ended traffic
}

// traffic is what went over connections.
type traffic struct {
	packetsIn, bytesIn, publishesIn, payloadIn     uint64
	packetsOut, bytesOut, publishesOut, payloadOut uint64
}

func (t *traffic) add(c *conn) {
	t.packetsIn += c.recv.packets.Load()
	t.bytesIn += c.recv.bytes.Load()
	t.publishesIn += c.recv.publishes.Load()
	t.payloadIn += c.recv.payload.Load()
	c.mu.Lock()
	s := c.sent
	c.mu.Unlock()
	t.packetsOut += s.packets
	t.bytesOut += s.bytes
	t.publishesOut += s.publishes
	t.payloadOut += s.payload
}

func (k *counters) fold(c *conn) { k.ended.add(c) }

// Stats adds the figures up. It looks at every connection; once a second is fine.
func (b *Broker) Stats() Stats {
	b.connsMu.Lock()
	t := b.stats.ended
	connections, clients := len(b.conns), 0
	var waitingPackets, waitingBytes uint64
	for g := range b.conns {
		if g.conn == nil {
			continue
		}
		t.add(g.conn)
		packets, bytes := g.conn.waits()
		waitingPackets += packets
		waitingBytes += bytes
	}
	b.connsMu.Unlock()
	b.sessions.mu.Lock()
	total, most := len(b.sessions.byID), b.sessions.most
	for _, s := range b.sessions.byID {
		if s.conn.Load() != nil {
			clients++
		}
	}
	b.sessions.mu.Unlock()
	subs, shared := b.subs.counts()
	k := &b.stats
	pending := b.journal.backlog()
	return Stats{
		Started: b.started, Now: time.Now(),
		Connections: connections, Clients: clients, Sessions: total, MaxSessions: most,
		Subscriptions: subs, SharedSubs: shared,
		Retained: int(b.retained.count.Load()), RetainedBytes: b.retained.bytes.Load(),
		QueuedMessages: int(k.queued.Load()), QueuedBytes: k.queuedBytes.Load(),
		JournalPending: pending, Store: b.journal.pace.figures(), StoreError: cmp.Or(b.journal.failure(), b.deps.Unkept),
		ExpiredSessions: k.expired.Load(), SocketsAccepted: k.sockets.Load(),
		ConnectsAccepted: k.accepted.Load(), ConnectsRefused: k.refused.Load(), Denied: k.denied.Load(),
		PacketsReceived: t.packetsIn, PacketsSent: t.packetsOut,
		BytesReceived: t.bytesIn, BytesSent: t.bytesOut, PacketsWaiting: waitingPackets, BytesWaiting: waitingBytes,
		PublishReceived: t.publishesIn, PublishSent: t.publishesOut,
		PublishBytesReceived: t.payloadIn, PublishBytesSent: t.payloadOut,
		PublishDropped: k.dropped.Load(), Slowed: k.slowed.Load(), RetainedRefused: k.retainedRefused.Load(),
		Memory: b.pressure.figures(),
	}
}
