package mosquitto_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker/mosquitto"
)

// What a configuration asks of client certificates is among the settings that are told
// of: who moves by that list must not let in again whom Mosquitto keeps out.
func TestSettingsOfListeners(t *testing.T) {
	settings := func(t *testing.T, text string) (list []string, left string) {
		t.Helper()
		conf, notices := mosquitto.ReadConf(mosquitto.Uploaded{"/m.conf": []byte(text)}, "/m.conf")
		r := plan(&mosquitto.Input{Conf: conf, Notices: notices}).Report
		for _, s := range r.Settings {
			list = append(list, s.Key+": "+s.Value)
		}
		for _, n := range r.Left {
			left += n.Directive + ": " + n.Text + "\n"
		}
		return list, left
	}
	const tls = "listener 8883\ncertfile c.pem\nkeyfile k.pem\ncafile ca.pem\ncrlfile crl.pem\n"
	both := []string{"mqtts_address: :8883", "certfile: c.pem", "keyfile: k.pem", "cafile: ca.pem"}
	for _, tt := range []struct {
		name, conf string
		want       []string
		left       string
	}{
		{"identity", tls + "require_certificate true\nuse_identity_as_username true\n",
			append(both[:4:4], "require_certificate: true", "crlfile: crl.pem", "certificate_user: cn"), ""},
		{"subject", tls + "require_certificate true\nuse_subject_as_username true\n",
			append(both[:4:4], "require_certificate: true", "crlfile: crl.pem", "certificate_user: subject"), ""},
		{"without a certificate of the client's", tls + "use_identity_as_username true\n", both, ""},
		{"another one for WebSocket", tls + "listener 8884\nprotocol websockets\ncertfile c.pem\nkeyfile k.pem\ncafile ca.pem\nrequire_certificate true\n",
			append(both[:4:4], "wss_address: :8884"), "that of :8883 counts for :8884, too"},
		{"limits and origins", "listener 1883\nmax_connections 30\nlistener 1884\nprotocol websockets\nwebsockets_origin https://panel.example\nmax_connections 5\n",
			[]string{"mqtt_address: :1883", "ws_address: :1884", `ws_origins: ["https://panel.example"]`,
				`listener_limits: [{"listener": "mqtt", "max_connections": 30}, {"listener": "ws", "max_connections": 5}]`}, ""},
		{"a proxy", "listener 1883\nenable_proxy_protocol 2\n", []string{"mqtt_address: :1883"}, "the setting proxy_protocol takes their networks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, left := settings(t, tt.conf)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			if !strings.Contains(left, tt.left) {
				t.Errorf("notices %q lack %q", left, tt.left)
			}
		})
	}
}
