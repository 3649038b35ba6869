package web

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lane is a listener whose connections come from wherever a test wants.
type lane struct {
	conns chan net.Conn
	once  sync.Once
}

func (l *lane) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *lane) Close() error   { l.once.Do(func() { close(l.conns) }); return nil }
func (l *lane) Addr() net.Addr { return &net.TCPAddr{} }

// comer is the server's end of a connection from an address.
type comer struct {
	net.Conn
	from netip.AddrPort
}

func (c comer) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.from) }

// square is a Porch with a few places before a server whose /wait does not end and whose
// /taken becomes a connection of another kind.
type square struct {
	*testing.T
	lane  *lane
	porch *porch
}

func (s *square) come(from, says string) net.Conn {
	s.Helper()
	here, there := net.Pipe()
	s.lane.conns <- comer{there, netip.MustParseAddrPort(from)}
	synctest.Wait()
	s.Cleanup(func() { here.Close() })
	if says != "" {
		_, _ = io.WriteString(here, says) // it may be closed again
	}
	synctest.Wait()
	return here
}

// answered reports whether a request of a new connection is.
func (s *square) answered(from string) bool {
	s.Helper()
	c := s.come(from, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	line, _ := bufio.NewReader(c).ReadString('\n')
	c.Close()
	synctest.Wait()
	return strings.HasPrefix(line, "HTTP/1.1 200 ")
}

// open reports whether a connection is.
func (s *square) open(c net.Conn) bool {
	s.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return err != io.EOF
}

func (s *square) count() (strangers, known int) {
	s.porch.mu.Lock()
	defer s.porch.mu.Unlock()
	return s.porch.strangers.order.Len(), s.porch.known.order.Len()
}

const places = 8

func onSquare(t *testing.T, f func(s *square)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lane{conns: make(chan net.Conn)}
		s := &square{T: t, lane: l, porch: Porch(l, places, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}).(*porch)}
		srv := HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/wait":
				<-r.Context().Done()
			case "/taken":
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { c.Close() })
			}
		}), slog.New(slog.DiscardHandler))
		done := make(chan struct{})
		go func() { defer close(done); _ = srv.Serve(s.porch) }()
		f(s)
		_ = srv.Close()
		<-done
	})
}

// case R3: one address opens as many connections as it likes, whatever they say. Nobody else
// is kept out, whoever is served stays, and the number is bounded.
func TestOneAddressKeepsNobodyOut(t *testing.T) {
	for _, says := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"} {
		t.Run(fmt.Sprintf("%.12q", says), func(t *testing.T) {
			onSquare(t, func(s *square) {
				page := s.come("192.0.2.1:1", "GET /taken HTTP/1.1\r\nHost: x\r\n\r\n") // the owner's WebSocket
				slow := s.come("192.0.2.1:2", "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
				for i := range 5 * places {
					s.come(fmt.Sprintf("192.0.2.66:%d", i+1), says)
				}
				if n, _ := s.count(); n > places {
					t.Errorf("%d connections, want at most %d", n, places)
				}
				for _, from := range []string{"192.0.2.1:3", "192.0.2.2:1", "[2001:db8::1]:1", "127.0.0.1:1", "[::1]:1", "172.30.32.2:1", "10.1.2.3:1"} {
					if !s.answered(from) {
						t.Errorf("%s was kept out", from)
					}
				}
				if !s.open(page) || !s.open(slow) {
					t.Error("who is served was let go")
				}
			})
		})
	}
}

// case R3: many addresses, of which each is served, take all places. This machine, the
// Supervisor and trusted proxies get in, and these leave some for the others.
func TestManyAddressesKeepTheKnownNotOut(t *testing.T) {
	onSquare(t, func(s *square) {
		const wait = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
		for i := range places {
			s.come(fmt.Sprintf("192.0.2.%d:1", 10+i), wait)
		}
		mine := []net.Conn{s.come("127.0.0.1:1", wait), s.come("172.30.32.2:1", wait), s.come("10.1.2.3:1", wait)}
		for i := range 5 * places {
			s.come(fmt.Sprintf("192.0.2.%d:1", 30+i), wait)
		}
		for i, c := range mine {
			if !s.open(c) {
				t.Errorf("the known connection %d was let go for strangers", i)
			}
		}
		if n, m := s.count(); n != places-len(mine) || m != len(mine) {
			t.Errorf("%d and %d connections, want %d in all", n, m, places)
		}
		for i := range 3 * places { // one proxy of a crowd
			s.come(fmt.Sprintf("10.1.2.3:%d", 2+i), wait)
		}
		if n, m := s.count(); n != places/4 || m != places-places/4 {
			t.Errorf("%d and %d connections, want %d in all", n, m, places)
		}
		if !s.open(mine[0]) || !s.open(mine[1]) || s.open(mine[2]) {
			t.Error("a proxy with many took the places of this machine")
		}
		for _, from := range []string{"192.0.2.1:1", "127.0.0.1:2", "172.30.32.2:2", "10.1.2.4:1"} {
			if !s.answered(from) {
				t.Errorf("%s was kept out", from)
			}
		}
	})
}

// case R13: the admin's connections end in any state and leave nothing counted.
func TestPorchForgets(t *testing.T) {
	onSquare(t, func(s *square) {
		for i := range 20 * places {
			from := fmt.Sprintf("192.0.2.%d:1", i)
			s.come(from, []string{"", "GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01"}[i%5]).Close()
			synctest.Wait()
		}
		<-time.After(time.Second) // what the server grants who has sent nonsense
		synctest.Wait()
		strangers, known := s.count()
		if left := len(s.porch.held); strangers+known+left != 0 {
			t.Errorf("%d and %d connections are counted, %d addresses", strangers, known, left)
		}
	})
}
