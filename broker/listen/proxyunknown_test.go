package listen

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// A PROXY header of somebody whom no setting names is told of as one: before a handshake of
// TLS, on a port for WebSocket, and in there.
func TestProxyUnknown(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	headers := map[string]string{
		"version 1": "PROXY TCP4 192.0.2.1 192.0.2.2 5000 8883\r\n",
		"version 2": proxyV2Start + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x13\x88\x22\xb3",
	}
	for _, tt := range []struct {
		name            string
		web, safe, deep bool // deep: the header is encrypted
	}{
		{"TLS", false, true, false},
		{"WebSocket", true, false, false},
		{"WebSocket and TLS", true, true, false},
		{"WebSocket in TLS", true, true, true},
	} {
		for version, header := range headers {
			t.Run(tt.name+", "+version, func(t *testing.T) {
				told := make(chan error, 8)
				cfg := Config{Name: "door", WebSocket: tt.web, Refused: func(_ net.Addr, err error) { told <- err }}
				if tt.safe {
					f := files
					cfg.TLS = &f
				}
				ln := listen(t, cfg)
				go func() { // as the broker does
					if s, err := ln.Accept(); err == nil {
						_, _ = io.Copy(io.Discard, s)
						s.Close()
					}
				}()
				c := dial(t, ln)
				if tt.deep {
					c = tls.Client(c, &tls.Config{RootCAs: ca.pool(), ServerName: "hearth.test"})
				}
				if _, err := io.WriteString(c, header); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-told:
					if e, ok := errors.AsType[*ClientError](err); !ok || !e.Proxy || e.WrongDoor {
						t.Errorf("told %#v", err)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("the owner hears nothing")
				}
			})
		}
	}
}
