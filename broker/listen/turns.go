package listen

import (
	"net"
	"runtime"
)

// turns bounds the TLS handshakes that compute at a time to half of the processors, so that
// a crowd that comes, or a flood that pretends to, leaves the other half to those who are
// there (case R15). Who waits for its client does not count.
type turns chan struct{}

func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)/2)) }

func (t turns) take() { t <- struct{}{} }

func (t turns) pass() { <-t }

// inTurn is the socket beneath a TLS connection: while that shakes hands it passes its turn
// on for as long as it waits. The handshake is made by one goroutine.
type inTurn struct {
	net.Conn
	turns   turns
	shaking bool
}

// Read implements net.Conn.
func (c *inTurn) Read(p []byte) (int, error) {
	if c.shaking {
		c.turns.pass()
		defer c.turns.take()
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c *inTurn) Write(p []byte) (int, error) {
	if c.shaking {
		c.turns.pass()
		defer c.turns.take()
	}
	return c.Conn.Write(p)
}
