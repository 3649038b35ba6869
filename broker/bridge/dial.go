package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"hearthmq/broker/regular"
	"hearthmq/outbound"
)

// dialTimeout bounds name look-up, connection and TLS together.
const dialTimeout = 20 * time.Second

// ErrForbidden says that a bridge may not go to an address.
var ErrForbidden = errors.New("a bridge may not go to this address unless the setting bridge_networks allows it")

// Outside is a guard (see Manager.Guard) that keeps bridges from where nothing of ours
// connects to (package outbound): this machine and the services around it (case W20).
// Networks in allowed are let through.
func Outside(allowed []netip.Prefix) func(netip.Addr) error {
	return func(a netip.Addr) error {
		a = a.Unmap()
		for _, p := range allowed {
			if p.Contains(a) {
				return nil
			}
		}
		if !outbound.Allowed(a) {
			return ErrForbidden
		}
		return nil
	}
}

// dial connects to one address. A name is looked up once, and what is connected to
// are the addresses that guard was shown: a name that answers differently the next
// time leads nowhere else.
func dial(ctx context.Context, s *Settings, address string, guard func(netip.Addr) error) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{}
	if s.BindAddress != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(s.BindAddress)}
	}
	var errs []error
	for _, a := range addrs {
		if guard != nil {
			if err := guard(a); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		nc, err := d.DialContext(ctx, "tcp", net.JoinHostPort(a.Unmap().String(), port))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !s.TLS.On {
			return nc, nil
		}
		cfg, err := s.TLS.config(host)
		if err != nil {
			return nil, errors.Join(err, nc.Close())
		}
		tc := tls.Client(nc, cfg)
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS: %w", err), nc.Close())
		}
		return tc, nil
	}
	return nil, errors.Join(errs...)
}

// config reads the files each time, so that new certificates need no restart.
func (t *TLS) config(host string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if t.Minimum == "1.3" {
		cfg.MinVersion = tls.VersionTLS13
	}
	if t.ALPN != "" {
		cfg.NextProtos = []string{t.ALPN}
	}
	roots, err := t.roots()
	if err != nil {
		return nil, err
	}
	cfg.RootCAs = roots
	if t.CertFile != "" {
		cert, err := t.certificate()
		if err != nil {
			return nil, fmt.Errorf("certificate of the bridge: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	if t.AnyName {
		// The chain is looked at all the same, only the name is not.
		cfg.InsecureSkipVerify = true //nolint:gosec // see VerifyConnection
		cfg.VerifyConnection = func(state tls.ConnectionState) error {
			opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, c := range state.PeerCertificates[1:] {
				opts.Intermediates.AddCert(c)
			}
			_, err := state.PeerCertificates[0].Verify(opts)
			return err
		}
	}
	return cfg, nil
}

// certificate reads the one that the bridge shows.
func (t *TLS) certificate() (tls.Certificate, error) {
	cert, err := regular.Read(t.CertFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := regular.Read(t.KeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// roots returns the authorities that are trusted, nil for the system's.
func (t *TLS) roots() (*x509.CertPool, error) {
	if t.CAFile == "" && t.CAPath == "" {
		return nil, nil //nolint:nilnil // what crypto/tls calls the system's
	}
	pool := x509.NewCertPool()
	if t.OSRoots {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, err
		}
		pool = system
	}
	var files []string
	if t.CAFile != "" {
		files = append(files, t.CAFile)
	}
	if t.CAPath != "" {
		entries, err := os.ReadDir(t.CAPath)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(t.CAPath, e.Name()))
			}
		}
	}
	found := false
	for _, name := range files {
		text, err := regular.Read(name)
		if err != nil {
			return nil, err
		}
		found = pool.AppendCertsFromPEM(text) || found
	}
	if !found {
		return nil, fmt.Errorf("no certificate of an authority in %s%s", t.CAFile, t.CAPath)
	}
	return pool, nil
}
