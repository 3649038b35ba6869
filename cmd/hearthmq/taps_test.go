package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// Taps on every door with tools that others made.

// house is an authority with the files of a server and of its devices.
type house struct {
	tb     testing.TB
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newHouse(tb testing.TB) *house {
	tb.Helper()
	h := &house{tb: tb, dir: tb.TempDir(), serial: 100}
	h.key = h.newKey()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "The house"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &h.key.PublicKey, h.key)
	h.check(err)
	h.cert, err = x509.ParseCertificate(der)
	h.check(err)
	h.write("ca.pem", "CERTIFICATE", der)
	return h
}

func (h *house) check(err error) {
	h.tb.Helper()
	if err != nil {
		h.tb.Fatal(err)
	}
}

func (h *house) newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.check(err)
	return k
}

func (h *house) path(name string) string { return filepath.Join(h.dir, name) }

func (h *house) write(name, kind string, der []byte) {
	h.tb.Helper()
	h.check(os.WriteFile(h.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// issue writes NAME.pem and NAME.key and returns the serial number.
func (h *house) issue(name string) int64 {
	h.tb.Helper()
	return h.issueFor(name, 90*24*time.Hour)
}

// issueFor is issue with a time after which the certificate has ended.
func (h *house) issueFor(name string, good time.Duration) int64 {
	h.tb.Helper()
	h.serial++
	key := h.newKey()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(h.serial), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(good),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, h.cert, &key.PublicKey, h.key)
	h.check(err)
	h.write(name+".pem", "CERTIFICATE", der)
	kd, err := x509.MarshalPKCS8PrivateKey(key)
	h.check(err)
	h.write(name+".key", "PRIVATE KEY", kd)
	return h.serial
}

func (h *house) revoke(serials ...int64) {
	h.tb.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, n := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, h.cert, h.key)
	h.check(err)
	h.write("revoked.pem", "X509 CRL", der)
}

// start runs a server that lets in devices with a certificate, under its name.
func (h *house) start(t *testing.T, o options) *testServer {
	t.Helper()
	h.issue("server")
	bad := h.issue("thief")
	h.issue("lamp")
	h.issue("nobody")
	h.revoke(bad)
	all := options{
		"certfile": h.path("server.pem"), "keyfile": h.path("server.key"), "cafile": h.path("ca.pem"), "crlfile": h.path("revoked.pem"),
		"require_certificate": true, "certificate_user": "cn", "wss_address": "127.0.0.1:0",
	}
	for k, v := range o {
		all[k] = v
	}
	s := startE2E(t, all)
	if r := command(t, s.dir, "x", "user", "add", "lamp", "--password-stdin", "--role", "everything"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	eventually(t, "the server knows the user", func() bool { return strings.Contains(s.log.String(), "changed by another process") })
	return s
}

// connectBytes are a CONNECT of MQTT 3.1.1 without a user name.
const connectBytes = "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04lamp"

// case A16: openssl s_client on the encrypted port.
func TestTapOpenSSL(t *testing.T) {
	need(t, "openssl", have("openssl"))
	h := newHouse(t)
	s := h.start(t, nil)
	for _, tt := range []struct {
		name, version, device string
		answer                string // the first bytes from the broker, "" when it does not get that far
		says                  string // what openssl says
		logged                string
	}{
		{"TLS 1.3", "-tls1_3", "lamp", "\x20\x02\x00\x00", "", "client connected"},
		{"TLS 1.2", "-tls1_2", "lamp", "\x20\x02\x00\x00", "", "client connected"},
		{"TLS 1.1", "-tls1_1", "lamp", "", "", ""},
		{"no certificate", "-tls1_3", "", "", "certificate required", `reason="certificate required"`},
		{"revoked", "-tls1_3", "thief", "", "bad certificate", `reason="certificate not trusted" detail="the certificate of \"CN=thief\" was revoked"`},
		{"a name that is no user's", "-tls1_3", "nobody", "\x20\x02\x00\x05", "", `reason="unknown user" detail="the certificate names \"nobody\""`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"s_client", "-connect", s.mqtts, "-CAfile", h.path("ca.pem"), "-verify_return_error", "-quiet", tt.version}
			if tt.device != "" {
				args = append(args, "-cert", h.path(tt.device+".pem"), "-key", h.path(tt.device+".key"))
			}
			cmd := exec.CommandContext(t.Context(), "openssl", args...)
			stdin, err := cmd.StdinPipe()
			h.check(err)
			stdout, err := cmd.StdoutPipe()
			h.check(err)
			said := newSyncBuffer(nil)
			cmd.Stderr = said
			h.check(cmd.Start())
			_, err = io.WriteString(stdin, connectBytes)
			h.check(err)
			answer := make([]byte, 4)
			n, _ := io.ReadFull(stdout, answer) // openssl ends where it is turned away
			stdin.Close()
			if n == len(answer) {
				_ = cmd.Process.Kill() // it would wait for more
			}
			_ = cmd.Wait() // what it said counts
			if string(answer[:n]) != tt.answer || !strings.Contains(said.String(), tt.says) {
				t.Errorf("answer %x, want %x; openssl said %q, want %q", answer[:n], tt.answer, said, tt.says)
			}
			if tt.logged != "" {
				eventually(t, "the log has "+tt.logged, func() bool { return strings.Contains(s.log.String(), tt.logged) })
			}
		})
	}
}

// mosquitto_pub and mosquitto_sub with certificates.
func TestTapMosquitto(t *testing.T) {
	need(t, "mosquitto_pub", have("mosquitto_pub") && have("mosquitto_sub"))
	h := newHouse(t)
	s := h.start(t, nil)
	host, port, err := net.SplitHostPort(s.mqtts)
	h.check(err)
	args := func(device, version string, more ...string) []string {
		return append([]string{"-h", host, "-p", port, "-V", version, "--cafile", h.path("ca.pem"),
			"--cert", h.path(device + ".pem"), "--key", h.path(device + ".key")}, more...)
	}
	for _, version := range []string{"311", "5"} {
		if out, err := exec.CommandContext(t.Context(), "mosquitto_pub", args("lamp", version, "-q", "1", "-r", "-t", "lamp/state", "-m", version)...).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_pub: %v\n%s", err, out)
		}
		out, err := exec.CommandContext(t.Context(), "mosquitto_sub", args("lamp", version, "-C", "1", "-t", "lamp/state")...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != version {
			t.Errorf("mosquitto_sub: %v, %q", err, out)
		}
		if out, err := exec.CommandContext(t.Context(), "mosquitto_pub", args("thief", version, "-t", "t", "-m", "x")...).CombinedOutput(); err == nil {
			t.Errorf("a revoked certificate got in: %s", out)
		}
	}
}

// MQTT.js over encrypted WebSocket, with certificates.
func TestTapMQTTJS(t *testing.T) {
	dir := npmPackage(t, mqttJS)
	h := newHouse(t)
	s := h.start(t, nil)
	wss := s.port("MQTT over WebSocket, encrypted")
	env := append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
	for device, want := range map[string]string{"lamp": "ok", "nobody": "refused", "thief": "refused"} {
		out := launch(t, env, "testdata", "node", "mqttjs_tls.cjs", "wss://"+wss+"/mqtt",
			h.path("ca.pem"), h.path(device+".pem"), h.path(device+".key")).drain()
		if len(out) == 0 || !strings.HasPrefix(out[0], want) {
			t.Errorf("%s: %s, want %s", device, strings.Join(out, "\n"), want)
		}
	}
}

// case A24: HAProxy in front tells clients' addresses with the PROXY protocol; who
// comes by it and who may is what the settings say.
func TestTapHAProxy(t *testing.T) {
	const program = "/usr/sbin/haproxy"
	_, err := os.Stat(program)
	need(t, "haproxy", err == nil)
	h := newHouse(t)
	s := startE2E(t, options{"proxy_protocol": []string{"127.0.0.1/32"}})
	ports := map[string]string{"send-proxy": brokertest.FreeAddress(t), "send-proxy-v2": brokertest.FreeAddress(t), "": brokertest.FreeAddress(t)}
	var b strings.Builder
	b.WriteString("global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n")
	i := 0
	for how, port := range ports {
		i++
		fmt.Fprintf(&b, "listen door%d\n  bind %s\n  server broker %s %s\n", i, port, s.mqtt, how)
	}
	h.check(os.WriteFile(h.path("haproxy.cfg"), []byte(b.String()), 0o600))
	launch(t, os.Environ(), h.dir, program, "-db", "-f", h.path("haproxy.cfg"))
	for _, port := range ports {
		eventually(t, "HAProxy listens", func() bool {
			c, err := net.Dial("tcp", port)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	connect := func(from, to string) string {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
		c, err := d.Dial("tcp", to)
		h.check(err)
		defer c.Close()
		h.check(c.SetDeadline(time.Now().Add(30 * time.Second)))
		packet := fmt.Sprintf("\x10\x00\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01p\x00%c%s\x00%c%s", len(e2eUser), e2eUser, len(e2ePassword), e2ePassword)
		packet = packet[:1] + string(rune(len(packet)-2)) + packet[2:]
		_, err = io.WriteString(c, packet)
		h.check(err)
		answer := make([]byte, 4)
		n, _ := io.ReadFull(c, answer)
		return string(answer[:n])
	}
	const accepted = "\x20\x02\x00\x00"
	for how, port := range ports {
		want, from := accepted, fmt.Sprintf("127.0.0.%d", 10+len(how))
		if how == "" {
			want = "" // the proxy has to say for whom it speaks
		}
		if got := connect(from, port); got != want {
			t.Errorf("HAProxy with %q: answer %x, want %x", how, got, want)
		}
		if want != "" {
			eventually(t, "the client's own address is logged", func() bool { return strings.Contains(s.log.String(), "remote="+from+":") })
		}
	}
	// Somebody else has no need of a header, and is not believed with one.
	if got := connect("127.0.0.99", s.mqtt); got != accepted {
		t.Errorf("no proxy: answer %x", got)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.98")}}
	c, err := d.Dial("tcp", s.mqtt)
	h.check(err)
	defer c.Close()
	_, err = io.WriteString(c, "PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883\r\n"+connectBytes)
	h.check(err)
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("a stranger's PROXY header was answered")
	}
	if strings.Contains(s.log.String(), "192.0.2.7") {
		t.Error("a stranger's PROXY header was believed")
	}
}
