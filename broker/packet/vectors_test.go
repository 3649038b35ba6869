package packet_test

import (
	"encoding/hex"
	"strings"
	"testing"

	. "hearthmq/broker/packet"
)

// vector is one packet written down by hand from the specification's tables.
// Its bytes are what Append must write and Decode must read.
type vector struct {
	name    string
	version Version
	hex     string // spaces are for people
	packet  Packet

	// Bodies cut to these lengths are packets of their own: ok names single
	// lengths, okFrom all from one on. Every other cut must be refused.
	ok     []int
	okFrom int
}

// unhex returns the wire form; "'MQTT'" stands for a string with its length.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for _, part := range strings.Fields(s) {
		if text, ok := strings.CutPrefix(part, "'"); ok {
			text = strings.TrimSuffix(text, "'")
			out = append(append(out, byte(len(text)>>8), byte(len(text))), text...)
			continue
		}
		b, err := hex.DecodeString(part)
		if err != nil {
			t.Fatalf("vector %q: %v", s, err)
		}
		out = append(out, b...)
	}
	return out
}

// user returns properties with nothing but one User Property k=v, hex 26 'k' 'v'.
func user() Properties {
	var p Properties
	p.AddUser("k", "v")
	return p
}

// with returns properties built by f.
func with(f func(p *Properties)) Properties {
	var p Properties
	f(&p)
	return p
}

var vectors = []vector{
	// CONNECT, 3.1
	{name: "CONNECT/3.1 minimal", version: V31, hex: "10 10 'MQIsdp' 03 02 003c 'ab'",
		packet: &Connect{ProtocolName: "MQIsdp", Version: V31, CleanStart: true, KeepAlive: 60, ClientID: "ab"}},
	{name: "CONNECT/3.1 user and password", version: V31, hex: "10 15 'MQIsdp' 03 c0 000a 'a' 'u' 'p'", ok: []int{15, 18},
		packet: &Connect{ProtocolName: "MQIsdp", Version: V31, KeepAlive: 10, ClientID: "a",
			HasUserName: true, UserName: "u", HasPassword: true, Password: []byte("p")}},
	{name: "CONNECT/3.1 bridge", version: V31, hex: "10 0f 'MQIsdp' 83 02 003c 'a'",
		packet: &Connect{ProtocolName: "MQIsdp", Version: V31, Bridge: true, CleanStart: true, KeepAlive: 60, ClientID: "a"}},
	// CONNECT, 3.1.1
	{name: "CONNECT/3.1.1 empty client id", version: V311, hex: "10 0c 'MQTT' 04 02 0000 ''",
		packet: &Connect{ProtocolName: "MQTT", Version: V311, CleanStart: true}},
	{name: "CONNECT/3.1.1 everything", version: V311, hex: "10 1f 'MQTT' 04 f6 000a 'dev' 'w/t' 0002 6f6e 'me' 0001 00",
		packet: &Connect{ProtocolName: "MQTT", Version: V311, CleanStart: true, KeepAlive: 10, ClientID: "dev",
			Will:        &Will{QoS: 2, Retain: true, Topic: "w/t", Payload: []byte("on")},
			HasUserName: true, UserName: "me", HasPassword: true, Password: []byte{0}}},
	{name: "CONNECT/3.1.1 bridge", version: V311, hex: "10 0d 'MQTT' 84 00 003c 'b'",
		packet: &Connect{ProtocolName: "MQTT", Version: V311, Bridge: true, KeepAlive: 60, ClientID: "b"}},
	{name: "CONNECT/3.1.1 empty user, empty will", version: V311, hex: "10 14 'MQTT' 04 86 003c 'b' 'w' 0000 ''",
		packet: &Connect{ProtocolName: "MQTT", Version: V311, CleanStart: true, KeepAlive: 60, ClientID: "b",
			Will: &Will{Topic: "w"}, HasUserName: true}},
	// CONNECT, 5.0
	{name: "CONNECT/5 minimal", version: V50, hex: "10 0d 'MQTT' 05 02 003c 00 ''",
		packet: &Connect{ProtocolName: "MQTT", Version: V50, CleanStart: true, KeepAlive: 60}},
	{name: "CONNECT/5 password without user name", version: V50, hex: "10 11 'MQTT' 05 42 003c 00 'a' 'p'",
		packet: &Connect{ProtocolName: "MQTT", Version: V50, CleanStart: true, KeepAlive: 60, ClientID: "a", HasPassword: true, Password: []byte("p")}},
	{name: "CONNECT/5 all properties", version: V50,
		hex: "10 3b 'MQTT' 05 02 003c " +
			"2e 22 000a 11 0000001e 21 0014 15 'PLAIN' 16 0002 0102 1700 1901 26 'k' 'v' 26 'k' '' 27 00100000 ''",
		packet: &Connect{ProtocolName: "MQTT", Version: V50, CleanStart: true, KeepAlive: 60,
			Properties: with(func(p *Properties) {
				p.SetSessionExpiry(30)
				p.SetReceiveMaximum(20)
				p.SetMaximumPacketSize(1 << 20)
				p.SetTopicAliasMaximum(10)
				p.SetRequestResponseInfo(1)
				p.SetRequestProblemInfo(0)
				p.AddUser("k", "v")
				p.AddUser("k", "")
				p.SetAuthMethod("PLAIN")
				p.SetAuthData([]byte{1, 2})
			})}},
	{name: "CONNECT/5 will with all properties", version: V50,
		hex: "10 38 'MQTT' 05 2e 0000 00 'a' " +
			"22 0101 02 0000003c 03 't/x' 08 're' 09 0001 ff 18 00000005 26 'k' 'v' 'w' 0002 6279",
		packet: &Connect{ProtocolName: "MQTT", Version: V50, CleanStart: true, ClientID: "a",
			Will: &Will{QoS: 1, Retain: true, Topic: "w", Payload: []byte("by"),
				Properties: with(func(p *Properties) {
					p.SetPayloadFormat(1)
					p.SetMessageExpiry(60)
					p.SetContentType("t/x")
					p.SetResponseTopic("re")
					p.SetCorrelationData([]byte{0xFF})
					p.SetWillDelay(5)
					p.AddUser("k", "v")
				}),
				Forward: []byte("\x01\x01\x03\x00\x03t/x\x08\x00\x02re\x09\x00\x01\xff\x26\x00\x01k\x00\x01v")}}},

	// CONNACK
	{name: "CONNACK/3.1", version: V31, hex: "20 02 00 00", packet: &Connack{}},
	{name: "CONNACK/3.1 refused", version: V31, hex: "20 02 00 02", packet: &Connack{ReturnCode: 2, Code: ClientIDNotValid}},
	{name: "CONNACK/3.1.1 session present", version: V311, hex: "20 02 01 00", packet: &Connack{SessionPresent: true}},
	{name: "CONNACK/3.1.1 not authorized", version: V311, hex: "20 02 00 05", packet: &Connack{ReturnCode: 5, Code: NotAuthorized}},
	{name: "CONNACK/5", version: V50, hex: "20 03 01 00 00", packet: &Connack{SessionPresent: true}},
	{name: "CONNACK/5 refused", version: V50, hex: "20 03 00 86 00", packet: &Connack{Code: BadUserNameOrPassword}},
	{name: "CONNACK/5 all properties", version: V50,
		hex: "20 40 00 00 3d 13 0000 22 0000 12 'id' 15 'm' 16 0000 2500 27 00000001 21 ffff 2400 11 00000000 1a 'r' 1c 's' 1f 'ok' 26 'k' 'v' 2800 2900 2a01",
		packet: &Connack{Properties: with(func(p *Properties) {
			p.SetSessionExpiry(0)
			p.SetReceiveMaximum(65535)
			p.SetMaximumQoS(0)
			p.SetRetainAvailable(0)
			p.SetMaximumPacketSize(1)
			p.SetAssignedClientID("id")
			p.SetTopicAliasMaximum(0)
			p.SetReasonString("ok")
			p.AddUser("k", "v")
			p.SetWildcardAvailable(0)
			p.SetSubIDAvailable(0)
			p.SetSharedAvailable(1)
			p.SetServerKeepAlive(0)
			p.SetResponseInfo("r")
			p.SetServerReference("s")
			p.SetAuthMethod("m")
			p.SetAuthData(nil)
		})}},

	// PUBLISH
	{name: "PUBLISH/3.1 QoS 0", version: V31, hex: "30 06 'a/b' 31", okFrom: 5,
		packet: &Publish{Topic: []byte("a/b"), Payload: []byte("1")}},
	{name: "PUBLISH/3.1 empty payload", version: V31, hex: "30 05 'a/b'", packet: &Publish{Topic: []byte("a/b")}},
	{name: "PUBLISH/3.1.1 empty payload, retained", version: V311, hex: "31 05 'a/b'",
		packet: &Publish{Retain: true, Topic: []byte("a/b")}},
	{name: "PUBLISH/3.1.1 QoS 1", version: V311, hex: "32 07 'a' 0001 6869", okFrom: 5,
		packet: &Publish{QoS: 1, PacketID: 1, Topic: []byte("a"), Payload: []byte("hi")}},
	{name: "PUBLISH/3.1.1 QoS 2 again", version: V311, hex: "3d 06 'a' ffff 00", okFrom: 5,
		packet: &Publish{Dup: true, QoS: 2, Retain: true, PacketID: 0xFFFF, Topic: []byte("a"), Payload: []byte{0}}},
	{name: "PUBLISH/5 QoS 0", version: V50, hex: "30 05 'a' 00 31", okFrom: 4,
		packet: &Publish{Topic: []byte("a"), Payload: []byte("1")}},
	{name: "PUBLISH/5 alias without topic", version: V50, hex: "32 08 '' 0007 03 23 0001", packet: &Publish{QoS: 1, PacketID: 7, HasAlias: true, TopicAlias: 1}},
	{name: "PUBLISH/5 all properties", version: V50,
		hex: "32 35 'a' 0001 2e 02 0000003c 23 0002 0b 01 0b ffffff7f 01 01 03 't/x' 08 're' 09 0001 ff 26 'k' 'v' 26 'k' 'w' 78", okFrom: 52,
		packet: &Publish{QoS: 1, PacketID: 1, Topic: []byte("a"), Payload: []byte("x"),
			HasExpiry: true, MessageExpiry: 60, HasAlias: true, TopicAlias: 2, SubscriptionIDs: []uint32{1, MaxRemainingLength},
			Properties: []byte("\x01\x01\x03\x00\x03t/x\x08\x00\x02re\x09\x00\x01\xff\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01w")}},

	// PUBACK, PUBREC, PUBREL, PUBCOMP
	{name: "PUBACK/3.1", version: V31, hex: "40 02 0001", packet: &Ack{Type: TypePuback, PacketID: 1}},
	{name: "PUBACK/3.1.1", version: V311, hex: "40 02 0102", packet: &Ack{Type: TypePuback, PacketID: 0x102}},
	{name: "PUBREC/3.1.1", version: V311, hex: "50 02 0001", packet: &Ack{Type: TypePubrec, PacketID: 1}},
	{name: "PUBREL/3.1", version: V31, hex: "62 02 0001", packet: &Ack{Type: TypePubrel, PacketID: 1}},
	{name: "PUBREL/3.1.1", version: V311, hex: "62 02 0001", packet: &Ack{Type: TypePubrel, PacketID: 1}},
	{name: "PUBCOMP/3.1.1", version: V311, hex: "70 02 0001", packet: &Ack{Type: TypePubcomp, PacketID: 1}},
	{name: "PUBACK/5 shortest", version: V50, hex: "40 02 0001", packet: &Ack{Type: TypePuback, PacketID: 1}},
	{name: "PUBACK/5 code", version: V50, hex: "40 03 0001 10", ok: []int{2}, packet: &Ack{Type: TypePuback, PacketID: 1, Code: NoMatchingSubscribers}},
	{name: "PUBACK/5 properties", version: V50, hex: "40 10 0001 87 0c 1f 'no' 26 'k' 'v'", ok: []int{2, 3},
		packet: &Ack{Type: TypePuback, PacketID: 1, Code: NotAuthorized, Properties: with(func(p *Properties) { p.SetReasonString("no"); p.AddUser("k", "v") })}},
	{name: "PUBREC/5 code", version: V50, hex: "50 03 0001 97", ok: []int{2}, packet: &Ack{Type: TypePubrec, PacketID: 1, Code: QuotaExceeded}},
	{name: "PUBREL/5 code", version: V50, hex: "62 03 0001 92", ok: []int{2}, packet: &Ack{Type: TypePubrel, PacketID: 1, Code: PacketIDNotFound}},
	{name: "PUBREL/5 success with properties", version: V50, hex: "62 0b 0001 00 07 26 'k' 'v'", ok: []int{2, 3},
		packet: &Ack{Type: TypePubrel, PacketID: 1, Properties: user()}},
	{name: "PUBCOMP/5 code", version: V50, hex: "70 03 0001 92", ok: []int{2}, packet: &Ack{Type: TypePubcomp, PacketID: 1, Code: PacketIDNotFound}},

	// SUBSCRIBE, SUBACK
	{name: "SUBSCRIBE/3.1", version: V31, hex: "82 06 0001 'a' 01", ok: []int{2},
		packet: &Subscribe{PacketID: 1, Subscriptions: []Subscription{{Filter: "a", QoS: 1}}}},
	{name: "SUBSCRIBE/3.1.1", version: V311, hex: "82 0c 0001 'a/#' 01 '#' 02", ok: []int{8},
		packet: &Subscribe{PacketID: 1, Subscriptions: []Subscription{{Filter: "a/#", QoS: 1}, {Filter: "#", QoS: 2}}}},
	{name: "SUBSCRIBE/5", version: V50, hex: "82 07 0001 00 'a' 2d", packet: &Subscribe{PacketID: 1,
		Subscriptions: []Subscription{{Filter: "a", QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}}},
	{name: "SUBSCRIBE/5 properties", version: V50, hex: "82 15 000a 0a 0b 8001 26 'k' 'v' 'a' 10 'b' 02", ok: []int{17},
		packet: &Subscribe{PacketID: 10, Subscriptions: []Subscription{{Filter: "a", RetainHandling: 1}, {Filter: "b", QoS: 2}},
			Properties: with(func(p *Properties) { p.SubscriptionIDs = []uint32{128}; p.AddUser("k", "v") })}},
	{name: "SUBACK/3.1", version: V31, hex: "90 03 0001 02", okFrom: 2, packet: &Suback{PacketID: 1, Codes: []ReasonCode{GrantedQoS2}}},
	{name: "SUBACK/3.1.1", version: V311, hex: "90 06 0001 00 01 02 80", okFrom: 2,
		packet: &Suback{PacketID: 1, Codes: []ReasonCode{GrantedQoS0, GrantedQoS1, GrantedQoS2, UnspecifiedError}}},
	{name: "SUBACK/5", version: V50, hex: "90 0d 0001 07 26 'k' 'v' 01 87 a2", okFrom: 10,
		packet: &Suback{PacketID: 1, Codes: []ReasonCode{GrantedQoS1, NotAuthorized, WildcardSubscriptionsNotSupported}, Properties: user()}},

	// UNSUBSCRIBE, UNSUBACK
	{name: "UNSUBSCRIBE/3.1", version: V31, hex: "a2 05 0001 'a'", ok: []int{2}, packet: &Unsubscribe{PacketID: 1, Filters: []string{"a"}}},
	{name: "UNSUBSCRIBE/3.1.1", version: V311, hex: "a2 0a 0001 'a/#' 'b'", ok: []int{7}, packet: &Unsubscribe{PacketID: 1, Filters: []string{"a/#", "b"}}},
	{name: "UNSUBSCRIBE/5", version: V50, hex: "a2 0d 0001 07 26 'k' 'v' 'a'", packet: &Unsubscribe{PacketID: 1, Filters: []string{"a"}, Properties: user()}},
	{name: "UNSUBACK/3.1", version: V31, hex: "b0 02 0001", packet: &Unsuback{PacketID: 1}},
	{name: "UNSUBACK/3.1.1", version: V311, hex: "b0 02 0001", packet: &Unsuback{PacketID: 1}},
	{name: "UNSUBACK/5", version: V50, hex: "b0 09 0001 04 1f 'x' 00 11", okFrom: 7,
		packet: &Unsuback{PacketID: 1, Codes: []ReasonCode{Success, NoSubscriptionExisted}, Properties: with(func(p *Properties) { p.SetReasonString("x") })}},

	// PINGREQ, PINGRESP
	{name: "PINGREQ/3.1", version: V31, hex: "c0 00", packet: &Pingreq{}},
	{name: "PINGREQ/3.1.1", version: V311, hex: "c0 00", packet: &Pingreq{}},
	{name: "PINGREQ/5", version: V50, hex: "c0 00", packet: &Pingreq{}},
	{name: "PINGRESP/3.1", version: V31, hex: "d0 00", packet: &Pingresp{}},
	{name: "PINGRESP/3.1.1", version: V311, hex: "d0 00", packet: &Pingresp{}},
	{name: "PINGRESP/5", version: V50, hex: "d0 00", packet: &Pingresp{}},

	// DISCONNECT, AUTH
	{name: "DISCONNECT/3.1", version: V31, hex: "e0 00", packet: &Disconnect{}},
	{name: "DISCONNECT/3.1.1", version: V311, hex: "e0 00", packet: &Disconnect{}},
	{name: "DISCONNECT/5 shortest", version: V50, hex: "e0 00", packet: &Disconnect{}},
	{name: "DISCONNECT/5 code", version: V50, hex: "e0 01 04", ok: []int{0}, packet: &Disconnect{Code: DisconnectWithWill}},
	{name: "DISCONNECT/5 properties", version: V50, hex: "e0 18 9c 16 11 00000000 1c 's' 1f 'bye' 26 'k' 'v'", ok: []int{0, 1},
		packet: &Disconnect{Code: UseAnotherServer, Properties: with(func(p *Properties) {
			p.SetSessionExpiry(0)
			p.SetServerReference("s")
			p.SetReasonString("bye")
			p.AddUser("k", "v")
		})}},
	{name: "AUTH/5 shortest", version: V50, hex: "f0 00", packet: &Auth{}},
	{name: "AUTH/5", version: V50, hex: "f0 15 18 13 15 'SCRAM' 16 0001 01 26 'k' 'v'", ok: []int{0, 1},
		packet: &Auth{Code: ContinueAuthentication, Properties: with(func(p *Properties) {
			p.SetAuthMethod("SCRAM")
			p.SetAuthData([]byte{1})
			p.AddUser("k", "v")
		})}},
}
