//go:build unix

package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// calm is a socket that can be waited for without a buffer, and read without waiting.
// One goroutine at a time reads and waits.
type calm struct {
	net.Conn
	before *prefixed       // what was read of the socket before comes from there; nil: nothing was
	rc     syscall.RawConn // nil: it can do neither
	atOnce bool            // Read fails with EAGAIN instead of waiting
}

func newCalm(c net.Conn) *calm {
	k := &calm{Conn: c}
	if p, ok := c.(*prefixed); ok {
		k.before, c = p, p.Conn
	}
	if sc, ok := c.(syscall.Conn); ok {
		k.rc, _ = sc.SyscallConn() // fails for none that is open
	}
	return k
}

// wait returns when there is something to read, or reading would fail.
func (c *calm) wait() error {
	if c.rc == nil || c.pending() {
		return nil
	}
	return c.rc.Read(readable)
}

func (c *calm) pending() bool { return c.before != nil && len(c.before.rest) > 0 }

func readable(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if !errors.Is(err, syscall.EINTR) {
			return !errors.Is(err, syscall.EAGAIN)
		}
	}
}

// readAtOnce makes Read not wait any more, where it can.
func (c *calm) readAtOnce() { c.atOnce = c.rc != nil }

// Read implements net.Conn.
func (c *calm) Read(p []byte) (n int, err error) {
	if !c.atOnce || len(p) == 0 || c.pending() {
		return c.Conn.Read(p)
	}
	failed := c.rc.Read(func(fd uintptr) bool {
		for {
			n, err = syscall.Read(int(fd), p)
			if !errors.Is(err, syscall.EINTR) {
				return true
			}
		}
	})
	switch {
	case failed != nil:
		return 0, failed
	case errors.Is(err, syscall.EAGAIN):
		return 0, syscall.EAGAIN // which package tls knows to pass
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
