package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"hearthmq/broker/packet"
)

// How an orderly end goes (case R16): first nothing more is taken from anybody, then what
// was taken is stored and acknowledged, then MQTT 5 clients are told, then all go.
const (
	// lastAcks is how long acknowledgements may take to leave. What is not acknowledged
	// comes again after the restart: QoS 1 messages twice.
	lastAcks = time.Second
	// parting is how long somebody who was sending may take to close his end.
	parting = 250 * time.Millisecond
)

// Shutdown ends all connections (MQTT 5 clients are told [MQTT-3.14.0-1]), waits
// for them until ctx ends, and stores what is pending. Wills are published: their clients
// did not ask for the end. Listeners must be closed before.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.connsMu.Lock()
	b.stopping = true
	list := slices.Collect(maps.Keys(b.conns))
	var conns []*conn
	for _, g := range list {
		if g.conn != nil {
			conns = append(conns, g.conn)
		}
	}
	b.connsMu.Unlock()
	for _, c := range conns {
		c.halt()
	}
	b.sendLastAcks(ctx, conns)
	for _, g := range list {
		g.disconnect(packet.ServerShuttingDown, "server shutting down")
	}
	b.cancel()
	done := make(chan struct{})
	go func() { // ends with the connections, which are closed below at the latest
		b.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("connections still open: %w", ctx.Err())
		for _, g := range list {
			g.nc.Close()
		}
		<-done
	}
	b.sessions.flushLate()
	b.sessions.stopTimers()
	b.warm.stop()
	b.sessions.noteSent()
	b.journal.shutdown()
	return errors.Join(err, b.journal.failure())
}

// sendLastAcks waits until what halted connections brought is stored and acknowledged,
// unless nothing can be stored.
func (b *Broker) sendLastAcks(ctx context.Context, conns []*conn) {
	ctx, cancel := context.WithTimeout(ctx, lastAcks)
	defer cancel()
	for range 3 { // readers may have been in the middle of a packet
		last := b.journal.settled()
		waits := slices.ContainsFunc(conns, (*conn).owesAck)
		if !waits || b.journal.failure() != nil || b.journal.wait(ctx, last) != nil {
			return
		}
	}
}

// halt has the reader throw away what comes from now on, but for what finishes something,
// and with the DISCONNECT that as well.
func (c *conn) halt() {
	c.halted.Store(true)
	c.stopped.Store(true)
}

// finishes reports whether a packet brings nothing new.
func finishes(t packet.Type) bool {
	return t >= packet.TypePuback && t <= packet.TypePubcomp || t == packet.TypeDisconnect
}

// saidGoodbye reports whether nothing can be sent any more.
func (c *conn) saidGoodbye() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.dead
}

// owesAck reports whether an acknowledgement waits for the journal.
func (c *conn) owesAck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks.len() > 0 && !c.out.dead
}

// hangUp closes a connection on which everything has been written. Closing a socket with
// bytes that nobody has read resets it, and the last acknowledgements may be lost with it:
// who was sending until the server stopped is let close it first.
func (c *conn) hangUp() {
	if c.halted.Load() && c.quiet() < time.Second {
		if w, ok := c.nc.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
			time.AfterFunc(parting, func() { c.nc.Close() })
			return
		}
	}
	c.nc.Close()
}
