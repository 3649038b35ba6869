package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Who comes to the encrypted port without TLS, with one that is not safe, or does not
// trust what it finds, gets nothing from it: the owner hears why, in words that say what
// to change.
func TestWrongDoor(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	files := ca.files(t)
	shake := func(cfg *tls.Config) func(c net.Conn) {
		return func(c net.Conn) { _ = tls.Client(c, cfg).Handshake() }
	}
	say := func(text string) func(c net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, text) }
	}
	for _, tt := range []struct {
		name      string
		do        func(c net.Conn)
		words     string // "": nothing to tell
		wrongDoor bool
		doubts    bool
	}{
		{"MQTT", say("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"), "MQTT without encryption", true, false},
		{"HTTP", say("GET / HTTP/1.1\r\n\r\n"), "does not speak TLS", true, false},
		{"TLS 1.1", shake(&tls.Config{RootCAs: ca.pool(), ServerName: "hearth.test", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), "no encryption that is safe", true, false},
		{"a stranger's authority, TLS 1.3", shake(&tls.Config{RootCAs: stranger.pool(), ServerName: "hearth.test"}), "certificate", false, true},
		{"a stranger's authority, TLS 1.2", shake(&tls.Config{RootCAs: stranger.pool(), ServerName: "hearth.test", MaxVersion: tls.VersionTLS12}), "certificate", false, true},
		{"a stranger's authority, as OpenSSL", func(c net.Conn) {
			_ = tls.Client(&plainAlert{Conn: c}, &tls.Config{RootCAs: stranger.pool(), ServerName: "hearth.test"}).Handshake()
		}, "certificate", false, true},
		{"another name", shake(&tls.Config{RootCAs: ca.pool(), ServerName: "other.test"}), "certificate", false, true},
		{"no authority at all", shake(&tls.Config{RootCAs: x509.NewCertPool(), ServerName: "hearth.test"}), "certificate", false, true},
		{"gone at once", func(c net.Conn) { _ = c.Close() }, "", false, false},
	} {
		for _, web := range []bool{false, true} {
			name := tt.name + map[bool]string{false: ", MQTT", true: ", WebSocket"}[web]
			t.Run(name, func(t *testing.T) {
				told := make(chan error, 8)
				f := files
				ln := listen(t, Config{Name: "door", WebSocket: web, TLS: &f, Refused: func(_ net.Addr, err error) { told <- err }})
				over := make(chan struct{})
				go func() {
					defer close(over)
					if s, err := ln.Accept(); err == nil { // as the broker does
						_, _ = io.Copy(io.Discard, s)
						s.Close()
					}
				}()
				c := dial(t, ln)
				tt.do(c)
				if tt.words == "" {
					if !web {
						<-over
					}
					ln.Close()
					if len(told) > 0 {
						t.Errorf("told %v", <-told)
					}
					return
				}
				var err error
				select {
				case err = <-told:
				case <-time.After(20 * time.Second):
					t.Fatal("the owner hears nothing")
				}
				e, ok := errors.AsType[*ClientError](err)
				if !ok || !strings.Contains(err.Error(), tt.words) || e.WrongDoor != tt.wrongDoor || e.Doubts != tt.doubts || e.Missing {
					t.Errorf("told %#v: %v", e, err)
				}
			})
		}
	}
}

// Who does not get as far as MQTT on a port for WebSocket is told, too, for whom a proxy
// speaks as well; who only visits it with a browser is not.
func TestWrongDoorOfWebSockets(t *testing.T) {
	const upgrade = "GET /mqtt HTTP/1.1\r\nHost: hearth.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for _, tt := range []struct {
		name, say string
		words     string // "": nothing to tell
		want      ClientError
		from      string
	}{
		{"MQTT", "\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a", "speaks MQTT, and this port is for MQTT over WebSocket alone", ClientError{WrongDoor: true}, "127.0.0.1:"},
		{"TLS", "\x16\x03\x01\x00\x05hello", "wants encryption", ClientError{WrongDoor: true}, "127.0.0.1:"},
		{"no subprotocol", upgrade + "\r\n", "subprotocol mqtt", ClientError{WrongDoor: true}, "127.0.0.1:"},
		{"another origin", upgrade + "Sec-WebSocket-Protocol: mqtt\r\nOrigin: https://evil\x1b.test\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n", "", ClientError{}, ""}, // no header
		{"another origin", upgrade + "Sec-WebSocket-Protocol: mqtt\r\nOrigin: https://evil.test\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n", `"https://evil.test"`, ClientError{Stranger: true}, "192.0.2.7:"},
		{"a visitor", "GET / HTTP/1.1\r\nHost: hearth.test\r\n\r\n", "", ClientError{}, ""},
	} {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %v", tt.name, encrypted), func(t *testing.T) {
				type refusal struct {
					from string
					err  error
				}
				told := make(chan refusal, 8)
				cfg := Config{Name: "door", WebSocket: true, Forwarders: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Refused: func(a net.Addr, err error) { told <- refusal{a.String(), err} }}
				ca := newAuthority(t)
				if encrypted {
					f := ca.files(t)
					cfg.TLS = &f
				}
				ln := listen(t, cfg)
				c := dial(t, ln)
				if encrypted {
					c = tls.Client(c, &tls.Config{RootCAs: ca.pool(), ServerName: "hearth.test"})
				}
				if _, err := io.WriteString(c, tt.say); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, c) // its end is what counts
				ln.Close()
				if tt.words == "" {
					if len(told) > 0 {
						t.Errorf("told %v", <-told)
					}
					return
				}
				if len(told) != 1 {
					t.Fatalf("told %d times", len(told))
				}
				r := <-told
				e, ok := errors.AsType[*ClientError](r.err)
				if !ok || !strings.Contains(r.err.Error(), tt.words) || !strings.HasPrefix(r.from, tt.from) {
					t.Fatalf("told %v of %s", r.err, r.from)
				}
				if tt.want.Err = e.Err; *e != tt.want {
					t.Errorf("told %#v", e)
				}
			})
		}
	}
}

// plainAlert is a client's connection on which all after the first flight is what
// OpenSSL sends when it does not accept a certificate: an alert without encryption.
type plainAlert struct {
	net.Conn
	greeted bool
}

func (c *plainAlert) Write(p []byte) (int, error) {
	if !c.greeted {
		c.greeted = true
		return c.Conn.Write(p)
	}
	_, err := io.WriteString(c.Conn, "\x15\x03\x03\x00\x02\x02\x30")
	return len(p), err
}
