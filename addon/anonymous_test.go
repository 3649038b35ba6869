package addon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker/access"
)

// case A21: the setting comes to access as it stands, and what no listener is called is told.
func TestAnonymousListeners(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		environ    []string
		want       []string
		warnings   []string
		problem    string
	}{
		{"not set", `{"anonymous": "full"}`, nil, nil, nil, ""},
		{"empty", `{"anonymous": "full", "anonymous_listeners": []}`, nil, []string{}, nil, ""},
		{"two", `{"anonymous": "restricted", "anonymous_listeners": ["mqtt", "ws"]}`, nil, []string{"mqtt", "ws"}, nil, ""},
		{"environment", "-", []string{"HEARTHMQ_ANONYMOUS=full", "HEARTHMQ_ANONYMOUS_LISTENERS=ws,mqtt"}, []string{"ws", "mqtt"}, nil, ""},
		{"closed", `{"anonymous": "full", "anonymous_listeners": ["mqtt", "unix", "wss"], "keyfile": ""}`, nil, []string{"mqtt", "unix", "wss"}, []string{
			"setting anonymous_listeners: listener unix is closed (unix_socket is empty)",
			"setting anonymous_listeners: listener wss is closed (certfile or keyfile is empty)",
		}, ""},
		{"off", `{"anonymous_listeners": ["mqtt"]}`, nil, []string{"mqtt"}, []string{"setting anonymous_listeners means nothing while anonymous is off"}, ""},
		{"unknown", `{"anonymous": "full", "anonymous_listeners": ["mqtt", "MQTT", "1883", ""]}`, nil, []string{"mqtt", "MQTT", "1883", ""}, nil,
			"anonymous_listeners: must be listeners, mqtt, ws, mqtts, wss, unix, not \"MQTT\"\n" +
				"anonymous_listeners: must be listeners, mqtt, ws, mqtts, wss, unix, not \"1883\"\n" +
				"anonymous_listeners: must be listeners, mqtt, ws, mqtts, wss, unix, not \"\""},
		{"no list", `{"anonymous": "full", "anonymous_listeners": 5}`, nil, nil, nil, "anonymous_listeners: must be a list of texts, not 5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, warnings, err := load(t, tt.text, tt.environ...)
			if text := textOf(err); text != tt.problem {
				t.Fatalf("%s, want %s", text, tt.problem)
			}
			p := o.Access()
			if d := cmp.Diff(tt.want, p.AnonymousListeners); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if d := cmp.Diff(tt.warnings, warnings); d != "" {
				t.Errorf("warnings (-want +got)\n%s", d)
			}
		})
	}
	o, _, err := load(t, `{"anonymous": "full", "anonymous_listeners": ["mqtt", "unix"]}`)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"anonymous": access.AnonymousFull, "anonymous_listeners": "mqtt, unix"} {
		list := o.Describe()
		if i := slices.IndexFunc(list, func(s Setting) bool { return s.Key == key }); list[i].Value != want {
			t.Errorf("the admin shows %s: %s", key, list[i].Value)
		}
	}
	if list := Defaults(true).Describe(); list[2].Key != "anonymous_listeners" || list[2].Value != "all" {
		t.Errorf("unset: %+v", list[2])
	}
}

// case R3: whose addresses have no limits of their own: those that the owner names, proxies,
// and in the app Home Assistant.
func TestExemptAddresses(t *testing.T) {
	o, _, err := load(t, `{"exempt_addresses": ["192.168.5.1", "198.51.100.0/24"], "proxy_protocol": ["192.0.2.1"], "trusted_proxies": ["192.0.2.2"]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := "[192.168.5.1/32 198.51.100.0/24 192.0.2.1/32 192.0.2.2/32]"
	if got := fmt.Sprint(o.Broker().ExemptAddresses); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	o.app = true
	if got := fmt.Sprint(o.Broker().ExemptAddresses); got != strings.TrimSuffix(want, "]")+" 172.30.32.0/23]" {
		t.Errorf("in the app: %s", got)
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
