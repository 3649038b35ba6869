package listen

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a net.Listener over net.Pipe, which keeps a bubble's time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	a, b := net.Pipe()
	p.conns <- b
	return a
}

// remotes gives a listener's connections the address of a proxy.
type remotes struct{ net.Listener }

func (r remotes) Accept() (net.Conn, error) {
	c, err := r.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return proxied{c}, nil
}

type proxied struct{ net.Conn }

func (proxied) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

// drip sends s at one byte in four seconds and returns when the other end closed.
func drip(c net.Conn, s string) time.Duration {
	start := time.Now()
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range len(s) {
			if _, err := c.Write([]byte{s[i]}); err != nil {
				return
			}
			<-time.After(4 * time.Second)
		}
	})
	_, _ = io.Copy(io.Discard, c) // ends with the connection, however it ends
	took := time.Since(start)
	writer.Wait()
	return took
}

// case R2: an absolute deadline, not one for each read.
func TestSlowClients(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	keys, err := loadCertificates(files, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	fromProxy := func(ln net.Listener) net.Listener {
		return behindProxies(remotes{ln}, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Log: testLog(t)})
	}
	const hello = "\x16\x03\x01\x00\xf0\x01\x00\x00\xec\x03\x03"
	for _, tt := range []struct {
		name, bytes string
		open        func(net.Listener) net.Listener
	}{
		{"HTTP upgrade", "GET / HTTP/1.1\r\n", func(ln net.Listener) net.Listener {
			return newWebSocketListener(ln, Config{Log: testLog(t)})
		}},
		{"TLS ClientHello before an HTTP upgrade", hello, func(ln net.Listener) net.Listener {
			return newWebSocketListener(&tlsListener{Listener: ln, keys: keys}, Config{Log: testLog(t)})
		}},
		{"first bytes on a shared port", "GET ", func(ln net.Listener) net.Listener {
			mqtt, _ := share(ln, testLog(t))
			return mqtt
		}},
		{"PROXY header, version 1", "PROXY TCP4 192.0.2.7", fromProxy},
		{"PROXY header, version 2", proxyV2Start + "\x21\x11\x00", fromProxy},
		{"PROXY header before a ClientHello", "PROXY TCP4", func(ln net.Listener) net.Listener {
			return &tlsListener{Listener: fromProxy(ln), keys: keys}
		}},
		{"HTTP upgrade on a shared port", "GET / HTTP/1.1\r\n", func(ln net.Listener) net.Listener {
			_, web := share(ln, testLog(t))
			return newWebSocketListener(web, Config{Log: testLog(t)})
		}},
		{"TLS ClientHello on a shared port", hello, func(ln net.Listener) net.Listener {
			mqtt, _ := share(&tlsListener{Listener: ln, keys: keys}, testLog(t))
			return mqtt
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := newPipes()
				ln := tt.open(in)
				defer ln.Close()
				c := in.dial()
				defer c.Close()
				if took := drip(c, tt.bytes); took != handshakeTimeout {
					t.Errorf("closed after %v, want %v", took, handshakeTimeout)
				}
			})
		})
	}
}

// Who leaves before its handshake has ended holds nothing until the time for it is over
// (case R13).
func TestHandshakeLeftIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newPipes()
		ln := newWebSocketListener(in, Config{Log: testLog(t)})
		defer ln.Close()
		held := func() (n int) {
			synctest.Wait()
			ln.deadlines.Range(func(any, any) bool { n++; return true })
			return n
		}
		c := in.dial()
		send(t, c, "GET / HTTP/1.1\r\n")
		if n := held(); n != 1 {
			t.Errorf("%d deadlines for one handshake", n)
		}
		c.Close()
		if n := held(); n != 0 {
			t.Errorf("%d deadlines are left", n)
		}
		bad := in.dial() // its connection is taken from net/http, and then refused
		defer bad.Close()
		send(t, bad, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\ntoo early")
		time.Sleep(handshakeTimeout)
		if n := held(); n != 0 {
			t.Errorf("%d deadlines are left when all are over", n)
		}
	})
}

// A WebSocket that made its handshake in time stays open.
func TestHandshakeTimerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newPipes()
		ln := newWebSocketListener(in, Config{Log: testLog(t)})
		defer ln.Close()
		c := in.dial()
		defer c.Close()
		upgrade(t, c, mqttProtocol)
		s, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		<-time.After(time.Hour)
		go func() { _, _ = io.WriteString(c, frame(fin|binaryFrame, "x")) }()
		receive(t, s, "x")
	})
}
