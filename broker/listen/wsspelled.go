package listen

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
)

// spelled is a ResponseWriter whose answer to a WebSocket handshake has the capitals of
// Mosquitto's: HTTP does not care, programs that compare bytes do.
type spelled struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (s spelled) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &spelledConn{Conn: c}, rw, nil
}

// spelledConn corrects the first bytes that are written. Writes are made by one goroutine
// at a time.
type spelledConn struct {
	net.Conn
	done bool
}

// NetConn returns the connection beneath.
func (c *spelledConn) NetConn() net.Conn { return c.Conn }

// Write implements net.Conn.
func (c *spelledConn) Write(p []byte) (int, error) {
	if c.done {
		return c.Conn.Write(p)
	}
	c.done = true
	const name = "\r\nUpgrade: "
	return c.Conn.Write(bytes.Replace(p, []byte(name+"websocket\r\n"), []byte(name+"WebSocket\r\n"), 1)) // of the same length
}

// hangUp closes a request's connection without an answer.
func hangUp(rw http.ResponseWriter) {
	if c, _, err := http.NewResponseController(rw).Hijack(); err == nil {
		_ = c.Close() // nothing is to be said
	}
}

// PeerName implements peer.
func (c *spelledConn) PeerName() (string, error) { return peerName(c.Conn) }
