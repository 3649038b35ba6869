package listen

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

// issueFor writes a server's certificate that is good from begins to ends.
func (a *authority) issueFor(tb testing.TB, f TLS, begins, ends time.Time, edit func(*x509.Certificate)) {
	tb.Helper()
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: "hearth.test"}, DNSNames: []string{"hearth.test"}, NotBefore: begins, NotAfter: ends,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(tmpl)
	}
	pair := a.certificate(tb, tmpl)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, f.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	write(tb, f.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

func TestCertificateStatus(t *testing.T) {
	ca := newAuthority(t)
	now := time.Now()
	for _, tt := range []struct {
		name         string
		begins, ends time.Duration // from now
		edit         func(*x509.Certificate)
		state        CertificateState
		days         int
		problem      string
	}{
		{"good", -time.Hour, 31*day + time.Hour, nil, CertificateGood, 31, ""},
		{"ends in 30 days", -60 * day, 30*day - time.Hour, nil, CertificateSoon, 29, "ends on"},
		{"ends in 7 days", -80 * day, 7*day - time.Hour, nil, CertificateUrgent, 6, "ends on"},
		{"made anew every week", -time.Hour, 6*day + time.Hour, nil, CertificateGood, 6, ""},
		{"made anew every week, and was not", -5 * day, day + time.Hour, nil, CertificateUrgent, 1, "ends on"},
		{"ended", -80 * day, -time.Hour, nil, CertificateEnded, 0, "has ended"},
		{"not begun", time.Hour, 40*day + time.Hour, nil, CertificateBroken, 40, "is the clock right"},
		{"without the authority between", -time.Hour, 90*day + time.Hour, func(c *x509.Certificate) {
			c.IssuingCertificateURL = []string{"http://authority.example/ca.crt"}
		}, CertificateBroken, 90, "fullchain.pem"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := ca.files(t)
			ca.issueFor(t, files, now.Add(tt.begins), now.Add(tt.ends), tt.edit)
			keys, err := loadCertificates(files, testLog(t))
			if err != nil {
				t.Fatal(err)
			}
			s := keys.Status(now)
			if s.State != tt.state || s.Days != tt.days || !strings.Contains(s.Problem, tt.problem) || (s.Problem == "") != (tt.problem == "") {
				t.Errorf("status %+v, want %s with %d days, %q", s, tt.state, tt.days, tt.problem)
			}
			if s.Name != "hearth.test" || s.File != files.CertFile || s.Ends.Sub(now.Add(tt.ends)).Abs() > time.Second {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestCertificateChain(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	files := ca.files(t)
	cert, key := ca.issue(t, "hearth.test", time.Now().Add(90*day))
	for _, tt := range []struct {
		name, chain, problem string
	}{
		{"fits", string(cert) + string(ca.pem), ""},
		{"of another authority", string(cert) + string(other.pem), "did not sign certificate 1"},
	} {
		write(t, files.CertFile, []byte(tt.chain))
		write(t, files.KeyFile, key)
		set, err := files.read()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(set.chain, tt.problem) || (set.chain == "") != (tt.problem == "") {
			t.Errorf("%s: problem %q, want %q", tt.name, set.chain, tt.problem)
		}
	}
}

// An owner hears once of 30 days and once a day of the last seven.
func TestCertificateWarnings(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	now := time.Now()
	ca.issueFor(t, files, now.Add(-60*day), now.Add(40*day), nil)
	var log logBuffer
	keys, err := loadCertificates(files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[int]int) // by days left
	before := 0
	for hour := range 40 * 24 {
		left := 40 - hour/24
		keys.Status(now.Add(time.Duration(hour) * time.Hour))
		n := strings.Count(log.String(), "The certificate ends on")
		told[left] += n - before
		before = n
	}
	for left := 1; left <= 40; left++ {
		want := 0
		if left == 30 || left <= 7 {
			want = 1
		}
		if told[left] != want {
			t.Errorf("%d days before the end: warned %d times, want %d", left, told[left], want)
		}
	}
}

// case R12: where the clock showed 1970 at the start, the owner hears of that, and once it is
// set at once of a certificate that ends, not a day later.
func TestCertificateWarningsOfAClockThatIsSet(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	right := time.Now()
	ca.issueFor(t, files, right.Add(-60*day), right.Add(3*day), nil)
	var log logBuffer
	keys, err := loadCertificates(files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	keys.told, keys.warned = "", time.Time{} // as at the start
	for range 2 {
		keys.warn(time.Unix(20, 0))
	}
	if n := strings.Count(log.String(), "is the clock right?"); n != 1 {
		t.Errorf("told %d times of the clock", n)
	}
	keys.warned = right // on the clock that nobody sets no time has passed
	before := strings.Count(log.String(), "The certificate ends on")
	for range 2 {
		keys.warn(right.Add(time.Minute))
	}
	if n := strings.Count(log.String(), "The certificate ends on") - before; n != 1 {
		t.Errorf("told %d times of the end", n)
	}
}

// A bad certificate closes its own listener alone; two with the same files share them.
func TestCertificateOfListeners(t *testing.T) {
	ca := newAuthority(t)
	good, bad := ca.files(t), ca.files(t)
	write(t, bad.KeyFile, []byte("no key"))
	at := func(name string, web bool, f *TLS) Config {
		return Config{Setting: name, Name: name, Network: "tcp", Address: "127.0.0.1:0", WebSocket: web, TLS: f, Log: testLog(t)}
	}
	opened := Open(t.Context(), []Config{at("mqtt", false, nil), at("mqtts", false, &good), at("wss", true, &good), at("broken", false, &bad)})
	for i, o := range opened {
		if (o.Err != nil) != (o.Config.Name == "broken") {
			t.Errorf("%s: %v", o.Config.Name, o.Err)
		}
		if o.Listener != nil {
			t.Cleanup(func() { o.Listener.Close() })
		}
		_, ok := opened[i].Certificate(time.Now())
		if ok != (o.Err == nil && o.Config.TLS != nil) {
			t.Errorf("%s: has a certificate: %v", o.Config.Name, ok)
		}
	}
	if opened[1].keys != opened[2].keys {
		t.Error("two listeners with the same files read them twice")
	}
	// The good ones serve.
	c := tls.Client(dial(t, opened[1].Listener), ca.client(t, ""))
	s := accept(t, opened[1].Listener)
	go func() { _, _ = c.Write([]byte("x")) }()
	receive(t, s, "x")
	if _, err := net.Dial("tcp", opened[0].Listener.Addr().String()); err != nil {
		t.Error(err)
	}
}
