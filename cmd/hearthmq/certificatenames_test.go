package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// case A16, in the whole program: a certificate that is not to be trusted, or names nobody,
// does not get in, on TCP and WSS, in both versions: not even with a good password.
func TestCertificatesThatGetNobodyIn(t *testing.T) {
	h := newHouse(t)
	s := h.start(t, nil)
	wss := s.port("MQTT over WebSocket, encrypted")
	stranger := newHouse(t)
	made := func(by *house, c *x509.Certificate) tls.Certificate {
		h.serial++
		key := h.newKey()
		if c.SerialNumber == nil {
			c.SerialNumber = big.NewInt(h.serial)
		}
		if c.NotAfter.IsZero() {
			c.NotAfter = time.Now().Add(time.Hour)
		}
		if c.ExtKeyUsage == nil {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}
		c.NotBefore = time.Now().Add(-2 * time.Hour)
		parent, signer := c, key
		if by != nil {
			parent, signer = by.cert, by.key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
		h.check(err)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	named := func(name string) pkix.Name { return pkix.Name{CommonName: name} }
	const untrusted = `reason="certificate not trusted"`
	for _, tt := range []struct {
		name string
		cert tls.Certificate
		log  []string // of the refusal
	}{
		{"good", made(h, &x509.Certificate{Subject: named("lamp")}), nil},
		{"ended", made(h, &x509.Certificate{Subject: named("lamp"), NotAfter: time.Now().Add(-time.Hour)}), []string{untrusted, "expired"}},
		{"revoked", made(h, &x509.Certificate{Subject: named("lamp"), SerialNumber: big.NewInt(102)}), []string{untrusted, "was revoked"}},
		{"signed by itself", made(nil, &x509.Certificate{Subject: named("lamp")}), []string{untrusted, "unknown authority"}},
		{"of a stranger", made(stranger, &x509.Certificate{Subject: named("lamp")}), []string{untrusted, "unknown authority"}},
		{"for servers alone", made(h, &x509.Certificate{Subject: named("lamp"), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), []string{untrusted, "key usage"}},
		{"name with NUL", made(h, &x509.Certificate{Subject: named("lamp\x00.evil")}), []string{untrusted, "which is no name"}},
		{"name with a line break", made(h, &x509.Certificate{Subject: named("lamp\nlevel=error")}), []string{untrusted, "which is no name"}},
		// CN=caf\xe9 as UTF8String, which it is not.
		{"name that is not UTF-8", made(h, &x509.Certificate{RawSubject: []byte("\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x04caf\xe9")}), []string{untrusted, "UTF-8"}},
		{"no name", made(h, &x509.Certificate{DNSNames: []string{"lamp"}}), []string{untrusted, "names no user"}},
		{"an alternative name is not asked for", made(h, &x509.Certificate{Subject: named("stranger"), DNSNames: []string{"lamp"}}), []string{`reason="unknown user"`, `names \"stranger\"`}},
		{"none", tls.Certificate{}, []string{`reason="certificate required"`}},
	} {
		for _, web := range []bool{false, true} {
			for _, version := range []byte{4, 5} {
				cfg := &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tt.cert, nil }}
				before := len(s.log.String())
				answer := certified(t, s.mqtts, wss, cfg, web, version)
				what := tt.name + map[bool]string{false: ", TCP", true: ", WSS"}[web]
				if tt.log == nil {
					if len(answer) < 4 || answer[3] != 0 {
						t.Errorf("%s, version %d: answer %x", what, version, answer)
					}
					continue
				}
				if len(answer) >= 4 && answer[3] == 0 {
					t.Errorf("%s, version %d: let in", what, version)
				}
				tried := time.Now()
				eventually(t, what+": the log says why", func() bool {
					if time.Since(tried) > 1100*time.Millisecond { // of the ten lines in a second none was left
						certified(t, s.mqtts, wss, cfg, web, version)
						tried = time.Now()
					}
					for line := range strings.Lines(s.log.String()[before:]) {
						all := strings.Contains(line, "client refused")
						for _, word := range tt.log {
							all = all && strings.Contains(line, word)
						}
						if all {
							return true
						}
					}
					return false
				})
			}
		}
	}
}

// certified sends a CONNECT with a good password behind TLS, and returns what is answered.
func certified(t *testing.T, mqtts, wss string, cfg *tls.Config, web bool, version byte) []byte {
	t.Helper()
	body := "\x00\x04MQTT" + string([]byte{version, 0xC2, 0, 60})
	if version == 5 {
		body += "\x00"
	}
	connect := frameOf(0x10, body+mqttString("c")+mqttString(e2eUser)+mqttString(e2ePassword))
	answer := make([]byte, 64)
	if web {
		d := websocket.Dialer{TLSClientConfig: cfg, Subprotocols: []string{"mqtt"}, HandshakeTimeout: time.Minute}
		ws, resp, err := d.DialContext(t.Context(), "wss://"+wss+"/mqtt", nil)
		if err != nil {
			return nil
		}
		resp.Body.Close()
		defer ws.Close()
		_ = ws.SetReadDeadline(time.Now().Add(time.Minute))
		if ws.WriteMessage(websocket.BinaryMessage, []byte(connect)) != nil {
			return nil
		}
		_, answer, _ = ws.ReadMessage()
		return answer
	}
	raw, err := net.Dial("tcp", mqtts)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(time.Minute))
	c := tls.Client(raw, cfg)
	if _, err := io.WriteString(c, connect); err != nil {
		return nil
	}
	n, _ := c.Read(answer) // with TLS 1.3 a client hears of a refusal here
	return answer[:n]
}
