package listen

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	files.RequireCertificate = true
	ln := listen(t, Config{Setting: "mqtts_address", Name: "mqtts", TLS: &files})

	t.Run("with a certificate", func(t *testing.T) {
		c := tls.Client(dial(t, ln), ca.client(t, "lamp"))
		s := accept(t, ln)
		go func() { _, _ = c.Write([]byte("x")) }() // a failure shows at the other end
		receive(t, s, "x")
		state := s.(*encrypted).ConnectionState()
		if got := state.VerifiedChains[0][0].Subject.CommonName; got != "lamp" {
			t.Errorf("client's name %q", got)
		}
	})
	t.Run("without a certificate", func(t *testing.T) {
		c := tls.Client(dial(t, ln), ca.client(t, ""))
		s := accept(t, ln)
		go func() { _ = c.Handshake() }()
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Error("let in")
		}
	})
	t.Run("signed by somebody else", func(t *testing.T) {
		cfg := newAuthority(t).client(t, "stranger")
		cfg.RootCAs = ca.pool()
		c := tls.Client(dial(t, ln), cfg)
		s := accept(t, ln)
		go func() { _ = c.Handshake() }()
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Error("let in")
		}
	})
	t.Run("TLS 1.1", func(t *testing.T) {
		cfg := ca.client(t, "old")
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
		c := tls.Client(dial(t, ln), cfg)
		s := accept(t, ln)
		go func() { _ = s.(*encrypted).shake() }()
		if err := c.Handshake(); err == nil {
			t.Error("let in")
		}
	})
}

// case D5, at the start: this listener alone stays closed, and says why.
func TestTLSNotUsable(t *testing.T) {
	ca := newAuthority(t)
	for _, tt := range []struct {
		name    string
		spoil   func(t *testing.T, f *TLS)
		want    string
		missing bool
	}{
		{"no certificate", func(_ *testing.T, f *TLS) { f.CertFile += ".not" }, "does not exist", true},
		{"no key", func(_ *testing.T, f *TLS) { f.KeyFile += ".not" }, "does not exist", true},
		{"not a certificate", func(t *testing.T, f *TLS) { write(t, f.CertFile, []byte("hello")) }, "failed to find any PEM data", false},
		{"key of another certificate", func(t *testing.T, f *TLS) {
			_, key := ca.issue(t, "other", time.Now().Add(time.Hour))
			write(t, f.KeyFile, key)
		}, "does not match", false},
		{"locked key", func(t *testing.T, f *TLS) {
			write(t, f.KeyFile, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"))
		}, "passphrase", false},
		{"empty cafile", func(t *testing.T, f *TLS) { write(t, f.CAFile, nil) }, "holds no certificate", false},
		{"certificates required without cafile", func(_ *testing.T, f *TLS) { f.CAFile, f.RequireCertificate = "", true }, "cafile", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := ca.files(t)
			tt.spoil(t, &files)
			_, err := Listen(t.Context(), Config{Setting: "mqtts_address", Network: "tcp", Address: "127.0.0.1:0", TLS: &files})
			if err == nil {
				t.Fatal("opened")
			}
			if !strings.HasPrefix(err.Error(), "port 0 (setting mqtts_address) stays closed: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want it to name port and setting and contain %q", err, tt.want)
			}
			if got := errors.Is(err, ErrNoCertificate); got != tt.missing {
				t.Errorf("ErrNoCertificate %v, want %v", got, tt.missing)
			}
		})
	}
}

// case D5, while running: the last good pair stays, a good one is taken over.
func TestTLSReload(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	var log logBuffer
	c, err := loadCertificates(files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	first := c.current(now)

	cert, key := ca.issue(t, "hearth.test", now.Add(200*24*time.Hour))
	write(t, files.KeyFile, key) // the key first, the certificate later
	if c.current(now.Add(30*time.Second)) != first {
		t.Error("looked at the files within the minute")
	}
	now = now.Add(61 * time.Second)
	if c.current(now) != first {
		t.Error("took over a key that does not fit")
	}
	if n := strings.Count(log.String(), "can't be used"); n != 1 {
		t.Errorf("told %d times of the key that does not fit:\n%s", n, &log)
	}
	now = now.Add(61 * time.Second)
	if c.current(now) != first || strings.Count(log.String(), "can't be used") != 1 {
		t.Error("told again although nothing changed")
	}
	write(t, files.CertFile, cert)
	now = now.Add(61 * time.Second)
	second := c.current(now)
	if second == first {
		t.Fatal("the new pair was not taken over")
	}
	if c.current(now.Add(61*time.Second)) != second {
		t.Error("files that did not change made new settings: session tickets are lost")
	}

	cert, key = ca.issue(t, "hearth.test", now.Add(-time.Minute))
	write(t, files.CertFile, cert)
	write(t, files.KeyFile, key)
	now = now.Add(3 * time.Minute)
	if c.current(now) != second || !strings.Contains(log.String(), "has ended") {
		t.Errorf("a certificate that has ended was taken over:\n%s", &log)
	}
}

func TestTLSReloadKeepsClients(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	keys, err := loadCertificates(files, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := &tlsListener{Listener: inner, keys: keys}
	t.Cleanup(func() { ln.Close() })
	connect := func() (*tls.Conn, net.Conn) {
		c := tls.Client(dial(t, ln), ca.client(t, ""))
		s := accept(t, ln)
		go func() { _, _ = c.Write([]byte("x")) }()
		receive(t, s, "x")
		return c, s
	}
	old, oldServer := connect()

	cert, key := ca.issue(t, "hearth.test", time.Now().Add(200*24*time.Hour))
	write(t, files.CertFile, cert)
	write(t, files.KeyFile, key)
	keys.current(time.Now().Add(2 * time.Minute))
	fresh, _ := connect()

	a, b := old.ConnectionState().PeerCertificates[0], fresh.ConnectionState().PeerCertificates[0]
	if a.SerialNumber.Cmp(b.SerialNumber) == 0 {
		t.Error("the new client got the old certificate")
	}
	send(t, oldServer, "still here")
	receive(t, old, "still here")
}
