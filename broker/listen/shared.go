package listen

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"unicode"
	"unicode/utf8"
)

// webSocketStart are the first bytes of every WebSocket handshake. No MQTT
// packet that a client may send first starts with 'G' [MQTT-3.1.0-1].
const webSocketStart = "GET "

// share splits a listener in two by the first bytes of its connections.
func share(ln net.Listener, log *slog.Logger) (mqtt, web net.Listener) {
	g := newGate(ln)
	plain, ws := g.outlet(), g.outlet()
	go g.run(func(c net.Conn) (*outlet, net.Conn) {
		seen, isWeb, err := sniff(c)
		switch {
		case err != nil:
			log.Debug("A client went before it said what it speaks", "remote", c.RemoteAddr().String(), "err", err)
			return nil, nil
		case isWeb:
			return ws, replay(c, seen)
		default:
			return plain, replay(c, seen)
		}
	})
	return plain, ws
}

// sniff reads until it is clear what c speaks, and returns what it read.
func sniff(c net.Conn) (seen []byte, web bool, err error) {
	if err := firstByte(c); err != nil {
		return nil, false, err
	}
	seen = make([]byte, 0, 64)
	for {
		n, err := c.Read(seen[len(seen):cap(seen)])
		seen = seen[:len(seen)+n]
		k := min(len(seen), len(webSocketStart))
		if k > 0 && string(seen[:k]) != webSocketStart[:k] {
			return seen, false, nil
		}
		if k == len(webSocketStart) {
			return seen, true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
}

// firstByte returns when the client has said something, without a buffer until then.
func firstByte(c net.Conn) error {
	switch c := c.(type) {
	case *encrypted:
		return c.Wait()
	case *net.TCPConn, *net.UnixConn:
		return newCalm(c).wait()
	}
	return nil
}

// replay returns a conn that reads as if nothing had been read.
func replay(c net.Conn, seen []byte) net.Conn {
	switch c := c.(type) {
	case *encrypted:
		return &replayedTLS{replayed{Conn: c, rest: seen}}
	case *prefixed:
		// Behind a proxy: what the PROXY header left was read through c.
		return &prefixed{replayed: replayed{Conn: c.Conn, rest: append(seen, c.rest...)}, remote: c.remote, name: c.name}
	}
	return &prefixed{replayed: replayed{Conn: c, rest: seen}}
}

// replayed gives out bytes that were read before those that come. Reads are
// made by one goroutine at a time.
type replayed struct {
	net.Conn
	rest []byte
}

// Read implements io.Reader.
func (c *replayed) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		if c.rest = c.rest[n:]; len(c.rest) == 0 {
			c.rest = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// prefixed is a TCP connection whose first bytes were read already.
type prefixed struct {
	replayed
	remote net.Addr // the client's address as a trusted proxy told it, or nil
	name   string   // whom the client's certificate names, as a trusted proxy told it
}

// PeerName returns whom the client's certificate names. The error is a *ClientError:
// with a name that none can have.
func (c *prefixed) PeerName() (string, error) {
	if c.name == "" {
		return peerName(c.Conn)
	}
	if !utf8.ValidString(c.name) || strings.ContainsFunc(c.name, unicode.IsControl) { // case A16
		return "", &ClientError{Err: fmt.Errorf("the certificate names %s, which is no name", printable(c.name))}
	}
	return c.name, nil
}

// Prefix returns the bytes that were read already and not given out by Read
// yet. Who continues on NetConn must take them first.
func (c *prefixed) Prefix() []byte { return c.rest }

// NetConn returns the connection beneath.
func (c *prefixed) NetConn() net.Conn { return c.Conn }

// RemoteAddr implements net.Conn.
func (c *prefixed) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

// replayedTLS is an encrypted connection whose first bytes were read already.
type replayedTLS struct{ replayed }

// Wait returns when there may be something to read.
func (c *replayedTLS) Wait() error {
	if len(c.rest) > 0 {
		return nil
	}
	return c.Conn.(*encrypted).Wait()
}

// PeerName returns whom the client's certificate names.
func (c *replayedTLS) PeerName() (string, error) { return peerName(c.Conn) }

// OnDistrust has f called when the client's certificate is not trusted any more.
func (c *replayedTLS) OnDistrust(f func(err error, ended bool)) { onDistrust(c.Conn, f) }
