package addon

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker"
)

func TestListenerLimits(t *testing.T) {
	const every = `{"listener": "wss", "max_connections": 1, "max_connect_rate": 0.5, "max_message_rate": 3, "max_byte_rate": "4KB", "max_packet_size": "5KB",
		"max_inflight": 6, "max_queued_messages": 7, "max_queued_bytes": 8192, "max_subscriptions": 9, "max_topic_levels": 10, "retained_max_messages": 11, "retained_max_bytes": "12KB"}`
	wss := broker.Limits{
		Connections: 1, ConnectRate: 0.5, MessageRate: 3, ByteRate: 4096, PacketSize: 5120, Inflight: 6, QueuedMessages: 7, QueuedBytes: 8192,
		Subscriptions: 9, TopicLevels: 10, RetainedMessages: 11, RetainedBytes: 12288,
	}
	for field, v := range reflect.ValueOf(wss).Fields() {
		if v.IsZero() {
			t.Errorf("%s is tried nowhere here", field.Name)
		}
	}
	both := map[string]broker.Limits{"wss": wss, "unix": {MessageRate: 2}}
	for _, tt := range []struct {
		name, text string
		environ    []string
		want       map[string]broker.Limits
		warnings   []string
	}{
		{"none", `{}`, nil, nil, nil},
		{"file", `{"unix_socket": "s", "listener_limits": [` + every + `, {"listener": "unix", "max_message_rate": 2}]}`, nil, both, nil},
		{"environment, JSON", "-", []string{"HEARTHMQ_UNIX_SOCKET=s", "HEARTHMQ_LISTENER_LIMITS=[" + every + `, {"listener": "unix", "max_message_rate": 2}]`}, both, nil},
		{"environment, keys", "-", []string{"HEARTHMQ_LISTENER_LIMITS__0__LISTENER=ws", "HEARTHMQ_LISTENER_LIMITS__0__MAX_CONNECT_RATE=1.5", "HEARTHMQ_LISTENER_LIMITS__0__MAX_BYTE_RATE=1MB"},
			map[string]broker.Limits{"ws": {ConnectRate: 1.5, ByteRate: 1 << 20}}, nil},
		{"closed", `{"ws_address": "", "keyfile": "", "listener_limits": [{"listener": "ws", "max_inflight": 1}, {"listener": "wss", "max_inflight": 1}, {"listener": "unix", "max_inflight": 1}]}`, nil,
			map[string]broker.Limits{"ws": {Inflight: 1}, "wss": {Inflight: 1}, "unix": {Inflight: 1}}, []string{
				"setting listener_limits: listener ws is closed (ws_address is empty), its limits mean nothing",
				"setting listener_limits: listener wss is closed (certfile or keyfile is empty), its limits mean nothing",
				"setting listener_limits: listener unix is closed (unix_socket is empty), its limits mean nothing",
			}},
		{"unknown limit", `{"listener_limits": [{"listener": "ws", "max_conections": 1}]}`, nil, map[string]broker.Limits{"ws": {}},
			[]string{"setting listener_limits[0].max_conections is not known and ignored"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, warnings, err := load(t, tt.text, tt.environ...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, o.Broker().ListenerLimits); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if d := cmp.Diff(tt.warnings, warnings); d != "" {
				t.Errorf("warnings (-want +got)\n%s", d)
			}
		})
	}
}

// What is wrong is said in one sentence each, all of it at once.
func TestListenerLimitsProblems(t *testing.T) {
	for _, tt := range []struct {
		entries string
		want    []string
	}{
		{`{"max_connections": 1}, {"listener": "tcp", "max_connections": 1}`, []string{
			"entry 1 needs a listener: mqtt, ws, mqtts, wss, unix",
			`listener must be one of mqtt, ws, mqtts, wss, unix, not "tcp"`,
		}},
		{`{"listener": "ws", "max_inflight": 1}, {"listener": "ws", "max_connections": 1}`, []string{"listener ws stands there more than once: write its limits into one entry"}},
		{`{"listener": "ws", "max_connections": -1, "max_connect_rate": -0.5, "max_packet_size": 10, "max_inflight": 65536, "max_topic_levels": 202}`, []string{
			"max_connections of listener ws must be 0 or between 1 and 1000000",
			"max_packet_size of listener ws must be 0 or between 256 and 268435460",
			"max_inflight of listener ws must be 0 or between 1 and 65535",
			"max_topic_levels of listener ws must be 0 or between 1 and 201",
			"max_connect_rate of listener ws must be between 0 and 1000000",
		}},
		{`{"listener": "ws"}, {"listener": "mqtt", "max_byte_rate": -1}`, []string{`max_byte_rate of entry 2 must be a size such as 67108864 or "64MB"`}},
		{`{"listener": "ws", "max_connect_rate": "often"}`, []string{`max_connect_rate of entry 1 must be a number`}},
		{`{"listener": "ws", "max_inflight": 1.5}`, []string{`max_inflight of entry 1 must be a whole number`}},
		{`7`, []string{"must be a list of {listener, max_connections, …}"}},
	} {
		_, _, err := load(t, `{"listener_limits": [`+tt.entries+`]}`)
		if err == nil {
			t.Errorf("%s: no error", tt.entries)
			continue
		}
		var got []string
		for line := range strings.SplitSeq(err.Error(), "\n") {
			got = append(got, strings.TrimPrefix(line, "listener_limits: "))
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", tt.entries, d)
		}
	}
}

func TestListenerLimitsShown(t *testing.T) {
	o, _, err := load(t, `{"listener_limits": [{"listener": "ws", "max_connections": 5, "max_byte_rate": "1MB", "max_connect_rate": 0.5}, {"listener": "mqtt"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range o.Describe() {
		if s.Key == "listener_limits" && s.Value != "ws: max_connections=5 max_connect_rate=0.5 max_byte_rate=1MB, mqtt:" {
			t.Errorf("%q", s.Value)
		}
	}
}

// Of an address, and of every client.
func TestOtherLimits(t *testing.T) {
	o, _, err := load(t, `{"max_message_rate_per_address": 50, "max_byte_rate_per_address": "1MB", "max_subscriptions": 20, "max_topic_levels": 12}`)
	if err != nil {
		t.Fatal(err)
	}
	want := broker.DefaultConfig()
	want.MessageRatePerAddress, want.ByteRatePerAddress, want.MaxSubscriptions, want.EachClient.TopicLevels = 50, 1<<20, 20, 12
	if d := cmp.Diff(want, o.Broker()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	_, _, err = load(t, `{"max_message_rate_per_address": -1, "max_subscriptions": 0, "max_topic_levels": 202}`)
	const bad = "max_message_rate_per_address: must be 0 or between 1 and 100000000\nmax_subscriptions: must be between 1 and 1000000\nmax_topic_levels: must be between 1 and 201"
	if err == nil || err.Error() != bad {
		t.Errorf("error %v", err)
	}
}
