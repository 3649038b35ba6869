package listen

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// case A16: each authority speaks for its own certificates alone. Another that the port trusts
// as well can neither make a list in its name nor revoke by number what it did not sign.
func TestListsOfSeveralAuthorities(t *testing.T) {
	one, other := newSignerNamed(t, "One"), newSignerNamed(t, "Other")
	both := []*x509.Certificate{one.cert, other.cert}
	file := filepath.Join(t.TempDir(), "revoked.pem")
	write(t, file, slices.Concat(one.crl(t), version1List(t, other, one.cert, 666)))
	if _, err := readRevoked(file, both); err == nil || !strings.Contains(err.Error(), "signed by nobody") {
		t.Errorf("a list that one authority made in the name of another: %v", err)
	}
	write(t, file, slices.Concat(one.crl(t, 7), other.crl(t, 666)))
	r, err := readRevoked(file, both)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		by      *authority
		serial  int64
		revoked bool
	}{{one, 666, false}, {other, 666, true}, {one, 7, true}, {other, 7, false}, {one, 8, false}} {
		leaf, err := x509.ParseCertificate(x.by.certificate(t, &x509.Certificate{SerialNumber: big.NewInt(x.serial)}).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		err = r.check(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf, x.by.cert}}})
		if (err != nil) != x.revoked {
			t.Errorf("number %d of %s: %v, want revoked %v", x.serial, x.by.cert.Subject, err, x.revoked)
		}
		if e, ok := errors.AsType[*tls.CertificateVerificationError](err); err != nil && (!ok || len(e.UnverifiedCertificates) != 1 || e.UnverifiedCertificates[0] != leaf) {
			t.Errorf("number %d of %s: the error does not say of whom: %v", x.serial, x.by.cert.Subject, err)
		}
	}
	// One way up that holds is enough, whichever comes first.
	leaf := lampOf(t, one)
	good, bad := []*x509.Certificate{leaf, one.cert}, []*x509.Certificate{leaf, {SerialNumber: big.NewInt(666), RawIssuer: other.cert.RawSubject}}
	for _, chains := range [][][]*x509.Certificate{{good, bad}, {bad, good}} {
		if err := r.check(tls.ConnectionState{VerifiedChains: chains}); err != nil {
			t.Error(err)
		}
	}
	if r.check(tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{bad}}) == nil {
		t.Error("a way up through a revoked one holds")
	}
}

// case A16: an entry that is not understood to its end makes the whole list one that can't be
// read: its number might be the thief's.
func TestBrokenEntries(t *testing.T) {
	ca := newSigner(t)
	seq := func(parts ...[]byte) []byte { return tlv(derSequence, parts...) }
	number, at := []byte{2, 1, 5}, tlv(asn1.TagUTCTime, []byte("260101000000Z"))
	id, value := []byte{6, 3, 0x55, 0x1D, 24}, []byte{4, 1, 0}
	for name, x := range map[string]struct {
		entries []byte
		ok      bool
	}{
		"whole":                        {seq(number, at), true},
		"two":                          {slices.Concat(seq([]byte{2, 1, 4}, at), seq(number, at)), true},
		"with an extension":            {seq(number, at, seq(seq(id, value))), true},
		"that is said not to matter":   {seq(number, at, seq(seq(id, []byte{1, 1, 0}, value))), true},
		"that is said to matter":       {seq(number, at, seq(seq(id, []byte{1, 1, 0xFF}, value))), false},
		"the second one that matters":  {seq(number, at, seq(seq(id, value), seq(id, []byte{1, 1, 0xFF}, value))), false},
		"no sequence":                  {number, false},
		"breaks off":                   {[]byte{0x30, 9, 2}, false},
		"the second breaks off":        {append(seq(number, at), 0x30), false},
		"a number that is none":        {seq([]byte{4, 1, 5}, at), false},
		"a number without bytes":       {seq([]byte{2, 0}, at), false},
		"no number":                    {seq(), false},
		"no time":                      {seq(number), false},
		"extensions that are none":     {seq(number, at, value), false},
		"something behind them":        {seq(number, at, seq(), value), false},
		"an extension that is none":    {seq(number, at, seq(value)), false},
		"one without a name":           {seq(number, at, seq(seq())), false},
		"one without a value":          {seq(number, at, seq(seq(id))), false},
		"extensions that break off":    {seq(number, at, []byte{0x30, 5, 0x30}), false},
		"one of them breaks off":       {seq(number, at, seq([]byte{0x30, 9})), false},
		"a length of unknown size":     {[]byte{0x30, 0x80, 0, 0}, false},
		"a length of five bytes":       {[]byte{0x30, 0x85, 0, 0, 0, 0, 0}, false},
		"a length that goes too far":   {[]byte{0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF}, false},
		"a length that is cut itself":  {[]byte{0x30, 0x82, 1}, false},
		"a length longer than it need": {append([]byte{0x30, 0x81, byte(len(number) + len(at))}, slices.Concat(number, at)...), true},
	} {
		r, err := readList(t, ca, ca.signedList(t, x.entries))
		if (err == nil) != x.ok {
			t.Errorf("%s: %v, want read %v", name, err, x.ok)
		}
		if err == nil && !r.lists[0].has(big.NewInt(5)) {
			t.Errorf("%s: 5 is not revoked", name)
		}
	}
}

// On a port that MQTT and WebSocket share a client is who it is on one of its own: by the
// proxy's word, and by its certificate, whose end it hears of (case A16).
func TestSharedKnowsWho(t *testing.T) {
	const ssl = "\x20\x00\x0c\x03\x00\x00\x00\x00\x22\x00\x04lamp"
	mqtt, _, err := ListenShared(t.Context(), Config{
		Name: "mqtt", Network: "tcp", Address: "127.0.0.1:0", Log: testLog(t), ProxyNames: true, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}, Config{Name: "ws", WebSocket: true, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mqtt.Close() })
	send(t, dial(t, mqtt), proxyV2(1, 0x11, proxyPeer, ssl)+"\x10x")
	s := accept(t, mqtt)
	receive(t, s, "\x10x")
	if name, err := peerName(s); name != "lamp" || err != nil || s.RemoteAddr().String() != "192.0.2.7:5000" {
		t.Errorf("by the proxy's word it is %q from %v, %v", name, s.RemoteAddr(), err)
	}
	if _, err := (&prefixed{name: "caf\xe9"}).PeerName(); err == nil {
		t.Error("a name of a proxy's that is not UTF-8 is one")
	}

	ca := newSigner(t)
	files := ca.files(t)
	files.Names.From, files.CRLFile = NamesCN, filepath.Join(t.TempDir(), "revoked.pem")
	ca.revoke(t, files.CRLFile, time.Now().Add(time.Hour))
	ring := make(keyring)
	ln, keys, err := open(t.Context(), Config{Name: "mqtts", Network: "tcp", Address: "127.0.0.1:0", TLS: &files, Log: testLog(t)}, ring)
	if err != nil {
		t.Fatal(err)
	}
	safe, _ := share(ln, testLog(t))
	t.Cleanup(func() { safe.Close() })
	cfg := ca.client(t, "")
	cfg.Certificates = []tls.Certificate{ca.certificate(t, &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "lamp"}})}
	raw := dial(t, ln)
	go func() {
		c := tls.Client(raw, cfg)
		_, _ = io.WriteString(c, "\x10x")
		_, _ = io.Copy(io.Discard, c)
	}()
	s = accept(t, safe)
	if w := s.(interface{ Wait() error }); w.Wait() != nil {
		t.Error("what was read already is not there at once")
	}
	receive(t, s, "\x10x")
	if name, err := peerName(s); name != "lamp" || err != nil {
		t.Errorf("by its certificate it is %q, %v", name, err)
	}
	heard := make(chan error, 1)
	onDistrust(s, func(err error, ended bool) {
		if ended {
			t.Error("said to have ended")
		}
		heard <- err
	})
	ca.revoke(t, files.CRLFile, time.Now().Add(48*time.Hour), 7)
	keys.Status(time.Now().Add(2 * reloadInterval))
	select {
	case err := <-heard:
		if !strings.Contains(err.Error(), "was revoked") {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it hears nothing of its certificate")
	}
}

// Reread takes what the files hold now, however short a time ago they were looked at.
func TestRereadAtOnce(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	now := time.Now()
	list := Open(t.Context(), []Config{
		{Name: "mqtts", Network: "tcp", Address: "127.0.0.1:0", TLS: &files, Log: testLog(t)},
		{Name: "mqtt", Network: "tcp", Address: "127.0.0.1:0", Log: testLog(t)},
	})
	for _, o := range list {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		t.Cleanup(func() { o.Listener.Close() })
	}
	if _, ok := list[1].Reread(now); ok {
		t.Error("a port without TLS has a certificate")
	}
	list[0].Certificate(now)
	cert, key := ca.issue(t, "renewed.test", now.Add(200*24*time.Hour))
	write(t, files.CertFile, append(cert, '\n'))
	write(t, files.KeyFile, key)
	s, ok := list[0].Reread(now)
	if block, _ := pem.Decode(cert); !ok || s.Name != "renewed.test" || block == nil {
		t.Errorf("%+v, %v", s, ok)
	}
}

// Where the time of certificates does not count, nobody is made to go at the next look for it
// either, who was let in; for all else as ever (case A16).
func TestAnyDateStays(t *testing.T) {
	ca, stranger := newSigner(t), newSigner(t)
	f := ca.files(t)
	f.AnyDate = true
	now := time.Now()
	state := func(by *authority, serial int64, ends time.Time) tls.ConnectionState {
		c := by.certificate(t, &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: ends.Add(-time.Hour), NotAfter: ends})
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	}
	for _, list := range []string{"", filepath.Join(t.TempDir(), "revoked.pem")} {
		if f.CRLFile = list; list != "" {
			ca.revoke(t, list, now.Add(time.Hour), 666)
		}
		set, err := f.read()
		if err != nil {
			t.Fatal(err)
		}
		for name, x := range map[string]struct {
			state tls.ConnectionState
			stays bool
		}{
			"good":               {state(ca, 7, now.Add(time.Hour)), true},
			"ended":              {state(ca, 7, now.Add(-time.Hour)), true},
			"not begun":          {state(ca, 7, now.Add(2*time.Hour)), true},
			"of a stranger":      {state(stranger, 7, now.Add(time.Hour)), false},
			"revoked":            {state(ca, 666, now.Add(time.Hour)), list == ""},
			"revoked, and ended": {state(ca, 666, now.Add(-time.Hour)), list == ""},
		} {
			if err := set.trusts(x.state, now); (err == nil) != x.stays {
				t.Errorf("%s, lists %v: %v, stays %v", name, list != "", err, x.stays)
			}
		}
	}
}
