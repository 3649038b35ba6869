package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
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
		name   string
		do     func(c net.Conn)
		words  string // "": nothing to tell
		noTLS  bool
		doubts bool
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
				if !ok || !strings.Contains(err.Error(), tt.words) || e.NoTLS != tt.noTLS || e.Doubts != tt.doubts || e.Missing {
					t.Errorf("told %#v: %v", e, err)
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
