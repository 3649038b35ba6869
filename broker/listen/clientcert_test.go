package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// certificate signs what t describes and returns it with its key for a client.
func (a *authority) certificate(tb testing.TB, t *x509.Certificate) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if t.SerialNumber == nil {
		t.SerialNumber = big.NewInt(time.Now().UnixNano())
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = time.Now().Add(-time.Hour)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = time.Now().Add(time.Hour)
	}
	if t.ExtKeyUsage == nil {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// revoke writes a list of revoked certificates.
func (a *authority) revoke(tb testing.TB, file string, next time.Time, serials ...int64) {
	tb.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: next}
	for _, n := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, file, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// signer makes a an authority that may sign lists of revoked certificates, too.
func newSigner(tb testing.TB) *authority {
	tb.Helper()
	return newSignerNamed(tb, "Test authority")
}

func newSignerNamed(tb testing.TB, name string) *authority {
	tb.Helper()
	a := newAuthority(tb)
	tmpl := *a.cert
	tmpl.Subject, tmpl.RawSubject = pkix.Name{CommonName: name}, nil
	tmpl.KeyUsage |= x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, &tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// case A16: whom a certificate names, and which certificates are none, on TCP and WSS.
func TestClientCertificates(t *testing.T) {
	ca, stranger := newSigner(t), newAuthority(t)
	files := ca.files(t)
	files.CRLFile = filepath.Join(t.TempDir(), "revoked.pem")
	ca.revoke(t, files.CRLFile, time.Now().Add(time.Hour), 666)
	files.RequireCertificate = true
	subject := func(name string) pkix.Name { return pkix.Name{CommonName: name} }
	mail := []string{"lamp@home.example"}
	lamp := ca.certificate(t, &x509.Certificate{Subject: subject("lamp"), DNSNames: []string{"lamp.home", "other.home"}, EmailAddresses: mail})
	sum := sha256.Sum256(lamp.Certificate[0])
	fingerprint := strings.ToUpper(hex.EncodeToString(sum[:]))

	for _, tt := range []struct {
		name  string
		names Names
		cert  tls.Certificate
		want  string // the user
		shut  string // words of the handshake's refusal
		none  string // words of PeerName's error
	}{
		{name: "Common Name", names: Names{From: NamesCN}, cert: lamp, want: "lamp"},
		{name: "alternative name", names: Names{From: NamesSAN}, cert: lamp, want: "lamp.home"},
		{name: "mail as alternative name", names: Names{From: NamesSAN}, cert: ca.certificate(t, &x509.Certificate{EmailAddresses: mail}), want: mail[0]},
		{name: "URI as alternative name", names: Names{From: NamesSAN}, cert: ca.certificate(t, &x509.Certificate{URIs: []*url.URL{{Scheme: "urn", Opaque: "lamp"}}}), want: "urn:lamp"},
		{name: "subject", names: Names{From: NamesSubject}, cert: lamp, want: "CN=lamp"},
		{name: "mapping by Common Name goes first", names: Names{From: NamesSAN, Users: map[string]string{"lamp": "bulb"}}, cert: lamp, want: "bulb"},
		{name: "mapping by alternative name", names: Names{Users: map[string]string{"other.home": "bulb"}}, cert: lamp, want: "bulb"},
		{name: "mapping by fingerprint", names: Names{Users: map[string]string{fingerprint[:2] + ":" + fingerprint[2:]: "bulb"}}, cert: lamp, want: "bulb"},
		{name: "another's fingerprint as Common Name", names: Names{Users: map[string]string{fingerprint: "bulb"}},
			cert: ca.certificate(t, &x509.Certificate{Subject: subject(fingerprint)}), none: "names no user"},
		{name: "another's fingerprint as alternative name", names: Names{Users: map[string]string{strings.ToLower(fingerprint): "bulb"}},
			cert: ca.certificate(t, &x509.Certificate{DNSNames: []string{strings.ToLower(fingerprint)}}), none: "names no user"},
		{name: "not in the mapping", names: Names{Users: map[string]string{"door": "bulb"}}, cert: lamp, none: "names no user"},
		{name: "names are off", cert: lamp},
		{name: "no Common Name", names: Names{From: NamesCN}, cert: ca.certificate(t, &x509.Certificate{DNSNames: []string{"lamp.home"}}), none: "names no user"},
		{name: "no alternative name", names: Names{From: NamesSAN}, cert: ca.certificate(t, &x509.Certificate{Subject: subject("lamp")}), none: "names no user"},
		{name: "Common Name with NUL", names: Names{From: NamesCN}, cert: ca.certificate(t, &x509.Certificate{Subject: subject("lamp\x00.evil")}), none: "no name"},
		{name: "Common Name that is not UTF-8", names: Names{From: NamesCN}, cert: ca.certificate(t, &x509.Certificate{RawSubject: latinSubject}), shut: "invalid UTF-8"},
		{name: "ended", cert: ca.certificate(t, &x509.Certificate{Subject: subject("lamp"), NotAfter: time.Now().Add(-time.Minute)}), shut: "expired"},
		{name: "not begun", cert: ca.certificate(t, &x509.Certificate{Subject: subject("lamp"), NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}), shut: "not yet valid: current time " + time.Now().UTC().Format("2006-")}, // case R12: as all of them in 1970
		{name: "revoked", cert: ca.certificate(t, &x509.Certificate{Subject: subject("lamp"), SerialNumber: big.NewInt(666)}), shut: "was revoked"},
		{name: "for servers alone", cert: ca.certificate(t, &x509.Certificate{Subject: subject("lamp"), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), shut: "key usage"},
		{name: "of a stranger", cert: stranger.certificate(t, &x509.Certificate{Subject: subject("lamp")}), shut: "unknown authority"},
		{name: "signed by itself", cert: selfSigned(t), shut: "unknown authority"},
		{name: "none", shut: "no certificate"},
	} {
		for _, web := range []bool{false, true} {
			name := tt.name + map[bool]string{false: " over TCP", true: " over WebSocket"}[web]
			t.Run(name, func(t *testing.T) {
				f := files
				f.Names = tt.names
				told := make(chan error, 8)
				ln := listen(t, Config{Name: "door", WebSocket: web, TLS: &f, Refused: func(_ net.Addr, err error) { told <- err }})
				cfg := &tls.Config{RootCAs: ca.pool(), ServerName: "hearth.test"}
				if tt.cert.Certificate != nil {
					// Forced upon the client, which would not send one that it can't read.
					cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tt.cert, nil }
				}
				raw := dial(t, ln)
				c := tls.Client(raw, cfg)
				if tt.shut != "" {
					checkShut(t, c, ln, web, told, tt.shut, tt.cert.Certificate == nil)
					return
				}
				var s net.Conn
				if web {
					upgrade(t, c, mqttProtocol)
					s = accept(t, ln)
				} else {
					s = accept(t, ln)
					go func() { _, _ = c.Write([]byte("x")) }() // a failure shows at the other end
					receive(t, s, "x")
				}
				user, err := s.(peer).PeerName()
				switch {
				case tt.none == "" && (err != nil || user != tt.want):
					t.Errorf("named %q, %v, want %q", user, err, tt.want)
				case tt.none != "" && (err == nil || !strings.Contains(err.Error(), tt.none) || user != ""):
					t.Errorf("named %q, %v, want an error with %q", user, err, tt.none)
				}
			})
		}
	}
}

// checkShut checks that a client is turned away, and that the owner hears why.
func checkShut(t *testing.T, c *tls.Conn, ln net.Listener, web bool, told chan error, words string, missing bool) {
	t.Helper()
	if !web {
		go func() {
			if s, err := ln.Accept(); err == nil { // as the broker does
				_, _ = io.Copy(io.Discard, s)
				s.Close()
			}
		}()
	}
	_ = c.Handshake() // with TLS 1.3 the client hears of it at its first read
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Fatal("let in")
	}
	var err error
	select {
	case err = <-told:
	case <-time.After(20 * time.Second):
		t.Fatal("the owner hears nothing")
	}
	e, ok := errors.AsType[*ClientError](err)
	if !ok || !strings.Contains(err.Error(), words) || e.Missing != missing {
		t.Errorf("told %v (missing %v), want %q (missing %v)", err, ok && e.Missing, words, missing)
	}
}

func selfSigned(tb testing.TB) tls.Certificate {
	tb.Helper()
	a := newAuthority(tb)
	return tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}
}

// latinSubject is CN=caf\xe9 as UTF8String, which it is not.
var latinSubject = []byte{0x30, 0x0f, 0x31, 0x0d, 0x30, 0x0b, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x04, 'c', 'a', 'f', 0xe9}

// Whose own authority has no list is not let in where there are lists: Mosquitto 2.0.11
// refuses it as well, and nobody could say whether the certificate was revoked (case A16).
func TestAuthorityWithoutList(t *testing.T) {
	ca, other := newSignerNamed(t, "One"), newSignerNamed(t, "Other")
	files := ca.files(t)
	write(t, files.CAFile, slices.Concat(ca.pem, other.pem))
	files.CRLFile = filepath.Join(t.TempDir(), "revoked.pem")
	for _, tt := range []struct {
		name       string
		lists      []byte
		one, other string // "": is let in
	}{
		{"one list", ca.crl(t, 666), "", `crlfile holds no list of "CN=Other"`},
		{"the other's", other.crl(t), `crlfile holds no list of "CN=One"`, ""},
		{"both", slices.Concat(ca.crl(t, 666), other.crl(t)), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, files.CRLFile, tt.lists)
			told := make(chan error, 8)
			ln := listen(t, Config{Name: "mqtts", TLS: &files, Refused: func(_ net.Addr, err error) { told <- err }})
			for _, x := range []struct {
				by   *authority
				want string
			}{{ca, tt.one}, {other, tt.other}} {
				cfg := &tls.Config{RootCAs: ca.pool(), ServerName: "hearth.test", Certificates: []tls.Certificate{x.by.certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "lamp"}})}}
				c := tls.Client(dial(t, ln), cfg)
				s := accept(t, ln)
				go func() { _, _ = c.Write([]byte("x")) }()
				_, err := s.Read(make([]byte, 1))
				c.Close()
				if (err != nil) != (x.want != "") {
					t.Fatalf("%s: %v", x.by.cert.Subject, err)
				}
				if x.want != "" {
					if err := <-told; !strings.Contains(err.Error(), x.want) {
						t.Error(err)
					}
				}
			}
		})
	}
}

// A list that changes counts for the next client; one that can't be read, or of a
// stranger, leaves the one before.
func TestRevokedReread(t *testing.T) {
	ca := newSigner(t)
	files := ca.files(t)
	files.CRLFile = filepath.Join(t.TempDir(), "revoked.pem")
	ca.revoke(t, files.CRLFile, time.Now().Add(time.Hour))
	keys, err := loadCertificates(files, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(ca.certificate(t, &x509.Certificate{SerialNumber: big.NewInt(7)}).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	refused := func() bool {
		now = now.Add(2 * reloadInterval)
		return keys.current(now).config.VerifyConnection(tls.ConnectionState{
			PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert, ca.cert}},
		}) != nil
	}
	if refused() {
		t.Error("refused before it was revoked")
	}
	ca.revoke(t, files.CRLFile, now.Add(time.Hour), 5, 7)
	if !refused() {
		t.Error("let in although revoked")
	}
	newSigner(t).revoke(t, files.CRLFile, now.Add(time.Hour))
	if !refused() {
		t.Error("the list of a stranger was taken over")
	}
	write(t, files.CRLFile, []byte("no list at all, and much longer"))
	if !refused() {
		t.Error("what is no list was taken over")
	}
	if s := keys.Status(now); s.State != CertificateBroken || !strings.Contains(s.Problem, "holds no list") {
		t.Errorf("status %+v", s)
	}
	ca.revoke(t, files.CRLFile, now.Add(-time.Hour), 7, 8, 9)
	if !refused() {
		t.Error("a list whose time is over does not count")
	}
	if s := keys.Status(now); !strings.Contains(s.Problem, "should have been replaced") {
		t.Errorf("status %+v", s)
	}
}
