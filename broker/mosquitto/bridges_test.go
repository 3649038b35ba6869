package mosquitto_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker/bridge"
	"hearthmq/broker/mosquitto"
	"hearthmq/broker/packet"
)

func TestBridgeSettings(t *testing.T) {
	read := func(text string) ([]bridge.Settings, error) {
		t.Helper()
		conf, notices := mosquitto.ReadConf(mosquitto.Uploaded{"/m.conf": []byte(text)}, "/m.conf")
		for _, n := range notices {
			t.Log(n)
		}
		return conf.BridgeSettings("host")
	}
	list, err := read(`listener 1883
connection cloud bridge
address example.org:8883 [2001:db8::1]:1884
bridge_cafile /ca.crt
bridge_insecure true
topic homeassistant/# out 1
topic commands/# in 1
topic "" both 2 one two
remote_username u
remote_password secret
cleansession true
local_cleansession false
try_private false
notifications false
restart_timeout 7
keepalive_interval 30
bridge_protocol_version mqttv50
bridge_outgoing_retain false
start_type lazy
threshold 5
idle_timeout 90
connection cloud/bridge
address 192.0.2.1
topic #
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []bridge.Settings{
		{
			Name: "cloud", Addresses: []string{"example.org:8883", "[2001:db8::1]:1884"}, Version: packet.V50, ClientID: "host.cloud", Username: "u", Password: "secret",
			Topics: []bridge.Topic{{Pattern: "homeassistant/#", Out: true, QoS: 1}, {Pattern: "commands/#", In: true, QoS: 1}, {In: true, Out: true, QoS: 2, Local: "one", Remote: "two"}},
			Clean:  true, KeepAlive: 30 * time.Second, TLS: bridge.TLS{On: true, CAFile: "/ca.crt", AnyName: true}, Start: bridge.Lazy, Threshold: 5, IdleTimeout: 90 * time.Second,
			RestartMin: 7 * time.Second, DropRetain: true, LikeMosquitto: true, TopicAliases: 10, LazyReload: true,
		},
		{
			Name: "cloud-bridge", Addresses: []string{"192.0.2.1:1883"}, Version: packet.V311, ClientID: "host.cloud/bridge", Topics: []bridge.Topic{{Pattern: "#", Out: true}},
			KeepAlive: time.Minute, Start: bridge.Automatic, Threshold: 10, IdleTimeout: time.Minute, RestartMin: 5 * time.Second, RestartMax: 30 * time.Second,
			Private: true, Notify: true, LikeMosquitto: true, TopicAliases: 10, LazyReload: true,
		},
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
	if _, err := read("listener 1883\nconnection x\naddress h\n"); err == nil || !strings.Contains(err.Error(), "m.conf:2") {
		t.Errorf("a bridge without topics: %v", err)
	}
}
