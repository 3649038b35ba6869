package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// under signs another authority, which may be over at once.
func (a *authority) under(tb testing.TB, name string, ends time.Time) *authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	b := &authority{key: key}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: ends.Add(-1000 * time.Hour), NotAfter: ends,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	parent, by := tmpl, key // its own
	if a != nil {
		parent, by = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, by)
	if err != nil {
		tb.Fatal(err)
	}
	if b.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	b.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return b
}

// case A16: who comes in with which certificate, whatever else the port is set to: no setting
// lets a stranger in, and none keeps out whose certificate an authority's own authority signed.
func TestCertificateDemands(t *testing.T) {
	ca, stranger := newSigner(t), newSigner(t)
	late := time.Now().Add(500 * time.Hour)
	between := ca.under(t, "Between", late)
	old := (*authority)(nil).under(t, "Old", time.Now().Add(-time.Hour))
	lamp := func(by *authority, more ...*authority) *tls.Certificate {
		c := by.certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "lamp"}})
		for _, m := range more {
			c.Certificate = append(c.Certificate, m.cert.Raw)
		}
		return &c
	}
	lists := filepath.Join(t.TempDir(), "revoked.pem")
	write(t, lists, slices.Concat(ca.crl(t, 666), between.crl(t), old.crl(t)))
	files, listed := ca.files(t), filepath.Join(t.TempDir(), "ca.pem")
	write(t, files.CAFile, slices.Concat(ca.pem, old.pem))
	write(t, listed, slices.Concat(ca.pem, old.pem, between.pem)) // who signs lists has to be known
	for _, x := range []struct {
		name string
		cert *tls.Certificate
		in   func(f TLS) bool
	}{
		{"none", nil, func(f TLS) bool { return !f.RequireCertificate }},
		{"signed", lamp(ca), func(TLS) bool { return true }},
		{"signed by one between", lamp(between, between), func(TLS) bool { return true }},
		{"the one between is missing", lamp(between), func(f TLS) bool { return f.CRLFile != "" }},
		{"of a stranger", lamp(stranger), func(TLS) bool { return false }},
		{"of a stranger, with the authority beside it", lamp(stranger, ca), func(TLS) bool { return false }},
		{"of an authority that has ended", lamp(old), func(f TLS) bool { return f.AnyDate }},
	} {
		for _, require := range []bool{false, true} {
			for _, anyDate := range []bool{false, true} {
				for _, list := range []string{"", lists} {
					f := files
					if list != "" {
						f.CAFile = listed
					}
					f.RequireCertificate, f.AnyDate, f.CRLFile, f.Names.From = require, anyDate, list, NamesCN
					user, err := enters(t, f, ca, x.cert)
					in, named := err == nil, err == nil && user == "lamp"
					if want := x.in(f); in != want || named != (want && x.cert != nil) {
						t.Errorf("%s, required %v, any date %v, lists %v: let in %v as %q (%v), want %v", x.name, require, anyDate, list != "", in, user, err, want)
					}
				}
			}
		}
	}
}

// Who is let in by one authority between is not made to go at the next look (case A16): with
// lists and without.
func TestHeldThroughOneBetween(t *testing.T) {
	ca := newSigner(t)
	between := ca.under(t, "Between", time.Now().Add(500*time.Hour))
	f := ca.files(t)
	for _, list := range []string{"", filepath.Join(t.TempDir(), "revoked.pem")} {
		if f.CRLFile = list; list != "" {
			write(t, list, slices.Concat(ca.crl(t), between.crl(t, 666)))
			write(t, f.CAFile, slices.Concat(ca.pem, between.pem))
		}
		set, err := f.read()
		if err != nil {
			t.Fatal(err)
		}
		state := func(serial int64, between *authority) tls.ConnectionState {
			leaf, err := x509.ParseCertificate(between.certificate(t, &x509.Certificate{SerialNumber: big.NewInt(serial)}).Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			return tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf, between.cert}}
		}
		if err := set.trusts(state(7, between), time.Now()); err != nil {
			t.Errorf("lists %v: %v", list != "", err)
		}
		if err := set.trusts(state(666, between), time.Now()); (err != nil) != (list != "") {
			t.Errorf("lists %v: revoked by the one between: %v", list != "", err)
		}
		if set.trusts(state(7, between), time.Now().Add(501*time.Hour)) == nil {
			t.Errorf("lists %v: stays although the one between has ended", list != "")
		}
		if set.trusts(state(7, newSigner(t)), time.Now()) == nil {
			t.Errorf("lists %v: a stranger stays", list != "")
		}
	}
}

// case A16: names that only look like something else.
func TestNamesThatMislead(t *testing.T) {
	cert := func(name string) *x509.Certificate { return &x509.Certificate{Subject: pkix.Name{CommonName: name}} }
	for _, x := range []struct {
		what  string
		names Names
		cert  *x509.Certificate
		want  string // "": an error
	}{
		{"nobody's name in the mapping is for nobody", Names{Users: map[string]string{"": "bulb"}}, cert(""), ""},
		{"a short name of hex digits is a name", Names{Users: map[string]string{"cafe": "bulb"}}, cert("cafe"), "bulb"},
		{"one as long as a fingerprint that is none is a name", Names{Users: map[string]string{strings.Repeat("xy", 32): "bulb"}}, cert(strings.Repeat("xy", 32)), "bulb"},
		{"a name that is not UTF-8", Names{From: NamesCN}, cert("caf\xe9"), ""},
		{"a name with a line feed", Names{From: NamesCN}, cert("lamp\n"), ""},
		{"a plain one", Names{From: NamesCN}, cert("café"), "café"},
	} {
		got, err := x.names.of(x.cert)
		if got != x.want || (err != nil) != (x.want == "") {
			t.Errorf("%s: %q, %v", x.what, got, err)
		}
	}
}

// What an owner is told of a client that TLS turned away: only what can be done something about.
func TestClientErrorsThatHelp(t *testing.T) {
	lamp := &x509.Certificate{Subject: pkix.Name{CommonName: "lamp"}}
	for _, x := range []struct {
		err  error
		want *ClientError // without Err; nil: nothing is told
	}{
		{nil, nil},
		{errors.New("EOF"), nil},
		{errors.New("remote error: tls: unknown certificate authority"), &ClientError{Doubts: true}},
		{errors.New("remote error: tls: handshake failure"), nil},
		{errors.New("tls: a certificate of no interest"), nil},
		{errors.New("local error: tls: bad record MAC"), &ClientError{Doubts: true}},
		{errors.New("tls: client offered only unsupported versions: [301]"), &ClientError{WrongDoor: true}},
		{errors.New("tls: no cipher suite supported by both client and server"), &ClientError{WrongDoor: true}},
		{errors.New("tls: client didn't provide a certificate"), &ClientError{Missing: true}},
		{errors.New("tls: failed to parse client certificate: x509"), &ClientError{}},
		{&tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{lamp}, Err: errors.New("revoked")}, &ClientError{Name: "lamp"}},
		{&tls.CertificateVerificationError{Err: errors.New("nobody's")}, &ClientError{}},
		{tls.RecordHeaderError{RecordHeader: [5]byte{0x10, 12, 0, 4, 'M'}}, &ClientError{WrongDoor: true}},
		{tls.RecordHeaderError{RecordHeader: [5]byte{'G', 'E', 'T', ' ', '/'}}, &ClientError{WrongDoor: true}},
		{tls.RecordHeaderError{RecordHeader: [5]byte{'P', 'R', 'O', 'X', 'Y'}}, &ClientError{Proxy: true}},
	} {
		err := clientError(x.err, Names{From: NamesCN})
		got, _ := errors.AsType[*ClientError](err)
		if got == nil || x.want == nil {
			if (got == nil) != (x.want == nil) || err != nil && got == nil {
				t.Errorf("%v: told %v, want %v", x.err, err, x.want)
			}
			continue
		}
		plain := *got
		if plain.Err = nil; plain != *x.want || got.Err == nil || got.Unwrap() != got.Err {
			t.Errorf("%v: told %+v, want %+v", x.err, *got, *x.want)
		}
	}
}

// Files that don't fit close the port, with words that say which (A16): none of them is left
// out of account in silence.
func TestFilesThatDoNotFit(t *testing.T) {
	ca := newSigner(t)
	empty, plain := t.TempDir(), filepath.Join(t.TempDir(), "none.pem")
	write(t, plain, []byte("nothing"))
	folder := t.TempDir()
	write(t, filepath.Join(folder, "a.txt"), []byte("words"))
	write(t, filepath.Join(folder, "b.pem"), ca.pem)
	if err := os.Mkdir(filepath.Join(folder, "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		edit func(f *TLS)
		want string // "": they fit
	}{
		"as they are":                     {func(f *TLS) {}, ""},
		"lists without authorities":       {func(f *TLS) { f.CRLFile, f.CAFile = plain, "" }, "crlfile needs a cafile"},
		"demands without authorities":     {func(f *TLS) { f.RequireCertificate, f.CAFile = true, "" }, "require_certificate needs a cafile"},
		"no certificate":                  {func(f *TLS) { f.CertFile = filepath.Join(empty, "x") }, "certificate: "},
		"no key":                          {func(f *TLS) { f.KeyFile = filepath.Join(empty, "x") }, "key: "},
		"no authorities' file":            {func(f *TLS) { f.CAFile = filepath.Join(empty, "x") }, "cafile: "},
		"an authorities' file of nothing": {func(f *TLS) { f.CAFile = plain }, "holds no certificate"},
		"no lists' file":                  {func(f *TLS) { f.CRLFile = filepath.Join(empty, "x") }, "crlfile: "},
		"a folder of authorities":         {func(f *TLS) { f.CAFile, f.CAPath = "", folder }, ""},
		"an empty folder":                 {func(f *TLS) { f.CAFile, f.CAPath = "", empty }, "holds no certificate"},
		"no folder":                       {func(f *TLS) { f.CAFile, f.CAPath = "", filepath.Join(empty, "x") }, "capath: "},
		"file and folder":                 {func(f *TLS) { f.CAPath = folder }, ""},
	} {
		f := ca.files(t)
		x.edit(&f)
		set, err := f.read()
		if x.want != "" {
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%s: %v, want %q", name, err, x.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if cert := lampOf(t, ca); set.trusts(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}, time.Now()) != nil {
			t.Errorf("%s: nobody of the authority is let in", name)
		}
		if cert := lampOf(t, newSigner(t)); set.trusts(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}, time.Now()) == nil {
			t.Errorf("%s: a stranger is let in", name)
		}
	}
}

func lampOf(t *testing.T, by *authority) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(by.certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "lamp"}}).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// No port speaks anything older than TLS 1.2, and none anything older than it is set to.
func TestOldestTLS(t *testing.T) {
	ca := newAuthority(t)
	for _, x := range []struct{ set, client uint16 }{
		{0, tls.VersionTLS11}, {tls.VersionTLS10, tls.VersionTLS11}, {tls.VersionTLS13, tls.VersionTLS12},
		{0, tls.VersionTLS12}, {tls.VersionTLS12, tls.VersionTLS13}, {tls.VersionTLS13, tls.VersionTLS13},
	} {
		f := ca.files(t)
		f.MinVersion = x.set
		set, err := f.read()
		if err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		go func() { _ = tls.Server(there, set.config).Handshake(); there.Close() }()
		cfg := ca.client(t, "")
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, x.client
		err = tls.Client(here, cfg).Handshake()
		here.Close()
		if want := x.client >= max(x.set, tls.VersionTLS12); (err == nil) != want {
			t.Errorf("set to %x, with %x: %v", x.set, x.client, err)
		}
	}
}
