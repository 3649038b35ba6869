package listen

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"hearthmq/broker/regular"
)

// keySet is what the files of a TLS listener held when they were read. Immutable.
type keySet struct {
	config  *tls.Config
	anyDate bool // the time of client certificates does not count: config.VerifyConnection verifies them
	leaf    *x509.Certificate
	chain   string    // what is wrong with the chain of the server's certificate, "" for nothing
	crlEnd  time.Time // when the first of the lists of revoked certificates should have been replaced
}

// stamp tells whether files changed.
type stamp [7]struct {
	modified time.Time
	size     int64
}

// look notes times and sizes of the files.
func (f TLS) look() (stamp, error) {
	var s stamp
	for i, name := range []string{f.CertFile, f.KeyFile, f.CAFile, f.CRLFile, f.CAPath, f.ChainFile, f.ChainPath} {
		if name == "" && i >= 2 {
			continue
		}
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && i >= 2:
			return stamp{}, fmt.Errorf("%s does not exist", name)
		case errors.Is(err, fs.ErrNotExist):
			return stamp{}, fmt.Errorf("%w: %s does not exist", ErrNoCertificate, name)
		case err != nil:
			return stamp{}, err
		}
		s[i].modified, s[i].size = info.ModTime(), info.Size()
	}
	return s, nil
}

// read makes the settings of a server from the files.
func (f TLS) read() (*keySet, error) {
	cert, err := regular.Read(f.CertFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := regular.Read(f.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if bytes.Contains(key, []byte("ENCRYPTED")) {
		return nil, fmt.Errorf("the key %s is locked with a passphrase: save it without one", f.KeyFile)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.CertFile, f.KeyFile, err)
	}
	if err := f.completeChain(&pair); err != nil {
		return nil, err
	}
	set := &keySet{leaf: pair.Leaf, chain: chainProblem(pair)}
	if signer, ok := pair.PrivateKey.(crypto.Signer); ok {
		pair.PrivateKey = pacedSigner{signer, make(chan struct{}, max(1, runtime.NumCPU()/2))}
	}
	set.config = &tls.Config{MinVersion: max(f.MinVersion, tls.VersionTLS12), Certificates: []tls.Certificate{pair}}
	if f.CAFile == "" && f.CAPath == "" {
		switch {
		case f.RequireCertificate:
			return nil, errors.New("require_certificate needs a cafile, or no client could ever prove itself")
		case f.CRLFile != "":
			return nil, errors.New("crlfile needs a cafile: without one no client is asked for a certificate")
		}
		return set, nil
	}
	return set, f.readClients(set)
}

// readClients adds what client certificates are checked with.
func (f TLS) readClients(set *keySet) error {
	authorities, err := authorities(f.CAFile, f.CAPath)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, a := range authorities {
		if f.AnyDate {
			a = timeless(a)
		}
		pool.AddCert(a)
	}
	set.config.ClientCAs = pool
	set.config.ClientAuth = tls.VerifyClientCertIfGiven
	if f.RequireCertificate {
		set.config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	// A ticket would let a client in again without looking at its certificate anew.
	set.config.SessionTicketsDisabled = true
	if f.AnyDate {
		set.anyDate = true
		set.config.ClientAuth = tls.RequestClientCert
		if f.RequireCertificate {
			set.config.ClientAuth = tls.RequireAnyClientCert
		}
		set.config.VerifyConnection = verifyAnyDate(pool, nil)
	}
	if f.CRLFile == "" {
		return nil
	}
	revoked, err := readRevoked(f.CRLFile, authorities)
	if err != nil {
		return err
	}
	set.crlEnd = revoked.end
	set.config.VerifyConnection = revoked.check
	if f.AnyDate {
		set.config.VerifyConnection = verifyAnyDate(pool, revoked.check)
	}
	return nil
}

// completeChain adds what lies between a server's certificate that stands alone in its
// file and an authority, as far as the files of authorities have it: OpenSSL does so, and
// devices know the root only. The root itself is not sent.
func (f TLS) completeChain(pair *tls.Certificate) error {
	if len(pair.Certificate) > 1 {
		return nil
	}
	var known []*x509.Certificate
	for _, from := range [][2]string{{f.CAFile, f.CAPath}, {f.ChainFile, f.ChainPath}} {
		list, err := authorities(from[0], from[1])
		if err != nil {
			return err
		}
		known = append(known, list...)
	}
	last := pair.Leaf
	for range known {
		i := slices.IndexFunc(known, func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(c) == nil
		})
		if i < 0 || bytes.Equal(known[i].RawSubject, known[i].RawIssuer) {
			break
		}
		last = known[i]
		pair.Certificate = append(pair.Certificate, last.Raw)
	}
	return nil
}

// authorities reads a file and the PEM files of a folder; either may be "".
func authorities(file, folder string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	if file != "" {
		text, err := regular.Read(file)
		if err != nil {
			return nil, fmt.Errorf("cafile: %w", err)
		}
		if all = parseCertificates(text); len(all) == 0 {
			return nil, fmt.Errorf("cafile %s holds no certificate", file)
		}
	}
	if folder == "" {
		return all, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("capath: %w", err)
	}
	for _, e := range entries {
		text, err := regular.Read(filepath.Join(folder, e.Name()))
		if err == nil { // folders and what is not ours to read are no certificates
			all = append(all, parseCertificates(text)...)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("capath %s holds no certificate", folder)
	}
	return all, nil
}

// chainProblem says why clients may not be able to follow the chain of a server's
// certificate up to an authority they know.
func chainProblem(pair tls.Certificate) string {
	chain := []*x509.Certificate{pair.Leaf}
	for i, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Sprintf("certificate %d of the file can't be read", i+2)
		}
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			return fmt.Sprintf("certificate %d of the file did not sign certificate %d: devices may not trust it", i+2, i+1)
		}
		chain = append(chain, c)
	}
	// Only certificates of public authorities say where their issuer's can be had, and
	// those have always one between.
	if len(chain) == 1 && len(pair.Leaf.IssuingCertificateURL) > 0 && pair.Leaf.CheckSignature(
		pair.Leaf.SignatureAlgorithm, pair.Leaf.RawTBSCertificate, pair.Leaf.Signature) != nil {
		return "the file lacks the certificate of the authority that signed this one: use the full chain (fullchain.pem), or devices may not trust it"
	}
	return ""
}

// pacedSigner keeps handshakes from taking every core: signing is what they cost, most
// of all with RSA keys (case R15). Who waits holds no lock.
type pacedSigner struct {
	crypto.Signer
	slots chan struct{}
}

// Sign implements crypto.Signer.
func (s pacedSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	return s.Signer.Sign(rand, digest, opts)
}
