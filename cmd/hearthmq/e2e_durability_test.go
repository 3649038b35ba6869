package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/broker/brokertest"
)

// What survives a restart, for each value of durability.
func TestDurability(t *testing.T) {
	for _, tt := range []struct {
		mode string
		kept bool
	}{{"durable", true}, {"balanced", true}, {"sd_saver", true}, {"memory", false}} {
		t.Run(tt.mode, func(t *testing.T) {
			dir := t.TempDir()
			s := startE2EIn(t, dir, options{"durability": tt.mode})
			s.user("lamp", "--role", "read-only")
			c, err := connect(t, s.mqtt, "c", e2eUser, e2ePassword)
			if err != nil {
				t.Fatal(err)
			}
			done(t, c.Publish("d/retained", 1, true, "kept"))
			done(t, c.Publish("d/cleared", 1, true, "not kept"))
			done(t, c.Publish("d/cleared", 1, true, ""))
			if code := s.stop(); code != 0 {
				t.Fatalf("exit %d", code)
			}

			s = startE2EIn(t, dir, options{"durability": tt.mode})
			got := make(chan mqtt.Message, 10)
			c, err = connect(t, s.mqtt, "c", e2eUser, e2ePassword)
			if err != nil {
				t.Fatal(err)
			}
			done(t, c.Subscribe("d/#", 1, func(_ mqtt.Client, m mqtt.Message) { got <- m }))
			done(t, c.Publish("d/end", 1, false, "end"))
			first := received(t, got)
			if kept := first.Topic() == "d/retained" && first.Retained(); kept != tt.kept {
				t.Errorf("first received %s, want the retained message: %v", first.Topic(), tt.kept)
			}
			if tt.kept {
				if m := received(t, got); m.Topic() != "d/end" {
					t.Errorf("then received %s", m.Topic())
				}
			}
			if list := command(t, dir, "", "user", "list"); !strings.Contains(list.stdout, "lamp") {
				t.Errorf("the user is gone:\n%s", list.stdout)
			}
		})
	}
}

// writeCertificate makes a certificate for 127.0.0.1 under the names that the
// settings have by default, and returns who is to trust it.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hearth"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"fullchain.pem": {Type: "CERTIFICATE", Bytes: der}, "privkey.pem": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

// A certificate beside the data opens the encrypted ports; a rule can tell listeners apart.
func TestEncrypted(t *testing.T) {
	dir := t.TempDir()
	pool := writeCertificate(t, dir)
	s := startE2EIn(t, dir, options{"wss_address": "127.0.0.1:0"})
	if s.mqtts == "" {
		t.Fatalf("welcome:\n%s", s.welcome)
	}
	password := s.user("lamp", "--rule", "allow both # listener=mqtts", "--rule", "allow both # listener=wss")
	for _, address := range []string{"ssl://" + s.mqtts, "wss://" + s.port("MQTT over WebSocket, encrypted")} {
		t.Run(address[:3], func(t *testing.T) {
			got := make(chan mqtt.Message, 10)
			o := mqtt.NewClientOptions().AddBroker(address).SetClientID("tls").SetUsername("lamp").SetPassword(password).
				SetTLSConfig(&tls.Config{RootCAs: pool}).SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond)
			c := mqtt.NewClient(o)
			done(t, c.Connect())
			defer c.Disconnect(0)
			done(t, c.Subscribe("tls/t", 1, func(_ mqtt.Client, m mqtt.Message) { got <- m }))
			large := strings.Repeat("x", 200_000)
			done(t, c.Publish("tls/t", 1, false, large))
			if m := received(t, got); string(m.Payload()) != large {
				t.Errorf("received %d bytes", len(m.Payload()))
			}
		})
	}
	t.Run("plain, where no rule allows it", func(t *testing.T) {
		c, err := connect(t, s.mqtt, "plain", "lamp", password)
		if err != nil {
			t.Fatal(err)
		}
		token := c.Subscribe("tls/t", 1, nil)
		if !token.WaitTimeout(3 * time.Minute) {
			t.Fatal("no SUBACK")
		}
		if code := token.(*mqtt.SubscribeToken).Result()["tls/t"]; code != 0x80 {
			t.Errorf("SUBACK 0x%02X, want 0x80", code)
		}
	})
}

// One port for MQTT and MQTT over WebSocket.
func TestOnePortForBoth(t *testing.T) {
	address := brokertest.FreeAddress(t)
	s := startE2E(t, options{"mqtt_address": address, "ws_address": address})
	for _, url := range []string{"tcp://" + s.mqtt, "ws://" + s.ws} {
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("both").SetUsername(e2eUser).SetPassword(e2ePassword))
		done(t, c.Connect())
		done(t, c.Publish("both/t", 1, false, "x"))
		c.Disconnect(0)
	}
	if s.mqtt != s.ws {
		t.Errorf("%s and %s", s.mqtt, s.ws)
	}
}

// MQTT over a Unix domain socket.
func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "hm") //nolint:usetesting // t.TempDir may be too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	startE2EIn(t, dir, options{"unix_socket": "mqtt.sock"})
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("unix://" + filepath.Join(dir, "mqtt.sock")).
		SetClientID("unix").SetUsername(e2eUser).SetPassword(e2ePassword))
	done(t, c.Connect())
	done(t, c.Publish("unix/t", 1, false, "x"))
	c.Disconnect(0)
}
