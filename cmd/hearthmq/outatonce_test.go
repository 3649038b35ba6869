package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// case A9: a user who is deleted or disabled, or whose password is changed, by the command
// beside the running server, is out within a second of it on every door and with every
// version, and the password of before lets nobody in any more.
func TestUserOutOnEveryDoor(t *testing.T) {
	h := newHouse(t)
	h.issue("server")
	roots := x509.NewCertPool()
	roots.AddCert(h.cert)
	s := start(t, options{"certfile": h.path("server.pem"), "keyfile": h.path("server.key"), "wss_address": "127.0.0.1:0", "max_connections_per_address": 0})
	safe := &tls.Config{RootCAs: roots}
	webSocket := func(url string, cfg *tls.Config) net.Conn {
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, TLSClientConfig: cfg, HandshakeTimeout: time.Minute}
		ws, resp, err := dialer.DialContext(t.Context(), url, nil)
		h.check(err)
		resp.Body.Close()
		return &framed{Conn: ws.NetConn(), ws: ws}
	}
	dial := map[string]func() net.Conn{
		"TCP": func() net.Conn { c, err := net.Dial("tcp", s.mqtt); h.check(err); return c },
		"TLS": func() net.Conn { c, err := tls.Dial("tcp", s.mqtts, safe); h.check(err); return c },
		"WS":  func() net.Conn { return webSocket("ws://"+s.ws+"/mqtt", nil) },
		"WSS": func() net.Conn { return webSocket("wss://"+s.port("MQTT over WebSocket, encrypted")+"/mqtt", safe) },
	}
	login := func(door, user, password string, v packet.Version) (*packet.Reader, bool) {
		t.Helper()
		c := dial[door]()
		t.Cleanup(func() { c.Close() })
		h.check(c.SetDeadline(time.Now().Add(time.Minute)))
		p := packet.Connect{Version: v, ClientID: fmt.Sprint(user, door, byte(v)), CleanStart: true, KeepAlive: 600, HasUserName: true, UserName: user, HasPassword: true, Password: []byte(password)}
		_, err := c.Write(p.Append(nil, v))
		h.check(err)
		r := packet.NewReader(c, 0)
		f, err := r.ReadFrame()
		h.check(err)
		var ack packet.Connack
		h.check(ack.Decode(v, f))
		return r, ack.Code == 0 && ack.ReturnCode == 0
	}
	versions := []packet.Version{packet.V31, packet.V311, packet.V50}
	for _, tt := range []struct {
		user, stdin string
		args        []string
	}{
		{"disabled", "", []string{"user", "disable", "disabled"}},
		{"changed", "another password\n", []string{"user", "passwd", "changed", "--password-stdin"}},
		{"deleted", "", []string{"user", "delete", "deleted"}},
	} {
		password := s.user(tt.user)
		eventually(t, "the server knows the user", func() bool { _, ok := login("TCP", tt.user, password, packet.V311); return ok })
		readers := map[string]*packet.Reader{}
		for door := range dial {
			for _, v := range versions {
				r, ok := login(door, tt.user, password, v)
				if !ok {
					t.Fatalf("%s by %s with %v is not let in", tt.user, door, v)
				}
				readers[fmt.Sprint(door, " ", v)] = r
			}
		}
		machine := brokertest.WatchMachine()
		if r := command(t, s.dir, tt.stdin, tt.args...); r.code != 0 {
			t.Fatal(r.stderr)
		}
		began := time.Now()
		for what, r := range readers {
			f, err := r.ReadFrame()
			if strings.HasSuffix(what, packet.V50.String()) {
				var p packet.Disconnect
				if err != nil || f.Type() != packet.TypeDisconnect || p.Decode(packet.V50, f) != nil || p.Code != packet.NotAuthorized {
					t.Errorf("%s, %s: %+v, %v", tt.user, what, p, err)
				}
				_, err = r.ReadFrame()
			}
			if ne, ok := err.(net.Error); err == nil || ok && ne.Timeout() {
				t.Errorf("%s, %s is still connected: %v", tt.user, what, err)
			}
		}
		if took := time.Since(began); took > time.Second {
			machine.Timing(t, "%s: the last of %d was out after %v", tt.user, len(readers), took)
		} else {
			t.Logf("%s: all out after %v", tt.user, took)
		}
		for door := range dial {
			if _, ok := login(door, tt.user, password, packet.V50); ok {
				t.Errorf("%s: the password of before lets in by %s", tt.user, door)
			}
		}
	}
}
