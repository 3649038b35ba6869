package packet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	. "hearthmq/broker/packet"
)

func TestConnectRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		hex  string
		code ReasonCode
	}{
		// case P15, flags
		{"3.1.1 reserved flag", "10 0d 'MQTT' 04 03 003c 'a'", MalformedPacket},
		{"5 reserved flag", "10 0e 'MQTT' 05 03 003c 00 'a'", MalformedPacket},
		{"3.1.1 Will QoS without will", "10 0d 'MQTT' 04 0a 003c 'a'", MalformedPacket},
		{"3.1.1 Will Retain without will", "10 0d 'MQTT' 04 22 003c 'a'", MalformedPacket},
		{"5 Will Retain without will", "10 0e 'MQTT' 05 22 003c 00 'a'", MalformedPacket},
		{"3.1 Will QoS 3", "10 14 'MQIsdp' 03 1e 003c 'a' 'w' 0000", MalformedPacket},
		{"3.1.1 Will QoS 3", "10 12 'MQTT' 04 1e 003c 'a' 'w' 0000", MalformedPacket},
		{"5 Will QoS 3", "10 14 'MQTT' 05 1e 003c 00 'a' 00 'w' 0000", MalformedPacket},
		{"3.1 password without user name", "10 12 'MQIsdp' 03 42 003c 'a' 'p'", MalformedPacket},
		{"3.1.1 password without user name", "10 10 'MQTT' 04 42 003c 'a' 'p'", MalformedPacket},
		// case P8, text
		{"NUL in Client Identifier", "10 0d 'MQTT' 04 02 003c 0001 00", MalformedPacket},
		{"surrogate in Client Identifier", "10 0f 'MQTT' 04 02 003c 0003 eda080", MalformedPacket},
		{"overlong User Name", "10 11 'MQTT' 04 82 003c 'a' 0002 c080", MalformedPacket},
		{"bad Will Topic", "10 12 'MQTT' 04 06 003c 'a' 0001 ff 0000", MalformedPacket},
		{"bad will Content Type", "10 19 'MQTT' 05 06 003c 00 'a' 05 03 0002 c328 'w' 0000", MalformedPacket},
		// case P10, will topics
		{"Will Topic with +", "10 12 'MQTT' 04 06 003c 'a' '+' 0000", TopicNameInvalid},
		{"Will Topic with #", "10 14 'MQTT' 04 06 003c 'a' 'a/#' 0000", TopicNameInvalid},
		{"empty Will Topic", "10 11 'MQTT' 04 06 003c 'a' '' 0000", TopicNameInvalid},
		{"will Response Topic with +", "10 18 'MQTT' 05 06 003c 00 'a' 04 08 '+' 'w' 0000", ProtocolError},
		// case P11
		{"Request Response Information 2", "10 10 'MQTT' 05 02 003c 02 19 02 'a'", ProtocolError},
		// announced, not there
		{"3.1.1 without the User Name", "10 0d 'MQTT' 04 82 003c 'a'", MalformedPacket},
		{"3.1 will missing", "10 0f 'MQIsdp' 03 06 003c 'a'", MalformedPacket},
		{"3.1.1 bytes left over", "10 0e 'MQTT' 04 02 003c 'a' 00", MalformedPacket},
		{"empty", "10 00", MalformedPacket},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Connect
			b := unhex(t, c.hex)
			b[1] = byte(len(b) - 2)
			wantCode(t, p.Decode(0, frame(t, b)), c.code)
			if len(b) > 2 && (p.Version < V31 || p.Version > V50) {
				t.Errorf("Version = %v: no answer possible", p.Version)
			}
		})
	}
}

// case P15: what MQTT 3.1 boards may do.
func TestConnect31Tolerance(t *testing.T) {
	base := Connect{ProtocolName: "MQIsdp", Version: V31, CleanStart: true, KeepAlive: 60, ClientID: "a"}
	user := base
	user.HasUserName, user.UserName = true, "u"
	for _, c := range []struct {
		name, hex string
		want      Connect
	}{
		{"reserved flag", "10 00 'MQIsdp' 03 03 003c 'a'", base},
		{"will flags without will", "10 00 'MQIsdp' 03 2a 003c 'a'", base},
		{"fixed header flags", "1f 00 'MQIsdp' 03 02 003c 'a'", base},
		{"User Name and Password missing", "10 00 'MQIsdp' 03 c2 003c 'a'", base},
		{"Password missing", "10 00 'MQIsdp' 03 c2 003c 'a' 'u'", user},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Connect
			b := unhex(t, c.hex)
			b[1] = byte(len(b) - 2)
			if err := p.Decode(0, frame(t, b)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, p); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConnectVersions(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		version   Version
		protocol  string
	}{
		{"level 6", "10 0c 'MQTT' 06 02 003c ''", 6, "MQTT"},
		{"level 0", "10 0c 'MQTT' 00 02 003c ''", 0, "MQTT"},
		{"3.1 with the new name", "10 0c 'MQTT' 03 02 003c ''", 3, "MQTT"},
		{"3.1.1 with the old name", "10 0e 'MQIsdp' 04 02 003c ''", 4, "MQIsdp"},
		{"bridge of the future", "10 0c 'MQTT' 86 02 003c ''", 0x86, "MQTT"},
		{"another name", "10 0c 'mqtt' 04 02 003c ''", 4, "mqtt"},
		{"a long name", "10 19 'MQTTMQTTMQTTMQTTM' 04 02 003c ''", 4, ""},
		{"nothing behind the level", "10 07 'MQTT' 09", 9, "MQTT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Connect
			wantCode(t, p.Decode(0, frame(t, unhex(t, c.hex))), UnsupportedProtocolVersion)
			if p.Version != c.version || p.ProtocolName != c.protocol {
				t.Errorf("read %q level %d, want %q level %d", p.ProtocolName, p.Version, c.protocol, c.version)
			}
		})
	}
	for _, v := range []Version{V31, V311, V50} {
		var p Connect
		if err := p.Decode(0, frame(t, (&Connect{}).Append(nil, v))); err != nil || p.Version != v {
			t.Errorf("Append for %v: decoded version %v, %v", v, p.Version, err)
		}
	}
}

func TestConnack(t *testing.T) {
	for _, c := range []struct {
		name    string
		version Version
		packet  Connack
		hex     string
	}{
		{"return code from reason", V311, Connack{Code: BadUserNameOrPassword}, "20 02 00 04"},
		{"return code given", V311, Connack{Code: KeepAliveTimeout, ReturnCode: 2}, "20 02 00 02"},
		{"no session with a refusal", V311, Connack{SessionPresent: true, Code: NotAuthorized}, "20 02 00 05"},
		{"no session bit in 3.1", V31, Connack{SessionPresent: true}, "20 02 00 00"},
		{"5, no session with a refusal", V50, Connack{SessionPresent: true, Code: ServerBusy}, "20 03 00 89 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(unhex(t, c.hex), c.packet.Append(nil, c.version)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, c := range []struct {
		version Version
		hex     string
		code    ReasonCode
	}{
		{V311, "20 02 02 00", MalformedPacket},
		{V50, "20 03 80 00 00", MalformedPacket},
		{V311, "20 02 01 05", ProtocolError},
		{V311, "20 02 00 06", ProtocolError},
		{V50, "20 03 00 8e 00", ProtocolError},
	} {
		wantCode(t, new(Connack).Decode(c.version, frame(t, unhex(t, c.hex))), c.code)
	}
	var p Connack
	if err := p.Decode(V31, frame(t, []byte{0x20, 2, 0xFF, 0})); err != nil || p.SessionPresent {
		t.Errorf("3.1 with a used reserved byte: %+v, %v", p, err)
	}
}
