package listen

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	proxyLine = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 8883\r\n"
	proxyPeer = "\xc0\x00\x02\x07\xc0\x00\x02\x01\x13\x88\x22\xb3" // the same in version 2
)

// proxyV2 is a header of version 2: command, family, and what it holds.
func proxyV2(command, family byte, parts ...string) string {
	all := strings.Join(parts, "")
	return proxyV2Start + string([]byte{0x20 | command, family, byte(len(all) >> 8), byte(len(all))}) + all
}

// door is an open port of some sort, with what clients do to have a byte arrive behind it.
type door struct {
	name              string
	safe, web, shared bool
	ln                net.Listener                            // where clients come in
	serve             net.Listener                            // where they come out
	speak             func(t *testing.T, c net.Conn) net.Conn // TLS and WebSocket as the port has it
}

// proxyDoors opens a port of every sort.
func proxyDoors(t *testing.T, proxies ...string) []door {
	t.Helper()
	ca := newAuthority(t)
	files := ca.files(t)
	cfg := Config{Network: "tcp", Address: "127.0.0.1:0", Log: testLog(t)}
	for _, p := range proxies {
		cfg.Proxies = append(cfg.Proxies, netip.MustParsePrefix(p))
	}
	plain := func(_ *testing.T, c net.Conn) net.Conn { return c }
	overTLS := func(t *testing.T, c net.Conn) net.Conn { return tls.Client(c, ca.client(t, "")) }
	overWeb := func(t *testing.T, c net.Conn) net.Conn {
		if got := upgrade(t, c, mqttProtocol); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
			t.Fatalf("answer %q", got)
		}
		return c
	}
	var doors []door
	for _, safe := range []bool{false, true} {
		cfg, over, s := cfg, plain, ""
		if safe {
			cfg.TLS, over, s = &files, overTLS, "s"
		}
		web := cfg
		web.WebSocket = true
		one, ws := listen(t, cfg), listen(t, web)
		shared, sharedWeb, err := ListenShared(t.Context(), cfg, web)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shared.Close() })
		overBoth := func(t *testing.T, c net.Conn) net.Conn { return overWeb(t, over(t, c)) }
		doors = append(doors, door{"mqtt" + s, safe, false, false, one, one, over}, door{"ws" + s, safe, true, false, ws, ws, overBoth},
			door{"shared mqtt" + s, safe, false, true, shared, shared, over}, door{"shared ws" + s, safe, true, true, shared, sharedWeb, overBoth})
	}
	return doors
}

// case A24: behind a trusted proxy the client's own address arrives on every sort of port, in
// both versions, however the header is cut into pieces and whatever it has beside it.
func TestProxyHeaderDoors(t *testing.T) {
	doors := proxyDoors(t, "127.0.0.0/8")
	for name, header := range map[string]string{
		"version 1":                    proxyLine,
		"version 1, as long as may be": "PROXY TCP6 " + strings.Repeat("0000:", 7) + "0007 " + strings.Repeat("ffff:", 7) + "ffff 5000 65535\r\n",
		"version 2":                    proxyV2(1, 0x11, proxyPeer),
		"version 2 with TLS and a checksum": proxyV2(1, 0x11, proxyPeer,
			"\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3", "\x03\x00\x04\x01\x02\x03\x04", "\x04\x00\x02\x00\x00"),
	} {
		want := "192.0.2.7:5000"
		if strings.Contains(header, "TCP6") {
			want = "[::7]:5000"
		}
		for _, d := range doors {
			t.Run(d.name+", "+name, func(t *testing.T) {
				c := dial(t, d.ln)
				for i := range len(header) { // Go sends each by itself
					send(t, c, header[i:i+1])
				}
				spoken := make(chan net.Conn, 1)
				go func() {
					c := d.speak(t, c)
					_, _ = io.WriteString(c, map[bool]string{false: "x", true: "\x82\x81\x00\x00\x00\x00x"}[d.web])
					spoken <- c
				}()
				s := accept(t, d.serve)
				receive(t, s, "x")
				if got := s.RemoteAddr().String(); got != want {
					t.Errorf("comes from %s, want %s", got, want)
				}
				<-spoken
			})
		}
	}
}

// case A24: to a port that no proxy may speak to, or from whom is none, a header is garbage: it
// comes to the broker as it is, which takes it for no MQTT, or ends the handshake; never does
// anybody come from where it says.
func TestProxyHeaderIsGarbage(t *testing.T) {
	for _, networks := range [][]string{nil, {"192.0.2.0/24", "::1/128"}} {
		for _, d := range proxyDoors(t, networks...) {
			for _, header := range []string{proxyLine, proxyV2(1, 0x11, proxyPeer)} {
				t.Run(d.name, func(t *testing.T) {
					c := dial(t, d.ln)
					if d.web && !d.shared { // nobody comes out
						send(t, c, header+"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
						if answer, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(string(answer), " 101 ") {
							t.Errorf("answer %q, %v", answer, err)
						}
						return
					}
					if d.safe && d.shared {
						send(t, c, header)
						if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
							t.Error("stays open")
						}
						return
					}
					send(t, c, header)
					s := accept(t, d.ln)
					if got := s.RemoteAddr().String(); got != c.LocalAddr().String() {
						t.Errorf("comes from %s, want %s", got, c.LocalAddr())
					}
					if !d.safe {
						receive(t, s, header) // which the broker takes for no MQTT
						return
					}
					if n, err := s.Read(make([]byte, 1)); err == nil || n > 0 {
						t.Errorf("%d bytes came through TLS", n)
					}
				})
			}
		}
	}
	// A Unix domain socket has no networks: whoever may open it is trusted by its rights alone.
	ln, err := Listen(t.Context(), Config{Network: "unix", Address: filepath.Join(t.TempDir(), "s"), Proxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	send(t, dial(t, ln), proxyLine)
	s := accept(t, ln)
	receive(t, s, proxyLine)
	if _, ok := s.RemoteAddr().(*net.TCPAddr); ok {
		t.Errorf("comes from %v", s.RemoteAddr())
	}
}

// case A24: a header that lies about its length, or names nobody whom a client can be, closes
// the connection: nobody passes for the proxy by it. What stands for the proxy itself, and what
// has no address of a network, does; and the client's bytes begin where the header ends.
func TestProxyHeaderLies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	six := strings.Repeat("\x00", 36)
	for name, x := range map[string]struct{ in, want string }{
		"107 bytes without an end":         {"PROXY TCP6 " + strings.Repeat("f", 96) + "\r\nx", ""},
		"105 bytes and its end":            {"PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\nx", "own"},
		"106 bytes and its end":            {"PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\nx", ""},
		"a zone":                           {"PROXY TCP6 fe80::1%\x1b[31m 2001:db8::1 5000 1883\r\nx", ""},
		"a port too many":                  {"PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883 1\r\nx", ""},
		"a port of six digits":             {"PROXY TCP4 192.0.2.7 192.0.2.1 500000 1883\r\nx", ""},
		"two spaces":                       {"PROXY TCP4  192.0.2.7 192.0.2.1 5000 1883\r\nx", ""},
		"only a line feed":                 {"PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883\n" + strings.Repeat("x", 107), ""},
		"small letters":                    {"proxy TCP4 192.0.2.7 192.0.2.1 5000 1883\r\nx", ""},
		"of nobody":                        {"PROXY TCP4 0.0.0.0 192.0.2.1 5000 1883\r\nx", ""},
		"of many":                          {"PROXY TCP6 ff02::1 2001:db8::1 5000 1883\r\nx", ""},
		"IPv4 within IPv6":                 {"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 5000 1883\r\nx", "192.0.2.7:5000"},
		"version 2 of nobody":              {proxyV2(1, 0x21, six) + "x", ""},
		"version 2, one byte is missing":   {proxyV2(1, 0x11, proxyPeer[1:]) + "x", ""},
		"version 2, none is there":         {proxyV2(1, 0x11) + "x", ""},
		"version 2, IPv6 as long as IPv4":  {proxyV2(1, 0x21, proxyPeer) + "x", ""},
		"version 2, longer than taken":     {proxyV2(1, 0x11, proxyPeer, strings.Repeat("\x04", 525)) + "x", ""},
		"version 2, an unknown command":    {proxyV2(2, 0x11, proxyPeer) + "x", ""},
		"version 2, a spoilt start":        {"\r\n\r\n\x00\r\nQUIX\n\x21\x11\x00\x0c" + proxyPeer + "x", ""},
		"version 2, the proxy's own":       {proxyV2(0, 0x11, proxyPeer) + "x", "own"},
		"version 2, the proxy's own, bare": {proxyV2(0, 0) + "x", "own"},
		"version 2, no family":             {proxyV2(1, 0, proxyPeer) + "x", "own"},
		"version 2, a Unix socket":         {proxyV2(1, 0x31, strings.Repeat("/", 216)) + "x", "own"},
		"version 2, as long as may be":     {proxyV2(1, 0x11, proxyPeer, "\x04\x02\x09"+strings.Repeat("\x04", 521)) + "x", "192.0.2.7:5000"},
		"version 2, bytes behind a TLV":    {proxyV2(1, 0x11, proxyPeer, "\x20\xff\xff") + "x", "192.0.2.7:5000"},
		"a header behind a header":         {proxyLine + "PROXY TCP4 192.0.2.9 192.0.2.1 5000 1883\r\n", "192.0.2.7:5000"},
	} {
		t.Run(name, func(t *testing.T) {
			ln := listen(t, Config{Proxies: trusted})
			c := dial(t, ln)
			send(t, c, x.in)
			if x.want == "" {
				if n, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil || n > 0 {
					t.Fatalf("not closed: read %d, %v", n, err)
				}
				return
			}
			s := accept(t, ln)
			want := x.want
			if want == "own" {
				want = c.LocalAddr().String()
			}
			if got := s.RemoteAddr().String(); got != want {
				t.Errorf("comes from %s, want %s", got, want)
			}
			receive(t, s, map[bool]string{false: "x", true: "PROXY TCP4 192.0.2.9"}[strings.HasPrefix(name, "a header behind")])
		})
	}
}

// A header that no bytes can mend is refused at once, not after the time for it: so it says
// what is wrong, and holds no place of those who come (cases A24, R1).
func TestProxyHeaderIsRefusedAtOnce(t *testing.T) {
	for _, in := range []string{
		"PROXY\r\n", "PROXY \r\n", "PROXY TCP4\r\n", "PROXY UDP4 192.0.2.7 192.0.2.1 5000 1883\r\n", "PROXY UDP6 2001:db8::7 2001:db8::1 5000 1883\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 0 1883\r\n", "PROXY TCP4 192.0.2.7 192.0.2.1 5000 0\r\n", "PROXY TCP4 192.0.2.7 192.0.2.1 5000 65536\r\n",
		"PROXY TCP4 2001:db8::7 192.0.2.1 5000 1883\r\n", "PROXY TCP4 192.0.2.7 2001:db8::1 5000 1883\r\n",
		"PROXY TCP6 192.0.2.7 2001:db8::1 5000 1883\r\n", "PROXY TCP6 2001:db8::7 192.0.2.1 5000 1883\r\n",
		"PROXY TCP4 lamp.example 192.0.2.1 5000 1883\r\n", "PROXY TCP4 192.0.2.7 here 5000 1883\r\n",
		"PROXY " + strings.Repeat("x", proxyV1Max-6),
		proxyV2(1, 0x11)[:12] + "\x11\x11\x00\x0c" + proxyPeer, proxyV2(3, 0x11, proxyPeer), proxyV2(1, 0x11, proxyPeer[:11]), proxyV2(1, 0x21, proxyPeer),
		proxyV2(1, 0x11)[:12] + "\x21\x11\x02\x19", "\x10\x0c",
	} {
		if remote, size, err := parseProxyHeader([]byte(in)); err == nil || size != 0 || remote.IsValid() {
			t.Errorf("%q: %v, %d bytes, %v", in, remote, size, err)
		}
	}
	for _, in := range []string{"", "P", "PROXY ", "PROXY " + strings.Repeat("x", proxyV1Max-7), "\r", proxyV2(1, 0x11)[:15], proxyV2(1, 0x11, proxyPeer)[:27], proxyV2(1, 0x11)[:12] + "\x21\x11\x02\x18"} {
		if remote, size, err := parseProxyHeader([]byte(in)); err != nil || size != 0 || remote.IsValid() {
			t.Errorf("the beginning %q: %v, %d bytes, %v", in, remote, size, err)
		}
	}
}

// A program on a proxy's own machine is not on this one, and does not get what this one may.
func TestProxyOfElsewhere(t *testing.T) {
	here, there := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4(192, 168, 1, 2)}
	for _, tt := range []struct {
		named string
		proxy net.Addr
		want  string // "": the proxy itself
	}{
		{"127.0.0.9:5000", here, "127.0.0.9:5000"},
		{"127.0.0.9:5000", there, ""},
		{"[::1]:5000", there, ""},
		{"[::ffff:127.0.0.1]:5000", there, ""},
		{"192.0.2.7:5000", there, "192.0.2.7:5000"},
	} {
		got, err := clientOf(netip.MustParseAddrPort(tt.named), tt.proxy)
		if err != nil || got.IsValid() != (tt.want != "") || got.IsValid() && got.String() != tt.want {
			t.Errorf("%s by %v: %v, %v", tt.named, tt.proxy, got, err)
		}
	}
}
