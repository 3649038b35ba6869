package listen

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// TLS names the files of a TLS listener. They are read again when they change,
// which is looked for at most once a minute, when a client connects.
type TLS struct {
	CertFile, KeyFile string
	CAFile            string // certificates that sign client certificates; "": clients need none
	// RequireCertificate refuses clients without a certificate that CAFile's signed.
	RequireCertificate bool
}

const (
	reloadInterval = time.Minute
	expiryWarning  = 14 * 24 * time.Hour
)

// tlsListener makes TLS connections. The handshake happens at the first Read,
// under the reader's deadline, so Accept never waits for a client.
type tlsListener struct {
	net.Listener
	config *tls.Config
}

// Accept implements net.Listener.
func (l *tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(c, l.config), nil
}

// certificates keeps the last good set of TLS files.
type certificates struct {
	files  TLS
	log    *slog.Logger
	config *tls.Config // asks current for each client

	mu      sync.Mutex // guards what follows; held while files are read, once a minute at most
	good    *tls.Config
	expires time.Time // end of the certificate in use
	looked  time.Time // when the files were last looked at
	stamp   stamp     // what the files looked like when they were last read
	failed  bool      // the last reading failed
	warned  time.Time // when an owner was last told that the certificate ends
}

// stamp tells whether files changed.
type stamp [3]struct {
	modified time.Time
	size     int64
}

// loadCertificates reads the files for the first time. The error names the
// file and what is wrong; it wraps ErrNoCertificate while one is missing.
func loadCertificates(files TLS, log *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log}
	now := time.Now()
	seen, err := c.look()
	if err != nil {
		return nil, err
	}
	good, expires, err := files.read()
	if err != nil {
		return nil, err
	}
	c.good, c.expires, c.stamp, c.looked = good, expires, seen, now
	c.warnOfEnd(now)
	c.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current(time.Now()), nil
		},
	}
	return c, nil
}

// current returns the settings for a handshake now.
func (c *certificates) current(now time.Time) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) >= reloadInterval {
		c.looked = now
		c.refresh(now)
		c.warnOfEnd(now)
	}
	return c.good
}

// refresh takes over changed files. With files that do not fit together, as
// when the key was replaced and the certificate not yet, the old pair stays.
func (c *certificates) refresh(now time.Time) {
	seen, err := c.look()
	changed := err != nil || seen != c.stamp
	if !changed && !c.failed {
		return
	}
	var good *tls.Config
	var expires time.Time
	if err == nil {
		good, expires, err = c.files.read()
	}
	if err == nil && expires.Before(now) && c.expires.After(now) {
		err = fmt.Errorf("the new certificate in %s has ended on %s", c.files.CertFile, expires.Format(time.DateOnly))
	}
	c.stamp = seen
	if err != nil {
		if changed && !c.failed {
			c.log.Warn("The changed certificate can't be used, the one before stays", "err", err)
		}
		c.failed = true
		return
	}
	c.good, c.expires, c.failed, c.warned = good, expires, false, time.Time{}
	c.log.Info("Certificate read again", "file", c.files.CertFile, "ends", expires.Format(time.DateOnly))
}

// warnOfEnd tells once a day of a certificate that ends soon.
func (c *certificates) warnOfEnd(now time.Time) {
	if c.expires.Sub(now) > expiryWarning || now.Sub(c.warned) < 24*time.Hour {
		return
	}
	c.warned = now
	if c.expires.Before(now) {
		c.log.Warn("The certificate has ended, devices will refuse it", "file", c.files.CertFile, "ends", c.expires.Format(time.DateOnly))
		return
	}
	c.log.Warn("The certificate ends soon", "file", c.files.CertFile, "ends", c.expires.Format(time.DateOnly))
}

// look notes times and sizes of the files.
func (c *certificates) look() (stamp, error) {
	var s stamp
	for i, name := range []string{c.files.CertFile, c.files.KeyFile, c.files.CAFile} {
		if name == "" && i == 2 {
			continue
		}
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return stamp{}, fmt.Errorf("%w: %s does not exist", ErrNoCertificate, name)
		case err != nil:
			return stamp{}, err
		}
		s[i].modified, s[i].size = info.ModTime(), info.Size()
	}
	return s, nil
}

// read makes the settings of a server from the files, and says when the
// server's certificate ends.
func (f TLS) read() (*tls.Config, time.Time, error) {
	cert, err := os.ReadFile(f.CertFile)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.ReadFile(f.KeyFile)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("key: %w", err)
	}
	if bytes.Contains(key, []byte("ENCRYPTED")) {
		return nil, time.Time{}, fmt.Errorf("the key %s is locked with a passphrase: save it without one", f.KeyFile)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("certificate %s with key %s: %w", f.CertFile, f.KeyFile, err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if f.RequireCertificate && f.CAFile == "" {
		return nil, time.Time{}, errors.New("require_certificate needs a cafile, or no client could ever prove itself")
	}
	if f.CAFile == "" {
		return cfg, pair.Leaf.NotAfter, nil
	}
	ca, err := os.ReadFile(f.CAFile)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cafile: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(ca) {
		return nil, time.Time{}, fmt.Errorf("cafile %s holds no certificate", f.CAFile)
	}
	cfg.ClientAuth = tls.VerifyClientCertIfGiven
	if f.RequireCertificate {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, pair.Leaf.NotAfter, nil
}
