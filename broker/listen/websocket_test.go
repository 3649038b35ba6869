package listen

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// upgrade makes a WebSocket by hand, so that any frame may follow.
func upgrade(tb testing.TB, c net.Conn, header string) string {
	tb.Helper()
	send(tb, c, "GET /any/path HTTP/1.1\r\nHost: hearth.test:1884\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+header+"\r\n")
	var got []byte
	b := make([]byte, 1)
	for !bytes.HasSuffix(got, []byte("\r\n\r\n")) {
		if _, err := io.ReadFull(c, b); err != nil {
			tb.Fatalf("answer %q, then %v", got, err)
		}
		got = append(got, b[0])
	}
	return string(got)
}

const mqttProtocol = "Sec-WebSocket-Protocol: mqtt\r\n"

// frame builds a masked frame. first holds FIN, RSV and the opcode.
func frame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i&3])
	}
	return string(b)
}

const (
	fin, rsv1                        = 0x80, 0x40
	more, text, binaryFrame, closing = 0x0, 0x1, 0x2, 0x8
	ping                             = 0x9
)

func TestWebSocketHandshake(t *testing.T) { // [MQTT-6.0.0-4], case W12
	for _, tt := range []struct {
		name, header string
		status       int
		protocol     string
	}{
		{"mqtt", mqttProtocol, 101, "mqtt"},
		{"mqttv3.1", "Sec-WebSocket-Protocol: mqttv3.1\r\n", 101, "mqttv3.1"},
		{"both", "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n", 101, "mqtt"},
		{"no subprotocol", "", 400, ""},
		{"another subprotocol", "Sec-WebSocket-Protocol: chat\r\n", 400, ""},
		{"compression offered", mqttProtocol + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n", 101, "mqtt"}, // case P34
		{"page of this host", mqttProtocol + "Origin: http://hearth.test:8123\r\n", 101, "mqtt"},
		{"page on the list", mqttProtocol + "Origin: https://panel.example\r\n", 101, "mqtt"},
		{"page of another host", mqttProtocol + "Origin: https://evil.example\r\n", 403, ""},
		{"page without an origin", mqttProtocol + "Origin: null\r\n", 403, ""},
		{"header line of 8 KB", mqttProtocol + "X-Long: " + strings.Repeat("a", 8<<10) + "\r\n", 431, ""}, // case P33
		{"1,000 headers", mqttProtocol + strings.Repeat("X-Many: yes\r\n", 1000), 431, ""},                // case P33
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listen(t, Config{Name: "ws", WebSocket: true, Origins: []string{"https://panel.example"}})
			answer := upgrade(t, dial(t, ln), tt.header)
			if want := fmt.Sprintf("HTTP/1.1 %d ", tt.status); !strings.HasPrefix(answer, want) {
				t.Fatalf("answer %q, want %s", answer, want)
			}
			if tt.status != 101 {
				return
			}
			accept(t, ln)
			if !strings.Contains(answer, "Sec-Websocket-Protocol: "+tt.protocol+"\r\n") && !strings.Contains(answer, "Sec-WebSocket-Protocol: "+tt.protocol+"\r\n") {
				t.Errorf("answer %q does not choose %s", answer, tt.protocol)
			}
			if strings.Contains(strings.ToLower(answer), "extensions") {
				t.Errorf("answer %q takes an extension", answer)
			}
		})
	}
}

// case W12: unless the settings name others, only pages of this host and programs get in.
func TestWebSocketOriginsByDefault(t *testing.T) {
	for origin, status := range map[string]int{
		"": 101, "http://hearth.test": 101, "https://hearth.test:8123": 101, "http://HEARTH.test": 101,
		"https://panel.example": 403, "http://hearth.test.evil.example": 403, "http://evil.example/hearth.test": 403, "null": 403,
		"file://hearth.test": 403, "hearth.test": 403, "http://hearth.test@evil.example": 403,
	} {
		t.Run(origin, func(t *testing.T) {
			header := mqttProtocol
			if origin != "" {
				header += "Origin: " + origin + "\r\n"
			}
			ln := listen(t, Config{Name: "ws", WebSocket: true})
			if answer := upgrade(t, dial(t, ln), header); !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", status)) {
				t.Errorf("answer %.40q, want %d", answer, status)
			}
		})
	}
}

func TestWebSocketPortIsNoWebServer(t *testing.T) {
	ln := listen(t, Config{Name: "ws", WebSocket: true})
	resp, err := http.Get("http://" + ln.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUpgradeRequired || !resp.Close {
		t.Errorf("status %d, close %v", resp.StatusCode, resp.Close)
	}
}

// case P33: how packets are cut into frames means nothing.
func TestWebSocketFrames(t *testing.T) { // [MQTT-6.0.0-2]
	long := strings.Repeat("0123456789", 7000)
	for _, tt := range []struct{ name, in, want string }{
		{"one packet in one frame", frame(fin|binaryFrame, "\x10\x03abc"), "\x10\x03abc"},
		{"several packets in one frame", frame(fin|binaryFrame, "\xc0\x00\xc0\x00\xc0\x00"), "\xc0\x00\xc0\x00\xc0\x00"},
		{"one packet over many frames", frame(fin|binaryFrame, "\x10") + frame(fin|binaryFrame, "\x03a") + frame(fin|binaryFrame, "bc"), "\x10\x03abc"},
		{"fragments with a ping between", frame(binaryFrame, "\x10\x03") + frame(fin|ping, "?") + frame(fin|more, "abc"), "\x10\x03abc"},
		{"empty frames", frame(fin|binaryFrame, "") + frame(binaryFrame, "") + frame(fin|more, "x"), "x"},
		{"long frame", frame(fin|binaryFrame, long), long},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listen(t, Config{WebSocket: true})
			c := dial(t, ln)
			upgrade(t, c, mqttProtocol)
			s := accept(t, ln)
			send(t, c, tt.in)
			receive(t, s, tt.want)
		})
	}
}

// case P33, P34: what breaks the WebSocket protocol ends the connection with
// its close code, and not the process.
func TestWebSocketBrokenFrames(t *testing.T) { // [MQTT-6.0.0-1]
	const unlimited, limited = 0, 1000
	for _, tt := range []struct {
		name  string
		in    string
		limit int64
		code  uint16
	}{
		{"text", frame(fin|text, "\x10\x03abc"), unlimited, 1003},
		{"unmasked", "\x82\x01x", unlimited, 1002},
		{"length with the highest bit", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", unlimited, 1009},
		{"compressed without being asked", frame(fin|rsv1|binaryFrame, "x"), unlimited, 1002},
		{"unknown opcode", frame(fin|0x3, "x"), unlimited, 1002},
		{"fragmented ping", frame(ping, "x"), unlimited, 1002},
		{"ping too long", frame(fin|ping, strings.Repeat("x", 126)), unlimited, 1002},
		{"continuation of nothing", frame(fin|more, "x"), unlimited, 1002},
		{"message above the limit", frame(fin|binaryFrame, strings.Repeat("x", 1001)), limited, 1009},
		{"fragments above the limit", frame(binaryFrame, strings.Repeat("x", 600)) + frame(fin|more, strings.Repeat("x", 600)), limited, 1009},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listen(t, Config{WebSocket: true, ReadLimit: tt.limit})
			c := dial(t, ln)
			upgrade(t, c, mqttProtocol)
			s := accept(t, ln)
			send(t, c, tt.in)
			n, err := io.Copy(io.Discard, s)
			if err == nil || n > 1000 {
				t.Errorf("read %d bytes, %v", n, err)
			}
			head := make([]byte, 4)
			if _, err := io.ReadFull(c, head); err != nil {
				t.Fatal(err)
			}
			if code := binary.BigEndian.Uint16(head[2:]); head[0] != fin|closing || code != tt.code {
				t.Errorf("answered %x with code %d, want a close with %d", head, code, tt.code)
			}
		})
	}
}

func TestWebSocketConn(t *testing.T) {
	ln := listen(t, Config{WebSocket: true})
	c := dial(t, ln)
	upgrade(t, c, mqttProtocol)
	s := accept(t, ln)
	if got := s.RemoteAddr().String(); got != c.LocalAddr().String() {
		t.Errorf("RemoteAddr %s, want %s", got, c.LocalAddr())
	}
	if name, err := s.(peer).PeerName(); name != "" || err != nil {
		t.Errorf("a name without TLS: %q, %v", name, err)
	}
	send(t, s, "abc")
	receive(t, c, "\x82\x03abc")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	receive(t, c, "\x88\x02\x03\xe8") // normal closure
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("wrote to a closed connection")
	}
}

func TestWebSocketClosedByClient(t *testing.T) {
	ln := listen(t, Config{WebSocket: true})
	c := dial(t, ln)
	upgrade(t, c, mqttProtocol)
	s := accept(t, ln)
	send(t, c, frame(fin|closing, "\x03\xe8"))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want EOF", err)
	}
}

// A client that does not read holds up its writer and nothing else.
func TestWebSocketCloseInterruptsWrite(t *testing.T) {
	ln := listen(t, Config{WebSocket: true})
	c := dial(t, ln)
	upgrade(t, c, mqttProtocol)
	s := accept(t, ln)
	started, wrote := make(chan struct{}), make(chan error, 1)
	go func() {
		b := make([]byte, 1<<20)
		for i := 0; ; i++ {
			if i == 8 { // sockets have taken what they take
				close(started)
			}
			if _, err := s.Write(b); err != nil {
				wrote <- err
				return
			}
		}
	}()
	// Eight writes go through while the client reads that much, then it stops.
	if _, err := io.CopyN(io.Discard, c, 8<<20); err != nil {
		t.Fatal(err)
	}
	<-started
	s.Close()
	if err := <-wrote; err == nil {
		t.Error("no error")
	}
}

func TestWebSocketOverTLS(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	files.RequireCertificate, files.Names.From = true, NamesCN
	ln := listen(t, Config{Name: "wss", WebSocket: true, TLS: &files})
	c := tls.Client(dial(t, ln), ca.client(t, "panel"))
	upgrade(t, c, mqttProtocol)
	s := accept(t, ln)
	if name, err := s.(peer).PeerName(); name != "panel" || err != nil {
		t.Errorf("name %q, %v", name, err)
	}
}

// One port for both, by the first bytes.
func TestShared(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	files.Names.From = NamesCN
	for _, tt := range []struct {
		name string
		tls  *TLS
	}{{"plain", nil}, {"TLS", &files}} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Name: "mqtt", Setting: "mqtt_address", Network: "tcp", Address: "127.0.0.1:0", TLS: tt.tls, Log: testLog(t)}
			web := cfg
			web.Name, web.WebSocket = "ws", true
			mqtt, ws, err := ListenShared(t.Context(), cfg, web)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { mqtt.Close() })
			connect := func() net.Conn {
				c := dial(t, mqtt)
				if tt.tls != nil {
					return tls.Client(c, ca.client(t, "lamp"))
				}
				return c
			}

			c := connect()
			send(t, c, "\x10\x03a")
			s := accept(t, mqtt)
			checkPrefix(t, s, tt.tls != nil)
			send(t, c, "bc")
			receive(t, s, "\x10\x03abc")

			c = connect()
			upgrade(t, c, mqttProtocol)
			s = accept(t, ws)
			send(t, c, frame(fin|binaryFrame, "\x10\x03abc"))
			receive(t, s, "\x10\x03abc")
			if name, err := s.(peer).PeerName(); (name == "lamp") != (tt.tls != nil) || err != nil {
				t.Errorf("name %q, %v", name, err)
			}

			ws.Close()
			if _, err := mqtt.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the other half of a closed port accepts: %v", err)
			}
		})
	}
}

func checkPrefix(t *testing.T, s net.Conn, encrypted bool) {
	t.Helper()
	p, ok := s.(interface {
		NetConn() net.Conn
		Prefix() []byte
	})
	if encrypted {
		if ok {
			t.Error("an encrypted connection offers the one beneath")
		}
		return
	}
	if !ok {
		t.Fatalf("a %T has no Prefix", s)
	}
	if _, ok := p.NetConn().(*net.TCPConn); !ok || string(p.Prefix()) != "\x10\x03a" {
		t.Errorf("prefix %q over a %T", p.Prefix(), p.NetConn())
	}
}

// Another implementation's opinion.
func TestWebSocketClient(t *testing.T) {
	ln := listen(t, Config{WebSocket: true})
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, EnableCompression: true}
	ws, resp, err := d.DialContext(t.Context(), "ws://"+ln.Addr().String()+"/mqtt", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	t.Cleanup(func() { ws.Close() })
	s := accept(t, ln)
	if err := ws.WriteMessage(websocket.BinaryMessage, []byte("\xc0\x00")); err != nil {
		t.Fatal(err)
	}
	receive(t, s, "\xc0\x00")
	send(t, s, "\xd0\x00")
	kind, b, err := ws.ReadMessage()
	if err != nil || kind != websocket.BinaryMessage || string(b) != "\xd0\x00" {
		t.Errorf("read %d %q, %v", kind, b, err)
	}
}

// case A24: whose address it is says the socket, or the PROXY header of a trusted proxy.
// What HTTP headers say counts only of proxies that are named for it.
func TestWebSocketAddress(t *testing.T) {
	const claims = "X-Forwarded-For: 192.0.2.7, 192.0.2.8\r\nX-Real-IP: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\nX-Client-IP: 192.0.2.7\r\n"
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, tt := range []struct {
		name, first, want string
		proxies           []netip.Prefix
	}{
		{"no proxy is trusted", "", "own", nil},
		{"another proxy is trusted", "", "own", []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		{"a trusted proxy's client", "PROXY TCP4 203.0.113.5 192.0.2.1 5000 1884\r\n", "203.0.113.5:5000", trusted},
		{"a trusted proxy itself", "PROXY UNKNOWN\r\n", "own", trusted},
	} {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, shared port %v", tt.name, shared), func(t *testing.T) {
				cfg := Config{WebSocket: true, Proxies: tt.proxies}
				ln := listen(t, cfg)
				if shared {
					cfg.Network, cfg.Address = "tcp", "127.0.0.1:0"
					plain, web, err := ListenShared(t.Context(), Config{Network: "tcp", Address: "127.0.0.1:0", Proxies: tt.proxies}, cfg)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { plain.Close() })
					ln = web
				}
				c := dial(t, ln)
				send(t, c, tt.first)
				if got := upgrade(t, c, mqttProtocol+claims); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
					t.Fatalf("answer %q", got)
				}
				want := tt.want
				if want == "own" {
					want = c.LocalAddr().String()
				}
				if got := accept(t, ln).RemoteAddr().String(); got != want {
					t.Errorf("RemoteAddr %s, want %s", got, want)
				}
			})
		}
	}
	ln := listen(t, Config{WebSocket: true, Proxies: trusted})
	c := dial(t, ln)
	send(t, c, "GET /mqtt HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("a proxy that only says it by HTTP was answered")
	}
}

// case A24: X-Forwarded-For is believed of trusted proxies alone, on a port of its own, on a
// shared one, and behind a PROXY header; package forwarded has the rule itself.
func TestWebSocketForwarded(t *testing.T) {
	here, elsewhere := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	for _, tt := range []struct {
		name, proxy, headers string
		trusted              []netip.Prefix
		want                 string // without the port; "": refused
	}{
		{"nobody is trusted", "", "X-Forwarded-For: 192.0.2.7\r\n", nil, "127.0.0.1"},
		{"another is trusted", "", "X-Forwarded-For: 192.0.2.7\r\n", elsewhere, "127.0.0.1"},
		{"a trusted proxy", "", "X-Forwarded-For: 192.0.2.7\r\n", here, "192.0.2.7"},
		{"however it is written", "", "x-forwarded-FOR: 192.0.2.7\r\n", here, "192.0.2.7"},
		{"IPv6", "", "X-Forwarded-For: 2001:db8::7\r\n", here, "2001:db8::7"},
		{"an invented beginning", "", "X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n", here, "192.0.2.7"},
		{"two lines", "", "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.7\r\n", here, "192.0.2.7"},
		{"other headers say nothing", "", "X-Real-IP: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n", here, "127.0.0.1"},
		{"the proxy itself", "", "", here, "127.0.0.1"},
		{"not readable", "", "X-Forwarded-For: unknown\r\n", here, ""},
		{"behind a PROXY header of a client", "PROXY TCP4 198.51.100.5 192.0.2.1 5000 1884\r\n", "X-Forwarded-For: 192.0.2.7\r\n", elsewhere, "198.51.100.5"},
		{"behind a PROXY header of a trusted proxy", "PROXY TCP4 203.0.113.5 192.0.2.1 5000 1884\r\n", "X-Forwarded-For: 192.0.2.7\r\n", elsewhere, "192.0.2.7"},
		{"behind a PROXY header, the first proxy named only", "PROXY TCP4 203.0.113.5 192.0.2.1 5000 1884\r\n", "X-Forwarded-For: 192.0.2.7\r\n", here, "203.0.113.5"},
	} {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, shared port %v", tt.name, shared), func(t *testing.T) {
				cfg := Config{Network: "tcp", Address: "127.0.0.1:0", WebSocket: true, Forwarders: tt.trusted}
				if tt.proxy != "" {
					cfg.Proxies = here
				}
				ln := listen(t, cfg)
				if shared {
					plain, web, err := ListenShared(t.Context(), Config{Network: "tcp", Address: "127.0.0.1:0", Proxies: cfg.Proxies}, cfg)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { plain.Close() })
					ln = web
				}
				c := dial(t, ln)
				send(t, c, tt.proxy)
				got := upgrade(t, c, mqttProtocol+tt.headers)
				if tt.want == "" {
					if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
						t.Errorf("answer %q", got)
					}
					return
				}
				if !strings.HasPrefix(got, "HTTP/1.1 101 ") {
					t.Fatalf("answer %q", got)
				}
				remote := netip.MustParseAddrPort(accept(t, ln).RemoteAddr().String())
				if remote.Addr().String() != tt.want {
					t.Errorf("RemoteAddr %s, want %s", remote, tt.want)
				}
				if tt.proxy == "" && remote.Port() != uint16(c.LocalAddr().(*net.TCPAddr).Port) {
					t.Errorf("port %d is not the connection's", remote.Port())
				}
			})
		}
	}
}
