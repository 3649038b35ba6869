package listen

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// webSocketConn is a WebSocket as a stream of bytes: frames mean nothing to
// MQTT [MQTT-6.0.0-2]. Reads are made by one goroutine at a time; everything
// else may be called by any.
type webSocketConn struct {
	ws     *websocket.Conn
	frame  io.Reader // what is left of the message being read, or nil
	remote net.Addr  // the client's address as a trusted proxy told it, or nil
	failed error     // what Read says from now on

	writing       sync.Mutex
	writeDeadline atomic.Pointer[time.Time]
}

// closeTimeout bounds the attempt to say goodbye on a socket that may be full.
const closeTimeout = 250 * time.Millisecond

var errTextFrame = errors.New("WebSocket text frame, MQTT needs binary ones")

// Read implements net.Conn. After an error, a passed deadline included, every
// further Read fails.
func (c *webSocketConn) Read(p []byte) (int, error) {
	for {
		if _ = c.Wait(); c.failed != nil {
			return 0, c.failed
		}
		n, err := c.frame.Read(p)
		if errors.Is(err, io.EOF) {
			c.frame, err = nil, nil
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, readError(err)
		}
	}
}

// Wait returns when a message has begun, or Read would fail. It is called by who reads.
func (c *webSocketConn) Wait() error {
	if c.frame == nil && c.failed == nil {
		c.frame, c.failed = c.next()
	}
	return nil
}

// next waits for the next message.
func (c *webSocketConn) next() (io.Reader, error) {
	kind, r, err := c.ws.NextReader()
	if errors.Is(err, websocket.ErrReadLimit) {
		c.goodbye(websocket.CloseMessageTooBig, "")
	}
	if err != nil {
		return nil, readError(err)
	}
	if kind != websocket.BinaryMessage { // [MQTT-6.0.0-1]
		c.goodbye(websocket.CloseUnsupportedData, "MQTT needs binary frames")
		return nil, errTextFrame
	}
	return r, nil
}

// readError tells a client that closed its WebSocket from one that broke off.
func readError(err error) error {
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
		return io.EOF
	}
	return err
}

// Write implements net.Conn: p becomes one binary message.
func (c *webSocketConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	var deadline time.Time
	if d := c.writeDeadline.Load(); d != nil {
		deadline = *d
	}
	if err := c.ws.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	if err := c.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, fmt.Errorf("write WebSocket message: %w", err)
	}
	return len(p), nil
}

// Close implements net.Conn. It says goodbye when nothing is being written.
func (c *webSocketConn) Close() error {
	if c.writing.TryLock() {
		c.goodbye(websocket.CloseNormalClosure, "")
		c.writing.Unlock()
	}
	return c.ws.Close()
}

func (c *webSocketConn) goodbye(code int, text string) {
	// Whether it arrives makes no difference: the connection ends now.
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(closeTimeout))
}

// PeerName returns whom the client's certificate names.
func (c *webSocketConn) PeerName() (string, error) { return peerName(c.ws.NetConn()) }

// OnDistrust has f called when the client's certificate is not trusted any more.
func (c *webSocketConn) OnDistrust(f func(err error, ended bool)) { onDistrust(c.ws.NetConn(), f) }

// LocalAddr implements net.Conn.
func (c *webSocketConn) LocalAddr() net.Addr { return c.ws.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *webSocketConn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.ws.RemoteAddr()
}

// SetDeadline implements net.Conn.
func (c *webSocketConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *webSocketConn) SetReadDeadline(t time.Time) error { return c.ws.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. A Write under way ends at t, too.
func (c *webSocketConn) SetWriteDeadline(t time.Time) error {
	c.writeDeadline.Store(&t)
	return c.ws.NetConn().SetWriteDeadline(t)
}
