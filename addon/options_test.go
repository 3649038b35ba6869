package addon

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/listen"
)

func TestOptionsListeners(t *testing.T) {
	tls := &listen.TLS{CertFile: "/srv/hearth/fullchain.pem", KeyFile: "/srv/hearth/privkey.pem"}
	mqtt := listen.Config{Setting: "mqtt_address", Name: "mqtt", Network: "tcp", Address: ":1883", ReadLimit: 64 << 20}
	ws := listen.Config{Setting: "ws_address", Name: "ws", Network: "tcp", Address: ":1884", WebSocket: true, ReadLimit: 64 << 20}
	mqtts := listen.Config{Setting: "mqtts_address", Name: "mqtts", Network: "tcp", Address: ":8883", TLS: tls, ReadLimit: 64 << 20}
	wss := listen.Config{Setting: "wss_address", Name: "wss", Network: "tcp", Address: ":8884", WebSocket: true, TLS: tls, ReadLimit: 64 << 20}
	edit := func(c listen.Config, f func(*listen.Config)) listen.Config { f(&c); return c }

	for _, tt := range []struct {
		name string
		set  func(o *Options)
		want []listen.Config
	}{
		{"defaults", func(*Options) {}, []listen.Config{mqtt, ws, mqtts, wss}},
		{"off", func(o *Options) { o.WSAddress, o.MQTTSAddress, o.WSSAddress = "", "", "" }, []listen.Config{mqtt}},
		{"no certificate set", func(o *Options) { o.CertFile = "" }, []listen.Config{mqtt, ws}},
		{"Unix domain socket", func(o *Options) {
			o.WSAddress, o.MQTTSAddress, o.WSSAddress, o.UnixSocket = "", "", "", "/run/mqtt.sock"
		}, []listen.Config{mqtt, {Setting: "unix_socket", Name: "unix", Network: "unix", Address: "/run/mqtt.sock"}}},
		{"behind a proxy", func(o *Options) {
			o.WSAddress, o.MQTTSAddress, o.WSSAddress = "", "", ""
			o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}, []listen.Config{edit(mqtt, func(c *listen.Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })}},
		{"behind an HTTP proxy", func(o *Options) {
			o.MQTTSAddress, o.WSSAddress, o.TrustedProxies = "", "", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}, []listen.Config{mqtt, edit(ws, func(c *listen.Config) { c.Forwarders = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })}},
		{"client certificates", func(o *Options) {
			o.MQTTAddress, o.WSAddress, o.WSSAddress = "", "", ""
			o.CertFile, o.KeyFile, o.CAFile, o.RequireCertificate = "/etc/c.pem", "k.pem", "ca.pem", true
		}, []listen.Config{edit(mqtts, func(c *listen.Config) {
			c.TLS = &listen.TLS{CertFile: "/etc/c.pem", KeyFile: "/srv/hearth/k.pem", CAFile: "/srv/hearth/ca.pem", RequireCertificate: true}
		})}},
		{"users of certificates", func(o *Options) {
			o.MQTTAddress, o.WSAddress, o.MQTTSAddress = "", "", ""
			o.CAFile, o.CRLFile, o.CertificateUser, o.WSOrigins = "ca.pem", "crl.pem", "san", []string{"https://panel.example"}
			o.CertificateUsers = []CertificateUser{{Certificate: "AA:BB", Username: "lamp"}}
		}, []listen.Config{edit(wss, func(c *listen.Config) {
			c.Origins = []string{"https://panel.example"}
			c.TLS = &listen.TLS{
				CertFile: tls.CertFile, KeyFile: tls.KeyFile, CAFile: "/srv/hearth/ca.pem", CRLFile: "/srv/hearth/crl.pem",
				Names: listen.Names{From: listen.NamesSAN, Users: map[string]string{"AA:BB": "lamp"}},
			}
		})}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Defaults(false)
			o.folder = "/srv/hearth"
			tt.set(o)
			if d := cmp.Diff(tt.want, o.Listeners(), compare); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestOptionsBroker(t *testing.T) {
	if d := cmp.Diff(broker.DefaultConfig(), Defaults(false).Broker()); d != "" {
		t.Errorf("the defaults differ from the broker's (-broker +addon)\n%s", d)
	}
	o, _, err := load(t, `{"max_connections": 0, "max_packet_size": 268435460, "max_inflight": 65535, "max_queued_messages": 5, "max_queued_bytes": "1MB",
		"max_keepalive": 65535, "session_expiry_max": 4294967295, "retained_max_messages": 0, "retained_max_bytes": 0, "queue_full": "disconnect", "durability": "sd_saver"}`)
	if err != nil {
		t.Fatal(err)
	}
	want := broker.DefaultConfig()
	want.MaxConnections, want.MaxPacketSize, want.MaxInflight, want.MaxQueuedMessages, want.MaxQueuedBytes = 0, 268435460, 65535, 5, 1<<20
	want.MaxKeepAlive, want.MaxSessionExpiry = 65535, seconds(4294967295).Std()
	want.RetainedMaxMessages, want.RetainedMaxBytes, want.QueueFull, want.Durability = 0, 0, broker.DisconnectSlow, broker.SDSaver
	if d := cmp.Diff(want, o.Broker()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestOptionsAccess(t *testing.T) {
	o := Defaults(false)
	o.Anonymous = access.AnonymousRestricted
	o.Logins = []Login{{Username: "lamp", Password: "PBKDF2$x", PreHashed: true}}
	want := access.Policy{Anonymous: "restricted", Logins: []access.Login{{Username: "lamp", Password: "PBKDF2$x", PreHashed: true}}}
	if d := cmp.Diff(want, o.Access()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
