package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// from returns a client that comes from an address of this machine.
func from(t *testing.T, address string) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 30 * time.Second}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		return d.DialContext(ctx, network, to)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func onPorch(t *testing.T, most int, patience time.Duration, h http.Handler) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := Porch(ln, most, nil).(*porch)
	p.patience = patience
	srv := HTTPServer(h, slog.New(slog.DiscardHandler))
	go srv.Serve(p)
	t.Cleanup(func() {
		srv.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for range 3000 {
			if p.known.order.Len() == 0 && len(p.held) == 0 {
				return
			}
			p.mu.Unlock()
			<-time.After(10 * time.Millisecond)
			p.mu.Lock()
		}
		t.Errorf("%d connections of %d places are still counted", p.known.order.Len(), len(p.held))
	})
	return ln.Addr().String()
}

// One machine that holds all connections open that there may be, and opens more and more,
// keeps nobody else out; nor do many that hold one each.
func TestPorchHasRoom(t *testing.T) { // cases R1, W23
	const most = 8
	address := onPorch(t, most, writePatience, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	var flood []net.Conn
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}}
	for range 5 * most {
		c, err := d.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		flood = append(flood, c)
	}
	closed := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, err := c.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	for i, c := range flood[:4*most] {
		if !closed(c) {
			t.Fatalf("connection %d of one machine stays, of %d", i, len(flood))
		}
	}
	for _, other := range []string{"127.0.0.2", "127.0.0.3"} {
		owner := from(t, other)
		for range 3 { // also after the flood goes on
			c, err := d.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			resp, err := owner.Get("http://" + address)
			if err != nil {
				t.Fatalf("%s does not get in: %v", other, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

// Nobody is written to for ever who does not read, and who reads slowly gets all.
func TestPorchIsReadFrom(t *testing.T) { // case W23
	const size = 16 << 20
	ended := make(chan error, 2)
	address := onPorch(t, 8, 200*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/own" { // its own end counts
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour))
		}
		_, err := w.Write(make([]byte, size))
		if r.URL.Path != "/read" {
			ended <- err
		}
	}))
	get := func(path string) net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	own := get("/own")
	deaf := get("/deaf")
	defer deaf.Close()
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("who does not read: %v", err)
	}
	own.Close()
	if err := <-ended; errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a handler's own end does not count: %v", err)
	}
	resp, err := http.Get("http://" + address + "/read")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestPlaceOfGuest(t *testing.T) {
	for address, want := range map[string]string{
		"192.168.1.7:5000": "192.168.1.7/32", "[::ffff:192.168.1.7]:5000": "192.168.1.7/32", "[2001:db8::1:2]:80": "2001:db8::/64", "[fe80::1%eth0]:80": "fe80::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := placeOfGuest(a).String(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if placeOfGuest(&net.UnixAddr{Name: "/x", Net: "unix"}).IsValid() {
		t.Error("a socket has an address")
	}
}
