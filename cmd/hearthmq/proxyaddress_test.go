package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// case A24: the networks of a user, the network of a rule, and what one address may have count
// by the address that a trusted proxy tells by either version of the PROXY protocol, on TCP and
// WebSocket; and never by what anybody else says.
func TestProxiedAddressCounts(t *testing.T) {
	s := start(t, options{"proxy_protocol": []string{"127.0.0.1/32"}, "max_connections_per_address": 3})
	token := strings.TrimSpace(command(t, s.dir, "", "token", "create", "--label", "t", "--scope", "admin").stdout)
	if problem := callAPI(t, s.admin, token, "/api/v1/users", `{"name":"lamp","password":"secret","networks":["203.0.113.0/24"],"rules":["allow subscribe near/# from=203.0.113.5","allow subscribe home/#"]}`); problem != "" {
		t.Fatal(problem)
	}
	one := func(from string) string { return "PROXY TCP4 " + from + " 192.0.2.1 5000 1883\r\n" }
	two := func(from string) string {
		return "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + string(net.ParseIP(from).To4()) + "\xc0\x00\x02\x01\x13\x88\x07\x5b"
	}
	n := 0
	var open []io.Closer
	t.Cleanup(func() {
		for _, c := range open {
			c.Close()
		}
	})
	// ask logs in and subscribes; "" is what a garbled connection is answered.
	ask := func(web bool, peer, header, filter string) string {
		t.Helper()
		n++
		body := "\x00\x04MQTT\x04\xc2\x00\x3c" + mqttString(fmt.Sprintf("c%d", n)) + mqttString("lamp") + mqttString("secret")
		packets := frameOf(0x10, body) + frameOf(0x82, "\x00\x01"+mqttString(filter)+"\x00")
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(peer)}}
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, addr)
			if err == nil {
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				_, err = io.WriteString(c, header)
				open = append(open, c)
			}
			return c, err
		}
		var c net.Conn
		var err error
		if web {
			dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: time.Minute, NetDialContext: dial}
			ws, resp, err := dialer.DialContext(t.Context(), "ws://"+s.ws, http.Header{"X-Forwarded-For": {"203.0.113.5"}})
			if err != nil {
				return ""
			}
			resp.Body.Close()
			c = &framed{Conn: ws.NetConn(), ws: ws}
		} else if c, err = dial(t.Context(), "tcp", s.mqtt); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, packets); err != nil {
			return ""
		}
		answer := make([]byte, 9)
		k, _ := io.ReadFull(c, answer)
		return string(answer[:k])
	}
	const in, out = "\x20\x02\x00\x00\x90\x03\x00\x01\x00", "\x20\x02\x00\x00\x90\x03\x00\x01\x80"
	refused := func(answer string) bool { return len(answer) < 4 || answer[3] != 0 }
	eventually(t, "the user is known", func() bool { return ask(false, "127.0.0.1", one("203.0.113.9"), "home/#") == in })
	for i, header := range []func(string) string{one, two} {
		for _, web := range []bool{false, true} {
			what := fmt.Sprintf("version %d, WebSocket %v", i+1, web)
			far := fmt.Sprintf("203.0.113.%d", 20+2*i+btoi(web))
			if i < 1 || !web { // three connections in all
				if got := ask(web, "127.0.0.1", header("203.0.113.5"), "near/#"); got != in {
					t.Errorf("%s: what a rule allows from there: %x", what, got)
				}
			}
			if got := ask(web, "127.0.0.1", header(far), "near/#"); got != out {
				t.Errorf("%s: what it allows from elsewhere: %x", what, got)
			}
			if got := ask(web, "127.0.0.1", header("198.51.100.5"), "home/#"); !refused(got) {
				t.Errorf("%s: from a network that the user may not come from: %x", what, got)
			}
			if got := ask(web, "127.0.0.2", header("203.0.113.5"), "home/#"); !refused(got) {
				t.Errorf("%s: a header of a stranger: %x", what, got)
			}
			if got := ask(web, "127.0.0.2", "", "home/#"); !refused(got) {
				t.Errorf("%s: a stranger, whom X-Forwarded-For is not believed: %x", what, got)
			}
		}
	}
	// The three of 203.0.113.5 are there: a fourth is one too many, whoever brings it.
	for _, header := range []string{one("203.0.113.5"), two("203.0.113.5")} {
		if got := ask(false, "127.0.0.1", header, "near/#"); !refused(got) {
			t.Errorf("a fourth connection of one address: %x", got)
		}
	}
	if got := ask(false, "127.0.0.1", one("203.0.113.77"), "home/#"); got != in {
		t.Errorf("one of another address: %x", got)
	}
}
