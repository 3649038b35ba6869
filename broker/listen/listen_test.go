package listen

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestTCPStaysTCP(t *testing.T) {
	ln := listen(t, Config{Setting: "mqtt_address", Name: "mqtt"})
	c := dial(t, ln)
	s := accept(t, ln)
	if _, ok := s.(*net.TCPConn); !ok {
		t.Fatalf("accepted a %T, the broker's system calls need a *net.TCPConn", s)
	}
	send(t, c, "\x10\x00")
	receive(t, s, "\x10\x00")
}

// case D4
func TestPortInUse(t *testing.T) {
	taken := listen(t, Config{Setting: "web_address"})
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	cfg := Config{Setting: "mqtt_address", Name: "mqtt", Network: "tcp", Address: taken.Addr().String(), Log: testLog(t)}
	free := cfg
	free.Setting, free.Address = "mqtts_address", "127.0.0.1:0"
	got := Open(t.Context(), []Config{cfg, free})
	if got[1].Err != nil {
		t.Fatalf("the other listener failed too: %v", got[1].Err)
	}
	got[1].Listener.Close()
	err := got[0].Err
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("error %v", err)
	}
	want := "port " + port + " (setting mqtt_address) is already in use"
	if !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q, want it to start with %q and be one line", err, want)
	}
}

func TestAddressNotOurs(t *testing.T) {
	_, err := Listen(t.Context(), Config{Setting: "mqtt_address", Network: "tcp", Address: "192.0.2.1:0"})
	if err == nil || !strings.Contains(err.Error(), "not an address of this machine") {
		t.Fatalf("error %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "hm") //nolint:usetesting // t.TempDir may be too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cfg := Config{Setting: "unix_socket", Name: "unix", Network: "unix", Address: filepath.Join(dir, "mqtt.sock")}

	ln, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, ln)
	s := accept(t, ln)
	if _, ok := s.(*net.UnixConn); !ok {
		t.Fatalf("accepted a %T", s)
	}
	send(t, c, "x")
	receive(t, s, "x")
	if _, err := Listen(t.Context(), cfg); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("opened a socket that is served: %v", err)
	}

	// A socket file that a dead process left is taken over.
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	again, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatalf("over a dead socket: %v", err)
	}
	again.Close()

	// Any other file is left alone.
	write(t, cfg.Address, []byte("precious"))
	if _, err := Listen(t.Context(), cfg); err == nil {
		t.Error("opened over an ordinary file")
	}
	if b, err := os.ReadFile(cfg.Address); err != nil || string(b) != "precious" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

func TestProxyHeader(t *testing.T) {
	v2 := "\r\n\r\n\x00\r\nQUIT\n"
	for _, tt := range []struct{ name, in, remote, rest string }{
		{"version 1 over IPv4", "PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883\r\n\x10\x0c", "192.0.2.7:5000", "\x10\x0c"},
		{"version 1 over IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 5000 1883\r\nx", "[2001:db8::7]:5000", "x"},
		{"version 1, proxy's own", "PROXY UNKNOWN\r\nx", "own", "x"},
		{"version 2 over IPv4", v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x13\x88\x07\x5bx", "192.0.2.7:5000", "x"},
		{"version 2 over IPv6", v2 + "\x21\x21\x00\x24" +
			"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
			"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x13\x88\x07\x5bx", "[2001:db8::7]:5000", "x"},
		{"version 2 with more data", v2 + "\x21\x11\x00\x0f\xc0\x00\x02\x07\xc0\x00\x02\x01\x13\x88\x07\x5b\x04\x00\x00x", "192.0.2.7:5000", "x"},
		{"version 2, health check", v2 + "\x20\x00\x00\x00x", "own", "x"},
		{"no header", "\x10\x0c\x00\x04MQTT", "", ""},
		{"version 1 too long", "PROXY TCP4 " + strings.Repeat("9", 200), "", ""},
		{"version 1, no address", "PROXY TCP4 999.1.1.1 192.0.2.1 5000 1883\r\nx", "", ""},
		{"version 2, too much", v2 + "\x21\x11\xff\xff", "", ""},
		{"version 3", v2 + "\x31\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x13\x88\x07\x5bx", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listen(t, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			c := dial(t, ln)
			send(t, c, tt.in)
			if tt.remote == "" {
				if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
					t.Fatalf("not closed: read %d, %v", n, err)
				}
				return
			}
			s := accept(t, ln)
			want := tt.remote
			if want == "own" {
				want = c.LocalAddr().String()
			}
			if got := s.RemoteAddr().String(); got != want {
				t.Errorf("RemoteAddr %s, want %s", got, want)
			}
			receive(t, s, tt.rest)
		})
	}
}

// case A24: a PROXY header of somebody who is no trusted proxy is what a client sent.
func TestProxyHeaderOfStrangers(t *testing.T) {
	ln := listen(t, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	c := dial(t, ln)
	s := accept(t, ln)
	if _, ok := s.(*net.TCPConn); !ok {
		t.Fatalf("accepted a %T", s)
	}
	const forged = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883\r\n"
	send(t, c, forged)
	receive(t, s, forged) // for the broker to refuse: no MQTT
	if got := s.RemoteAddr().String(); got != c.LocalAddr().String() {
		t.Errorf("RemoteAddr %s, want %s", got, c.LocalAddr())
	}
}

func TestProxyNeedsTLS(t *testing.T) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	const addresses = "\xc0\x00\x02\x07\xc0\x00\x02\x01\x13\x88\x07\x5b"
	const ssl = "\x20\x00\x05\x01\x00\x00\x00\x00"
	for _, x := range []struct {
		name, in string
		ok       bool
	}{
		{"says so", v2 + "\x21\x11\x00\x14" + addresses + ssl + "x", true},
		{"after another TLV", v2 + "\x21\x11\x00\x18" + addresses + "\x05\x00\x01\x00" + ssl + "x", true},
		{"health check", v2 + "\x20\x00\x00\x00x", true},
		{"no TLV", v2 + "\x21\x11\x00\x0c" + addresses + "x", false},
		{"says no", v2 + "\x21\x11\x00\x14" + addresses + "\x20\x00\x05\x02\x00\x00\x00\x00x", false},
		{"TLV breaks off", v2 + "\x21\x11\x00\x0f" + addresses + "\x20\x00\x05x", false},
		{"too short for addresses", v2 + "\x21\x11\x00\x02\x00\x00x", false},
		{"unknown family", v2 + "\x21\x00\x00\x00x", false},
		{"version 1", "PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883\r\nx", false},
		{"version 1, own", "PROXY UNKNOWN\r\nx", false},
		{"version 1, where version 2 has its command", "PROXY TCP4 10.0.0.7 192.0.2.1 5000 1883\r\nx", false},
		{"unknown family, says so", v2 + "\x21\x00\x00\x08" + ssl + "x", false},
		{"a Unix socket, says so", v2 + "\x21\x31\x00\xe0" + strings.Repeat("/", 216) + ssl + "x", true},
		{"a Unix socket, in its path", v2 + "\x21\x31\x00\x08" + ssl + "x", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			ln := listen(t, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ProxyTLS: true})
			c := dial(t, ln)
			send(t, c, x.in)
			if x.ok {
				receive(t, accept(t, ln), "x")
				return
			}
			if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
				t.Fatalf("not closed: read %d, %v", n, err)
			}
		})
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883\r\nx"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x13\x88\x07\x5bx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, size, err := parseProxyHeader(b)
		if size < 0 || size > len(b) || (err != nil && size != 0) {
			t.Fatalf("size %d of %d bytes, %v", size, len(b), err)
		}
		spokeTLS(b[:max(size, 0)])
	})
}
