package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker/brokertest"
)

// case A24: HAProxy ends HTTP and passes WebSockets and the admin on with X-Forwarded-For.
// The client's own address counts in the log, for the networks of a user and for blocks,
// and who is no proxy is not believed.
func TestTapHAProxyForwardedFor(t *testing.T) {
	const program = "/usr/sbin/haproxy"
	_, err := os.Stat(program)
	need(t, "haproxy", err == nil)
	h := newHouse(t)
	s := startE2E(t, options{"trusted_proxies": []string{"127.0.0.1/32"}})
	ws, admin := brokertest.FreeAddress(t), brokertest.FreeAddress(t)
	conf := "global\n  maxconn 100\ndefaults\n  mode http\n  option forwardfor\n  timeout connect 5s\n  timeout client 120s\n  timeout server 120s\n" +
		fmt.Sprintf("listen ws\n  bind %s\n  server broker %s\nlisten admin\n  bind %s\n  server admin %s\n", ws, s.ws, admin, strings.TrimPrefix(s.admin, "http://"))
	h.check(os.WriteFile(h.path("http.cfg"), []byte(conf), 0o600))
	launch(t, os.Environ(), h.dir, program, "-db", "-f", h.path("http.cfg"))
	for _, front := range []string{ws, admin} {
		eventually(t, "HAProxy listens", func() bool {
			c, err := net.Dial("tcp", front)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	// hermit may come from one address alone.
	hermit := s.user("hermit")
	if r := command(t, s.dir, "", "user", "networks", "hermit", "127.0.0.51/32"); r.code != 0 {
		t.Fatalf("networks: %s", r.stderr)
	}
	connect := func(from, to, claim, user, password string) (connected bool) {
		d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: time.Minute, NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext}
		header := http.Header{}
		if claim != "" {
			header.Set("X-Forwarded-For", claim)
		}
		c, resp, err := d.DialContext(t.Context(), "ws://"+to+"/mqtt", header)
		if err != nil {
			t.Fatalf("from %s to %s: %v", from, to, err)
		}
		defer resp.Body.Close()
		defer c.Close()
		body := fmt.Sprintf("\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01f\x00%c%s\x00%c%s", len(user), user, len(password), password)
		h.check(c.WriteMessage(websocket.BinaryMessage, []byte("\x10"+string(rune(len(body)))+body)))
		h.check(c.SetReadDeadline(time.Now().Add(time.Minute)))
		_, answer, err := c.ReadMessage()
		return err == nil && string(answer) == "\x20\x02\x00\x00"
	}
	eventually(t, "the user of the command line is seen", func() bool { return connect("127.0.0.51", ws, "", "hermit", hermit) })
	eventually(t, "so are its networks", func() bool { return !connect("127.0.0.52", ws, "", "hermit", hermit) })
	for _, tt := range []struct {
		from, to, claim string
		want            bool
	}{
		{"127.0.0.51", ws, "192.0.2.7", true}, // what the client says of itself stands before what the proxy says
		{"127.0.0.52", ws, "", false},
		{"127.0.0.52", ws, "127.0.0.51", false},
		{"127.0.0.52", s.ws, "127.0.0.51", false}, // past the proxy
		{"127.0.0.1", s.ws, "127.0.0.51", true},   // as the proxy does
	} {
		if got := connect(tt.from, tt.to, tt.claim, "hermit", hermit); got != tt.want {
			t.Errorf("hermit from %s, claiming %q: connected %v, want %v", tt.from, tt.claim, got, tt.want)
		}
	}
	eventually(t, "the refused client's own address is logged", func() bool { return strings.Contains(s.log.String(), "remote=127.0.0.52:") })

	// A block of an address behind the proxy keeps out that one alone. (This machine's own
	// addresses can't be blocked, so the proxy is played here.)
	token := strings.TrimSpace(command(t, s.dir, "", "token", "create", "--label", "test", "--scope", "admin").stdout)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+admin+"/api/v1/blocks", strings.NewReader(`{"kind": "address", "value": "203.0.113.9"}`))
	h.check(err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	h.check(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("block: %d", resp.StatusCode)
	}
	for claim, want := range map[string]bool{"203.0.113.9": false, "203.0.113.9, 203.0.113.8": true, "203.0.113.8, 203.0.113.9": false} {
		if got := connect("127.0.0.1", s.ws, claim, e2eUser, e2ePassword); got != want {
			t.Errorf("for %s, of which 203.0.113.9 is blocked: connected %v", claim, got)
		}
	}
}
