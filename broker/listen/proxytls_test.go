package listen

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"
)

// A client that TLS turns away behind a trusted proxy is told of by its own address, on
// encrypted ports of every sort.
func TestRefusedBehindAProxy(t *testing.T) {
	const hello = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 8883\r\n"
	const hello2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x13\x88\x22\xb3"
	ca := newAuthority(t)
	files := ca.files(t)
	files.RequireCertificate = true
	for _, header := range []string{hello, hello2} {
		for _, port := range []string{"mqtts", "wss", "shared"} {
			t.Run(port, func(t *testing.T) {
				told := make(chan net.Addr, 8)
				cfg := Config{
					Name: "door", Network: "tcp", Address: "127.0.0.1:0", TLS: &files, WebSocket: port == "wss", Log: testLog(t),
					Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
					Refused: func(from net.Addr, _ error) { told <- from },
				}
				var ln net.Listener
				if port == "shared" {
					both := cfg
					both.WebSocket = true
					var err error
					if ln, _, err = ListenShared(t.Context(), cfg, both); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { ln.Close() })
				} else {
					ln = listen(t, cfg)
				}
				go func() {
					if s, err := ln.Accept(); err == nil { // as the broker does; nobody comes to the others
						_, _ = s.Read(make([]byte, 1))
						s.Close()
					}
				}()
				raw := dial(t, ln)
				send(t, raw, header)
				c := tls.Client(raw, ca.client(t, ""))
				_ = c.Handshake() // with TLS 1.3 the client hears of it at its first read
				if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
					t.Fatal("let in")
				}
				select {
				case from := <-told:
					if from.String() != "192.0.2.7:5000" {
						t.Errorf("told of %s, want the client's address", from)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("the owner hears nothing")
				}
			})
		}
	}
}

// case A16: where clients have certificates nobody comes in again by a ticket, past what
// has been revoked or ended meanwhile.
func TestNoTicketsForCertificates(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	files.RequireCertificate = true
	ln := listen(t, Config{Name: "mqtts", TLS: &files})
	cfg := ca.client(t, "lamp")
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg.MinVersion, cfg.MaxVersion = version, version
		for range 2 {
			c := tls.Client(dial(t, ln), cfg)
			s := accept(t, ln)
			go func() { _, _ = s.Read(make([]byte, 1)); _, _ = s.Write([]byte("y")) }()
			send(t, c, "x")
			receive(t, c, "y") // with TLS 1.3 a ticket would come before
			if c.ConnectionState().DidResume {
				t.Errorf("version %#x: let in by a ticket", version)
			}
			c.Close()
		}
	}
}
