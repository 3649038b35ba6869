package listen

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Connections that were made with a certificate end when it is revoked, when the
// authority that signed it is gone from cafile, and when it ends; others stay. On TCP
// and on WebSocket, whose handshake is made by the same hands (case A16).
func TestHeldConnectionsEnd(t *testing.T) {
	ca, other := newSigner(t), newSigner(t)
	files := ca.files(t)
	files.CRLFile = filepath.Join(t.TempDir(), "revoked.pem")
	ca.revoke(t, files.CRLFile, time.Now().Add(time.Hour))
	var mu sync.Mutex
	told := map[string]string{} // by address
	ln, keys, err := open(t.Context(), Config{
		Setting: "mqtts", Name: "mqtts", Network: "tcp", Address: "127.0.0.1:0", TLS: &files, Log: testLog(t),
		Refused: func(remote net.Addr, err error) {
			mu.Lock()
			defer mu.Unlock()
			if e, ok := errors.AsType[*ClientError](err); ok {
				told[remote.String()] += e.Error()
			}
		},
	}, make(keyring))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })

	// device connects and returns both ends once bytes went through.
	device := func(c *x509.Certificate) (here, there net.Conn) {
		t.Helper()
		cfg := ca.client(t, "")
		if c != nil {
			cfg.Certificates = []tls.Certificate{ca.certificate(t, c)}
		}
		here = tls.Client(dial(t, ln), cfg)
		there = accept(t, ln)
		read := make(chan error, 1)
		go func() {
			_, err := there.Read(make([]byte, 1))
			read <- err
		}()
		send(t, here, "x")
		if err := <-read; err != nil {
			t.Fatal(err)
		}
		return here, there
	}
	named := func(serial int64, ends time.Time) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "device"}, NotAfter: ends}
	}
	now := time.Now()
	_, plain := device(nil)
	_, revoked := device(named(7, now.Add(24*time.Hour)))
	_, short := device(named(8, now.Add(90*time.Minute)))
	_, gone := device(named(9, now.Add(24*time.Hour)))
	gone.Close()
	if n := len(keys.held.all()); n != 2 {
		t.Fatalf("%d connections are held, want those two with a certificate that are open", n)
	}
	open := func(c net.Conn) bool {
		c.SetReadDeadline(time.Now().Add(-time.Second))
		_, err := c.Read(make([]byte, 1))
		return !errors.Is(err, net.ErrClosed)
	}
	want := func(what string, wantRevoked, wantShort bool) {
		t.Helper()
		if open(revoked) != wantRevoked || open(short) != wantShort || !open(plain) {
			t.Errorf("%s: open are the revoked one %v, the short one %v, the one without a certificate %v", what, open(revoked), open(short), open(plain))
		}
	}
	keys.Status(now.Add(2 * time.Minute))
	want("nothing changed", true, true)
	ca.revoke(t, files.CRLFile, now.Add(48*time.Hour), 7)
	keys.Status(now.Add(4 * time.Minute))
	want("after it was revoked", false, true)
	if why := told[revoked.RemoteAddr().String()]; !strings.Contains(why, "was revoked") {
		t.Errorf("told %q", why)
	}
	keys.Status(now.Add(89 * time.Minute))
	want("before it ended", false, true)
	keys.Status(now.Add(91 * time.Minute))
	want("after it ended", false, false)
	if why := told[short.RemoteAddr().String()]; !strings.Contains(why, "expired") {
		t.Errorf("told %q", why)
	}

	_, signed := device(named(10, now.Add(24*time.Hour)))
	write(t, files.CAFile, other.pem)
	write(t, files.CRLFile, nil)
	other.revoke(t, files.CRLFile, now.Add(48*time.Hour))
	keys.Status(now.Add(95 * time.Minute))
	if open(signed) || len(keys.held.all()) != 0 {
		t.Errorf("the authority is not trusted any more, and %d are held", len(keys.held.all()))
	}
}
