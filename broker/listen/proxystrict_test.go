package listen

import (
	"bufio"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// Behind a listener that stands in for Mosquitto's a header is taken only when it is whole
// and of the version that is set; what it tells of the client is believed.
func TestStrictProxyHeader(t *testing.T) {
	header := func(start string, body ...string) string {
		all := strings.Join(body, "")
		return proxyV2Start + start + string([]byte{byte(len(all) >> 8), byte(len(all))}) + all
	}
	const (
		four     = "\xC0\x00\x02\x05\x00\x00\x00\x00\x18\x83\x00\x00"
		verified = "\x20\x00\x05\x05\x00\x00\x00\x00"
	)
	for _, x := range []struct {
		name        string
		version     int
		certificate bool
		in          string
		remote      string // "": closed; "own": the connection's
	}{
		{"version 2", 2, false, header("\x21\x11", four), "192.0.2.5:6275"},
		{"the proxy's own", 2, true, header("\x20\x00"), "own"},
		{"a Unix domain socket", 2, false, header("\x21\x31", "/run/x.sock"), "/run/x.sock"},
		{"one of full length", 2, false, header("\x21\x31", "/run/x.sock", strings.Repeat("\x00", 205), "\x05\x00\x01x"), "/run/x.sock"},
		{"another extension", 2, false, header("\x21\x11", four, "\x05\x00\x01x"), "192.0.2.5:6275"},
		{"version 1 for 2", 2, false, "PROXY TCP4 192.0.2.5 192.0.2.1 6275 1883\r\n", ""},
		{"version 2 for 1", 1, false, header("\x21\x11", four), ""},
		{"version 1", 1, false, "PROXY TCP4 192.0.2.5 192.0.2.1 6275 1883\r\n", "192.0.2.5:6275"},
		{"version 1, own", 1, false, "PROXY UNKNOWN\r\n", "own"},
		{"no port", 1, false, "PROXY TCP4 192.0.2.5 192.0.2.1 6275 0\r\n", ""},
		{"no address there", 1, false, "PROXY TCP4 192.0.2.5 192.0.2.256 6275 1883\r\n", ""},
		{"the other family", 1, false, "PROXY TCP6 192.0.2.5 192.0.2.1 6275 1883\r\n", ""},
		{"no family", 2, false, header("\x21\x00", four), ""},
		{"too short", 2, false, header("\x21\x11", four[1:]), ""},
		{"no path", 2, false, header("\x21\x31"), ""},
		{"an extension breaks off", 2, false, header("\x21\x11", four, "\x20\x00\x19\x05"), ""},
		{"TLS without its fields", 2, false, header("\x21\x11", four, "\x20\x00\x01\x05"), ""},
		{"within TLS one breaks off", 2, false, header("\x21\x11", four, "\x20\x00\x09\x05\x00\x00\x00\x00\x23\x00\x09x"), ""},
		{"a certificate", 2, true, header("\x21\x11", four, verified), "192.0.2.5:6275"},
		{"none", 2, true, header("\x21\x11", four), ""},
		{"none in this session", 2, true, header("\x21\x11", four, "\x20\x00\x05\x01\x00\x00\x00\x00"), ""},
		{"version 1, where version 2 has its command", 0, true, "PROXY TCP4 10.0.0.7 192.0.2.1 6275 1883\r\n", ""},
		{"not verified", 2, true, header("\x21\x11", four, "\x20\x00\x05\x05\x00\x00\x00\x01"), ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			ln := listen(t, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ProxyVersion: x.version, ProxyCertificate: x.certificate})
			c := dial(t, ln)
			send(t, c, x.in+"x")
			if x.remote == "" {
				if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
					t.Fatalf("not closed: read %d, %v", n, err)
				}
				return
			}
			a := accept(t, ln)
			receive(t, a, "x")
			want := x.remote
			if want == "own" {
				want = c.LocalAddr().String()
			}
			if got := a.RemoteAddr().String(); got != want {
				t.Errorf("it comes from %s", got)
			}
		})
	}
}

func TestNegotiated(t *testing.T) {
	const start = proxyV2Start + "\x21\x11\x00\x2a\xC0\x00\x02\x05\x00\x00\x00\x00\x18\x83\x00\x00\x20\x00\x1b\x05\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x23\x00\x09"
	if v, c := negotiated([]byte(start + "AES-GCM-x")); v != "TLSv1.3" || c != "AES-GCM-x" {
		t.Errorf("%q %q", v, c)
	}
	if v, c := negotiated([]byte(start + "AES\nGCM-x")); v != "TLSv1.3" || c != "" {
		t.Errorf("%q %q", v, c)
	}
}

// A handshake is answered as Mosquitto answers it, and a page of another origin not at all.
func TestSpelledHandshake(t *testing.T) {
	ln := listen(t, Config{Name: "ws", WebSocket: true, LikeMosquitto: true, Origins: []string{"example.org"}})
	const hello = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\nOrigin: %s\r\n\r\n"
	c := dial(t, ln)
	send(t, c, fmt.Sprintf(hello, "localhost"))
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Fatalf("not closed: read %d, %v", n, err)
	}
	c = dial(t, ln)
	send(t, c, fmt.Sprintf(hello, "example.org"))
	rd, got := bufio.NewReader(c), ""
	for !strings.HasSuffix(got, "\r\n\r\n") {
		line, err := rd.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got += line
	}
	const want = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	if got != want {
		t.Errorf("%q", got)
	}
	a := accept(t, ln)
	send(t, c, "\x82\x81\x00\x00\x00\x00x")
	receive(t, a, "x")
}
