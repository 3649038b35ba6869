package listen

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What installations of Mosquitto have and HearthMQ's own do not need.

// enters says whether a client comes in with a certificate, and as whom.
func enters(t *testing.T, files TLS, ca *authority, cert *tls.Certificate) (user string, err error) {
	t.Helper()
	ln := listen(t, Config{Name: "door", TLS: &files})
	cfg := &tls.Config{RootCAs: ca.pool(), ServerName: "hearth.test"}
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	go func() {
		c := tls.Client(dial(t, ln), cfg)
		if _, err := c.Write([]byte("x")); err == nil {
			_, _ = c.Read(make([]byte, 1)) // until the server has seen all
		}
		c.Close()
	}()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return "", err
	}
	return peerName(c)
}

// disable_client_cert_date_checks: the time of certificates does not count, all else does.
func TestAnyDate(t *testing.T) {
	ca, stranger := newSigner(t), newAuthority(t)
	files := ca.files(t)
	files.RequireCertificate, files.AnyDate, files.Names.From = true, true, NamesCN
	files.CRLFile = filepath.Join(t.TempDir(), "revoked.pem")
	ca.revoke(t, files.CRLFile, time.Now().Add(time.Hour), 666)
	lamp := pkix.Name{CommonName: "lamp"}
	ended := &x509.Certificate{Subject: lamp, NotBefore: time.Now().Add(-10_000 * time.Hour), NotAfter: time.Now().Add(-9_000 * time.Hour)}
	for _, x := range []struct {
		name string
		cert tls.Certificate
		shut string
	}{
		{"ended before its authority began", ca.certificate(t, ended), ""},
		{"not begun", ca.certificate(t, &x509.Certificate{Subject: lamp, NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}), ""},
		{"of a stranger", stranger.certificate(t, &x509.Certificate{Subject: lamp}), "unknown authority"},
		{"for servers alone", ca.certificate(t, &x509.Certificate{Subject: lamp, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), "key usage"},
		{"revoked", ca.certificate(t, &x509.Certificate{Subject: lamp, SerialNumber: big.NewInt(666)}), "was revoked"},
	} {
		user, err := enters(t, files, ca, &x.cert)
		if x.shut == "" && (err != nil || user != "lamp") || x.shut != "" && (err == nil || !strings.Contains(err.Error(), x.shut)) {
			t.Errorf("%s: %q %v", x.name, user, err)
		}
	}
	if user, err := enters(t, files, ca, nil); err == nil {
		t.Errorf("without a certificate: %q came in", user)
	}
	files.AnyDate = false
	cert := ca.certificate(t, ended)
	if _, err := enters(t, files, ca, &cert); err == nil {
		t.Error("ended, and the time counts: came in")
	}
}

// A list of version 1, as openssl makes it without crl_extensions: accepted when one of
// the authorities signed it, and only then.
func TestRevokedVersion1(t *testing.T) {
	ca, stranger := newSigner(t), newSigner(t)
	files := ca.files(t)
	files.RequireCertificate = true
	files.CRLFile = filepath.Join(t.TempDir(), "revoked.pem")
	write(t, files.CRLFile, version1List(t, ca, ca.cert, 666))
	revoked := ca.certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "lamp"}, SerialNumber: big.NewInt(666)})
	if _, err := enters(t, files, ca, &revoked); err == nil || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("revoked: %v", err)
	}
	good := ca.certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "lamp"}})
	if _, err := enters(t, files, ca, &good); err != nil {
		t.Errorf("not revoked: %v", err)
	}
	write(t, files.CRLFile, version1List(t, stranger, ca.cert, 666)) // in ca's name
	if _, err := files.read(); err == nil || !strings.Contains(err.Error(), "signed by nobody") {
		t.Errorf("a list that somebody else signed: %v", err)
	}
}

// version1List is made by hand: package x509 makes only version 2.
func version1List(t *testing.T, signer *authority, issuer *x509.Certificate, serial int64) []byte {
	t.Helper()
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}} // ecdsa-with-SHA256
	type entry struct {
		Serial *big.Int
		Time   time.Time
	}
	body, err := asn1.Marshal(struct {
		Algorithm  pkix.AlgorithmIdentifier
		Issuer     asn1.RawValue
		This, Next time.Time
		Revoked    []entry
	}{algorithm, asn1.RawValue{FullBytes: issuer.RawSubject}, time.Now().UTC(), time.Now().UTC().Add(time.Hour), []entry{{big.NewInt(serial), time.Now().UTC()}}})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	signature, err := signer.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Body      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: body}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// A server's certificate that stands alone in its file is sent with what cafile has
// between it and the root, as OpenSSL does.
func TestChainOfCAFile(t *testing.T) {
	root := newAuthority(t)
	middle := newAuthority(t)
	tmpl := *middle.cert
	tmpl.Subject.CommonName, tmpl.SerialNumber, tmpl.RawSubject = "between", big.NewInt(7), nil
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, root.cert, &middle.key.PublicKey, root.key)
	if err != nil {
		t.Fatal(err)
	}
	if middle.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	files := middle.files(t)
	files.CAFile = ""
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), root.pem...)
	files.ChainFile = filepath.Join(t.TempDir(), "all-ca.crt")
	write(t, files.ChainFile, both)
	set, err := files.read()
	if err != nil {
		t.Fatal(err)
	}
	if sent := set.config.Certificates[0].Certificate; len(sent) != 2 || string(sent[1]) != string(der) {
		t.Errorf("%d certificates are sent", len(sent))
	}
	if _, err := enters(t, files, root, nil); err != nil { // root.pool knows the root alone
		t.Error(err)
	}
	if set.config.ClientAuth != tls.NoClientCert {
		t.Error("clients are asked for a certificate")
	}
}

// use_identity_as_username behind a proxy that ends TLS.
func TestProxyNames(t *testing.T) {
	const (
		addresses = "\xC0\x00\x02\x05\x00\x00\x00\x00\x18\x83\x00\x00"
		version   = "\x21\x00\x07TLSv1.3"
		name      = "\x22\x00\x04lamp"
	)
	header := func(client byte, verify, tlvs string) string {
		ssl := string(rune(client)) + verify + tlvs
		body := addresses + "\x20\x00" + string(rune(len(ssl))) + ssl
		return proxyV2Start + "\x21\x11\x00" + string(rune(len(body))) + body
	}
	const good = "\x00\x00\x00\x00"
	for _, x := range []struct{ name, header, want string }{
		{"on this connection", header(3, good, version+name), "lamp"},
		{"on the session's first", header(5, good, version+name), "lamp"},
		{"not verified", header(3, "\x00\x00\x00\x01", version+name), ""},
		{"no certificate", header(1, good, version+name), ""},
		{"no name", header(3, good, version), ""},
		{"breaks off", header(3, good, "\x22\x00\x09lamp"), ""},
		{"no TLS", proxyV2Start + "\x21\x11\x00\x0c" + addresses, ""},
	} {
		for _, on := range []bool{true, false} {
			ln := listen(t, Config{Name: "door", ProxyNames: on, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			c := dial(t, ln)
			if _, err := c.Write([]byte(x.header + "x")); err != nil {
				t.Fatal(err)
			}
			accepted, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			got, err := peerName(accepted)
			if want := map[bool]string{true: x.want}[on]; got != want || err != nil {
				t.Errorf("%s, believed %v: %q %v", x.name, on, got, err)
			}
			accepted.Close()
		}
	}
	odd := &prefixed{name: "lamp\x00"}
	if _, err := odd.PeerName(); err == nil {
		t.Error("a name with NUL is one")
	}
}
