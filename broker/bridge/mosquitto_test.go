package bridge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// These tests bridge with Mosquitto itself, over a link that is cut.

// mosquitto starts one with the configuration and returns what ends it.
func mosquitto(t *testing.T, conf string) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Mosquitto")
	}
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("mosquitto is not installed, and CI runs every test: make deps")
		}
		t.Skip("SKIPPED, NOT TESTED: mosquitto is not installed: make deps")
	}
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(file, []byte("user root\n"+conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, "-c", file)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // of our own making
		_ = cmd.Wait()         // it was killed
	})
}

// cutter is a link to a port of this machine that can be cut.
type cutter struct {
	port  string
	mu    sync.Mutex
	conns []net.Conn
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{}
	_, c.port, _ = net.SplitHostPort(ln.Addr().String())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", "127.0.0.1:"+to)
			if err != nil {
				nc.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, nc, far)
			c.mu.Unlock()
			for _, pair := range [][2]net.Conn{{nc, far}, {far, nc}} {
				wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1]) // ends with either
					pair[0].Close()
					pair[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		ln.Close()
		c.cut()
		wg.Wait()
	})
	return c
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.conns {
		nc.Close()
	}
	c.conns = nil
}

// realSite is a broker that serves on a port.
func realSite(t *testing.T) (s *site, port string) {
	t.Helper()
	s = newSite(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(context.Background(), ln, broker.ListenerInfo{Name: "mqtt"}) // ends when ln is closed
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return s, port
}

// guest is a client of a Mosquitto that gets everything below a topic, once.
type guest struct {
	t    *testing.T
	l    *link
	mu   sync.Mutex
	got  []string
	seen chan struct{}
}

func visit(t *testing.T, port, filter string) *guest {
	t.Helper()
	var g *guest
	eventually(t, "a client gets in", func() bool {
		nc, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return false
		}
		g = &guest{t: t, l: newLink(nc, packet.V50, 0), seen: make(chan struct{}, 1)}
		_, err = g.l.connect(&packet.Connect{ClientID: "guest", CleanStart: true})
		return err == nil
	})
	g.l.put(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: filter}}})
	if err := g.l.flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.l.nc.Close() })
	subscribed := make(chan struct{})
	go func() {
		for {
			f, err := g.l.next()
			if err != nil {
				return
			}
			switch f.Type() {
			case packet.TypeSuback:
				close(subscribed)
			case packet.TypePublish:
				var p packet.Publish
				if p.Decode(packet.V50, f) == nil {
					g.mu.Lock()
					g.got = append(g.got, string(p.Topic)+" "+string(p.Payload))
					g.mu.Unlock()
				}
			}
		}
	}()
	<-subscribed
	return g
}

func (g *guest) messages() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.got)
}

func (g *guest) say(topic, payload string, qos byte, id uint16) {
	g.t.Helper()
	g.l.put(&packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, PacketID: id})
	if qos == 2 { // Mosquitto takes both at once
		g.l.put(&packet.Ack{Type: packet.TypePubrel, PacketID: id})
	}
	if err := g.l.flush(); err != nil {
		g.t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited in vain: ", what)
		}
	}
}

const messages = 60

// checkMosquitto sends messages both ways between a site and a Mosquitto while the
// link is cut now and then; theirs: by Mosquitto's own bridge.
func checkMosquitto(t *testing.T, near *site, g *guest, link *cutter, cuts, theirs bool) {
	t.Helper()
	eventually(t, "the way out is open", func() bool {
		near.say(t, "out/hello", "", 0, false)
		return len(g.messages()) > 0
	})
	eventually(t, "the way in is open", func() bool {
		g.say("in/hello", "", 0, 0)
		return slices.Contains(near.peek(), "in/hello ")
	})
	var wantOut, wantIn []string
	for i := range messages {
		near.say(t, "out/n", fmt.Sprint(i), 2, false)
		wantOut = append(wantOut, fmt.Sprint("out/n ", i))
		g.say("in/n", fmt.Sprint(i), 2, uint16(i+1))
		wantIn = append(wantIn, fmt.Sprint("in/n ", i))
		if cuts && i%20 == 10 {
			link.cut()
		}
	}
	only := func(list []string, prefix string) []string {
		return slices.DeleteFunc(list, func(m string) bool { return !strings.HasPrefix(m, prefix) })
	}
	eventually(t, "all is there", func() bool {
		in := only(near.peek(), "in/n ")
		slices.Sort(in)
		return len(only(g.messages(), "out/n ")) >= messages && len(slices.Compact(in)) >= messages
	})
	if got := only(g.messages(), "out/n "); !slices.Equal(got, wantOut) {
		t.Errorf("out: %q", got)
	}
	got := only(near.peek(), "in/n ")
	if theirs {
		// Debian 12's Mosquitto 2.0.11 lets a message that comes while it connects anew overtake
		// those that wait, and sends PUBLISH again after its PUBREL, which MQTT forbids (4.3.3).
		number := func(m string) int { n, _ := strconv.Atoi(strings.TrimPrefix(m, "in/n ")); return n }
		slices.SortFunc(got, func(a, b string) int { return number(a) - number(b) })
		got = slices.Compact(got)
	}
	if !slices.Equal(got, wantIn) {
		t.Errorf("in: %q", got)
	}
}

// peek returns what has arrived so far.
func (s *site) peek() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func TestToMosquitto(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		t.Run(v.String(), func(t *testing.T) {
			port := brokertest.FreePort(t)
			mosquitto(t, "listener "+port+" 127.0.0.1\nallow_anonymous true\nmax_queued_messages 10000\nmax_inflight_messages 100\n")
			link := newCutter(t, port)
			g := visit(t, port, "out/#")
			near, _ := realSite(t)
			m := &Manager{Local: near, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), ID: "near"}
			t.Cleanup(m.Close)
			if err := m.Set([]Settings{settings("b", func(s *Settings) {
				s.Version, s.NotifyLocal, s.Addresses, s.RestartMax = v, false, []string{"127.0.0.1:" + link.port}, 0
			}, Topic{Pattern: "out/#", Out: true, QoS: 2}, Topic{Pattern: "in/#", In: true, QoS: 2})}); err != nil {
				t.Fatal(err)
			}
			checkMosquitto(t, near, g, link, true, false)
		})
	}
}

// Mosquitto 2.0 asks for no Session Expiry Interval with MQTT 5: what is under way when
// the link is cut is lost, whatever the other side does.
func TestFromMosquitto(t *testing.T) {
	for _, v := range []string{"mqttv311", "mqttv50"} {
		t.Run(v, func(t *testing.T) {
			near, nearPort := realSite(t)
			link := newCutter(t, nearPort)
			port := brokertest.FreePort(t)
			mosquitto(t, "listener "+port+" 127.0.0.1\nallow_anonymous true\nmax_queued_messages 10000\nconnection home\naddress 127.0.0.1:"+link.port+
				"\nremote_clientid theirs\nbridge_protocol_version "+v+"\ncleansession false\nrestart_timeout 1 1\ntopic out/# in 2\ntopic in/# out 2\n")
			g := visit(t, port, "out/#")
			checkMosquitto(t, near, g, link, v == "mqttv311", v == "mqttv311")
			eventually(t, "Mosquitto says that it is connected", func() bool {
				for msg := range near.Retained("$SYS/broker/connection/theirs/state") {
					return string(msg.Payload) == "1"
				}
				return false
			})
		})
	}
}

// TLS with verification: the right authority, the wrong one, the wrong name, none.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, keyFile := write("cert", "CERTIFICATE", der), write("key", "EC PRIVATE KEY", pk)
	port := brokertest.FreePort(t)
	mosquitto(t, "listener "+port+" 127.0.0.1\nallow_anonymous true\ncertfile "+cert+"\nkeyfile "+keyFile+"\n")
	m := &Manager{Local: newSite(t), Log: slog.New(slog.DiscardHandler)}
	try := func(host string, change func(*TLS)) string {
		s := settings("b", func(s *Settings) {
			s.Addresses = []string{net.JoinHostPort(host, port)}
			s.TLS.On = true
			change(&s.TLS)
		}, Topic{Pattern: "x", In: true})
		if err := m.Test(t.Context(), s); err != nil {
			_, text, _ := strings.Cut(err.Error(), ": ")
			return text
		}
		return ""
	}
	eventually(t, "Mosquitto answers", func() bool { return try("localhost", func(c *TLS) { c.CAFile = cert }) == "" })
	for _, c := range []struct {
		host   string
		change func(*TLS)
		want   string
	}{
		{"localhost", func(*TLS) {}, "its certificate is of an authority that is not trusted"},
		{"127.0.0.1", func(c *TLS) { c.CAFile = cert }, "its certificate is for another name"},
		{"127.0.0.1", func(c *TLS) { c.CAFile, c.AnyName = cert, true }, ""},
		{"127.0.0.1", func(c *TLS) { c.AnyName = true }, "its certificate is of an authority that is not trusted"},
		{"localhost", func(c *TLS) { c.CAPath, c.Minimum = dir, "1.3" }, ""},
		{"localhost", func(c *TLS) { c.CAFile = filepath.Join(dir, "none") }, "a file of its certificates can't be read"},
		{"localhost", func(c *TLS) { c.On = false }, "the connection was closed"},
	} {
		for range 2 { // the second time as the first (case W21)
			if got := try(c.host, c.change); got != c.want && !(c.want == "the connection was closed" && got != "") {
				t.Errorf("%s: %q, want %q", c.host, got, c.want)
			}
		}
	}
}
