package addontest

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// Listener is a net.Listener in memory, whose connections say that they come from an
// address of one's choice.
type Listener struct {
	at, from net.Addr
	conns    chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

// NewListener returns a Listener at one address for clients from another, as "host:port".
func NewListener(at, from string) *Listener {
	return &Listener{
		at: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at)), from: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)),
		conns: make(chan net.Conn), closed: make(chan struct{}),
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.at }

// DialContext connects to the listener, whatever address is asked for.
func (l *Listener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- addressed{server, l.at, l.from}:
		return addressed{client, l.from, l.at}, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.at, Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// addressed is a connection with other addresses.
type addressed struct {
	net.Conn
	local, remote net.Addr
}

func (c addressed) LocalAddr() net.Addr  { return c.local }
func (c addressed) RemoteAddr() net.Addr { return c.remote }
