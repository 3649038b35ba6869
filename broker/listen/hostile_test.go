package listen

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crl is a list of revoked certificates in PEM.
func (a *authority) crl(tb testing.TB, serials ...int64) []byte {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "crl.pem")
	a.revoke(tb, file, time.Now().Add(time.Hour), serials...)
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// case A16: a list of revoked certificates that can't be read whole is not read at all. What
// was lost with the rest might be the certificate of a thief.
func TestRevokedFiles(t *testing.T) {
	ca, other := newSigner(t), newSigner(t)
	good, second := ca.crl(t, 7), ca.crl(t, 8)
	block, _ := pem.Decode(second)
	spoilt := append(block.Bytes[:len(block.Bytes)-8:len(block.Bytes)-8], bytes.Repeat([]byte{1}, 8)...)
	join := func(texts ...[]byte) []byte { return bytes.Join(texts, nil) }
	many := make([]int64, 50_000)
	for i := range many {
		many[i] = int64(i) + 100
	}
	for name, x := range map[string]struct {
		text []byte
		want string // words of the error, "": it is read
	}{
		"two lists":                 {join(good, second), ""},
		"with words around":         {join([]byte("the first\n"), good, []byte("\nthe second\n"), second, []byte("end\n")), ""},
		"CRLF":                      {bytes.ReplaceAll(join(good, second), []byte("\n"), []byte("\r\n")), ""},
		"50,000 entries":            {ca.crl(t, many...), ""},
		"empty":                     {nil, "no list"},
		"NUL":                       {make([]byte, 1000), "no list"},
		"of another authority":      {join(good, other.crl(t, 8)), "signed by nobody"},
		"signature spoilt":          {join(good, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: spoilt})), "signed by nobody"},
		"second breaks off":         {join(good, second[:len(second)-40]), "can't be read whole"},
		"first breaks off":          {join(good[:len(good)-40], second), "can't be read whole"},
		"second is no base64":       {join(good, bytes.Replace(second, []byte("A"), []byte("!"), 1)), "can't be read whole"},
		"second is no list":         {join(good, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("x")})), "crlfile"},
		"second is a certificate":   {join(good, ca.pem), ""},
		"begins and never goes on":  {join(good, []byte("-----BEGIN X509 CRL-----\n")), "can't be read whole"},
		"DER where PEM is expected": {block.Bytes, "no list"},
	} {
		file := filepath.Join(t.TempDir(), "crl.pem")
		write(t, file, x.text)
		r, err := readRevoked(file, []*x509.Certificate{ca.cert})
		switch {
		case x.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)):
			t.Errorf("%s: %v, want %q", name, err, x.want)
		case err == nil && strings.Contains(name, "two") && len(r.lists) != 2:
			t.Errorf("%s: %d lists", name, len(r.lists))
		}
	}
}

// claimed is the key of somebody who only says that it is theirs.
type claimed struct{ public *rsa.PublicKey }

func (c claimed) Public() crypto.PublicKey { return c.public }

func (c claimed) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, c.public.Size()), nil
}

// rsaCertificate is signed by a and holds a key of that many bits.
func (a *authority) rsaCertificate(tb testing.TB, bits uint) tls.Certificate {
	tb.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits))
	if err != nil {
		tb.Fatal(err)
	}
	n.SetBit(n.SetBit(n, int(bits)-1, 1), 0, 1)
	public := &rsa.PublicKey{N: n, E: 65537}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "lamp"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, public, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: claimed{public}}
}

// case R15, case A16: whatever a client shows, proves or says while it has proven nothing, its
// own connection ends, soon, and the next client gets in.
func TestHostileHandshakes(t *testing.T) {
	ca := newSigner(t)
	lamp := ca.certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "lamp"}})
	chain := tls.Certificate{PrivateKey: lamp.PrivateKey}
	for range 100 {
		chain.Certificate = append(chain.Certificate, newAuthority(t).cert.Raw)
	}
	padded := tls.Certificate{PrivateKey: lamp.PrivateKey, Certificate: append([][]byte{lamp.Certificate[0]}, chain.Certificate...)}
	heavy := tls.Certificate{PrivateKey: lamp.PrivateKey, Certificate: [][]byte{lamp.Certificate[0]}}
	for range 1000 {
		heavy.Certificate = append(heavy.Certificate, ca.cert.Raw)
	}
	show := func(c tls.Certificate) func(*tls.Config) {
		return func(cfg *tls.Config) {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
		}
	}
	hello := func(name string) func(*tls.Config) {
		return func(cfg *tls.Config) {
			show(lamp)(cfg)
			cfg.InsecureSkipVerify, cfg.ServerName = true, name
		}
	}
	for _, anyDate := range []bool{false, true} {
		files := ca.files(t)
		files.RequireCertificate, files.AnyDate = true, anyDate
		ln := listen(t, Config{Name: "door", TLS: &files})
		for _, x := range []struct {
			name string
			with func(*tls.Config)
			in   bool
		}{
			{"100 certificates that lead nowhere", show(chain), false},
			{"a good one and 100 that have nothing to do with it", show(padded), true},
			{"more than a quarter of a megabyte of them", show(heavy), false},
			{"an RSA key of 16,384 bits", show(ca.rsaCertificate(t, 16384)), false},
			{"an RSA key of 2,048 bits that is not the client's", show(ca.rsaCertificate(t, 2048)), false},
			{"somebody else's certificate", show(tls.Certificate{Certificate: lamp.Certificate, PrivateKey: ca.key}), false},
			{"a server name of 255 letters", hello(strings.Repeat("x", 255)), true},
			{"a server name that leads out of a folder", hello("../../etc/passwd"), true},
			{"a server name with escapes", hello("\x1b[31m\u202e.home"), true},
		} {
			got := func() error {
				cfg := &tls.Config{RootCAs: ca.pool(), ServerName: "hearth.test"}
				x.with(cfg)
				c := tls.Client(dial(t, ln), cfg)
				s := accept(t, ln)
				go func() { _, _ = c.Write([]byte("x")) }() // a failure shows at the other end
				_, err := io.ReadFull(s, make([]byte, 1))
				return err
			}
			began := time.Now()
			if err := got(); (err == nil) != x.in {
				t.Errorf("%s, any date %v: %v", x.name, anyDate, err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%s took %v", x.name, took)
			}
		}
		for _, x := range []struct{ name, text string }{
			{"garbage", strings.Repeat("\xff", 100)},
			{"a record of 0 bytes, again and again", strings.Repeat("\x16\x03\x01\x00\x00", 200)},
			{"a hello that says it has 16 MB", "\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03" + strings.Repeat("\x00", 16378)},
			{"a PROXY header of a stranger, case A24", "PROXY TCP4 192.0.2.7 192.0.2.1 5000 8883\r\n"},
			{"one of version 2", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x13\x88\x07\x5b"},
			{"alerts", strings.Repeat("\x15\x03\x01\x00\x02\x01\x00", 200)},
		} {
			c := dial(t, ln)
			s := accept(t, ln)
			go func() { _, _ = io.WriteString(c, x.text) }() // it may end in between
			if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", x.name, err)
			}
		}
	}
}

// Early data could be sent again by anybody who saw it: none is taken, and the client goes on
// with a whole handshake.
func TestNoEarlyData(t *testing.T) {
	ca := newSigner(t)
	files := ca.files(t)
	files.CAFile = ""
	ln := listen(t, Config{Name: "door", TLS: &files})
	need := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cache := tls.NewLRUClientSessionCache(1)
	for range 2 { // the second comes with a ticket
		c := tls.Client(dial(t, ln), &tls.Config{RootCAs: ca.pool(), ServerName: "hearth.test", ClientSessionCache: cache})
		s := accept(t, ln)
		go func() { _, _ = c.Write([]byte("x")) }() // a failure shows at the other end
		receive(t, s, "x")
		go func() { _, _ = s.Write([]byte("y")) }()
		_, err := io.ReadFull(c, make([]byte, 1)) // the ticket comes with it
		need(err)
		if state, ok := cache.Get("hearth.test"); ok {
			_, session, err := state.ResumptionState()
			need(err)
			if session.EarlyData {
				t.Error("a ticket allows early data")
			}
		}
		c.Close()
	}
}
