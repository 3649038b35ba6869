package packet_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "hearthmq/broker/packet"
)

const will = Type(0) // stands for CONNECT's will properties in these tests

// propRow is table 2-4, typed a second time, so that a slip in the code's own
// table shows. sample is one valid value in wire form, zero the same with the
// zero value, bad a value that is never allowed.
var propRows = []struct {
	id                PropID
	sample, zero, bad string
	zeroAllowed       bool
	in                []Type
}{
	{PropPayloadFormat, "01", "00", "02", true, []Type{TypePublish, will}},
	{PropMessageExpiry, "00000001", "00000000", "", true, []Type{TypePublish, will}},
	{PropContentType, "'x'", "''", "0001 00", true, []Type{TypePublish, will}},
	{PropResponseTopic, "'x'", "''", "'a/#'", false, []Type{TypePublish, will}},
	{PropCorrelationData, "0001 00", "0000", "", true, []Type{TypePublish, will}},
	{PropSubscriptionID, "01", "00", "8000", false, []Type{TypePublish, TypeSubscribe}},
	{PropSessionExpiry, "00000001", "00000000", "", true, []Type{TypeConnect, TypeConnack, TypeDisconnect}},
	{PropAssignedClientID, "'x'", "''", "0001 ff", true, []Type{TypeConnack}},
	{PropServerKeepAlive, "0001", "0000", "", true, []Type{TypeConnack}},
	{PropAuthMethod, "'x'", "''", "0001 ff", true, []Type{TypeConnect, TypeConnack, TypeAuth}},
	{PropAuthData, "0001 00", "0000", "", true, []Type{TypeConnect, TypeConnack, TypeAuth}},
	{PropRequestProblemInfo, "01", "00", "02", true, []Type{TypeConnect}},
	{PropWillDelay, "00000001", "00000000", "", true, []Type{will}},
	{PropRequestResponseInfo, "01", "00", "02", true, []Type{TypeConnect}},
	{PropResponseInfo, "'x'", "''", "0001 ff", true, []Type{TypeConnack}},
	{PropServerReference, "'x'", "''", "0001 ff", true, []Type{TypeConnack, TypeDisconnect}},
	{PropReasonString, "'x'", "''", "0001 ff", true, []Type{TypeConnack, TypePuback, TypePubrec, TypePubrel, TypePubcomp,
		TypeSuback, TypeUnsuback, TypeDisconnect, TypeAuth}},
	{PropReceiveMaximum, "0001", "0000", "", false, []Type{TypeConnect, TypeConnack}},
	{PropTopicAliasMaximum, "0001", "0000", "", true, []Type{TypeConnect, TypeConnack}},
	{PropTopicAlias, "0001", "0000", "", true, []Type{TypePublish}},
	{PropMaximumQoS, "01", "00", "02", true, []Type{TypeConnack}},
	{PropRetainAvailable, "01", "00", "ff", true, []Type{TypeConnack}},
	{PropUser, "'k' 'v'", "'' ''", "'k' 0001 00", true, []Type{TypeConnect, TypeConnack, TypePublish, will, TypePuback, TypePubrec,
		TypePubrel, TypePubcomp, TypeSubscribe, TypeSuback, TypeUnsubscribe, TypeUnsuback, TypeDisconnect, TypeAuth}},
	{PropMaximumPacketSize, "00000001", "00000000", "", false, []Type{TypeConnect, TypeConnack}},
	{PropWildcardAvailable, "01", "00", "02", true, []Type{TypeConnack}},
	{PropSubIDAvailable, "01", "00", "02", true, []Type{TypeConnack}},
	{PropSharedAvailable, "01", "00", "02", true, []Type{TypeConnack}},
}

var carriers = []Type{will, TypeConnect, TypeConnack, TypePublish, TypePuback, TypePubrec, TypePubrel, TypePubcomp,
	TypeSubscribe, TypeSuback, TypeUnsubscribe, TypeUnsuback, TypeDisconnect, TypeAuth}

// carry returns a v5 packet of type t with the properties.
func carry(t testing.TB, typ Type, props []byte) Frame {
	t.Helper()
	length := appendLength(nil, len(props))
	block := string(length) + string(props)
	text := func(s string) string { return string(unhex(t, s)) }
	switch typ {
	case will:
		return raw(0x10, []byte(text("'MQTT' 05 06 0000 00 ''")+block+text("'w' 0000")))
	case TypeConnect:
		return raw(0x10, []byte(text("'MQTT' 05 02 0000")+block+text("''")))
	case TypeConnack:
		return raw(0x20, []byte("\x00\x00"+block))
	case TypePublish:
		return raw(0x30, []byte(text("'t'")+block))
	case TypePuback, TypePubrec, TypePubcomp:
		return raw(byte(typ)<<4, []byte("\x00\x01\x00"+block))
	case TypePubrel:
		return raw(0x62, []byte("\x00\x01\x00"+block))
	case TypeSubscribe:
		return raw(0x82, []byte("\x00\x01"+block+text("'f' 00")))
	case TypeUnsubscribe:
		return raw(0xA2, []byte("\x00\x01"+block+text("'f'")))
	case TypeSuback, TypeUnsuback:
		return raw(byte(typ)<<4, []byte("\x00\x01"+block+"\x00"))
	}
	return raw(byte(typ)<<4, []byte("\x00"+block)) // DISCONNECT, AUTH
}

func appendLength(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// propertiesOf returns the properties a decoded packet of carry has.
func propertiesOf(t testing.TB, typ Type, p Packet) Properties {
	t.Helper()
	switch p := p.(type) {
	case *Connect:
		if typ == will {
			return p.Will.Properties
		}
		return p.Properties
	case *Connack:
		return p.Properties
	case *Ack:
		return p.Properties
	case *Subscribe:
		return p.Properties
	case *Suback:
		return p.Properties
	case *Unsubscribe:
		return p.Properties
	case *Unsuback:
		return p.Properties
	case *Disconnect:
		return p.Properties
	case *Auth:
		return p.Properties
	case *Publish:
		props, err := DecodeProperties(p.Properties)
		if err != nil {
			t.Fatalf("DecodeProperties(% x): %v", p.Properties, err)
		}
		if p.HasExpiry {
			props.SetMessageExpiry(p.MessageExpiry)
		}
		if p.HasAlias {
			props.TopicAlias = p.TopicAlias
			props.Mark(PropTopicAlias)
		}
		props.SubscriptionIDs = p.SubscriptionIDs
		return props
	}
	t.Fatalf("no properties in %T", p)
	return Properties{}
}

// case P11: every property in every packet, once, twice, zero, bad, cut short.
func TestPropertyMatrix(t *testing.T) {
	for _, row := range propRows {
		for _, typ := range carriers {
			name := row.id.String() + " in " + typ.String()
			one := append([]byte{byte(row.id)}, unhex(t, row.sample)...)
			if row.id == PropAuthData { // needs its companion to be legal
				one = append(one, unhex(t, "15 'm'")...)
			}
			p, err := Decode(V50, carry(t, typ, one))

			allowed := false
			for _, in := range row.in {
				allowed = allowed || in == typ
			}
			if !allowed {
				if err == nil {
					t.Errorf("%s: accepted", name)
				} else {
					wantCode(t, err, ProtocolError)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			props := propertiesOf(t, typ, p)
			if !props.Has(row.id) {
				t.Errorf("%s: Has is false", name)
			}
			again, err := Decode(V50, frame(t, p.Append(nil, V50)))
			if err != nil {
				t.Errorf("%s: decoding what was encoded: %v", name, err)
			} else if diff := cmp.Diff(p, again, same); diff != "" {
				t.Errorf("%s: round trip (-want +got):\n%s", name, diff)
			}

			_, err = Decode(V50, carry(t, typ, append(bytes.Clone(one), one...)))
			if row.id == PropUser || row.id == PropSubscriptionID && typ == TypePublish {
				if err != nil {
					t.Errorf("%s twice: %v", name, err)
				}
			} else {
				wantCode(t, err, ProtocolError)
			}
			if row.id != PropAuthData {
				p, err = Decode(V50, carry(t, typ, append([]byte{byte(row.id)}, unhex(t, row.zero)...)))
				switch {
				case !row.zeroAllowed:
					wantCode(t, err, ProtocolError)
				case err != nil:
					t.Errorf("%s zero: %v", name, err)
				default:
					if props := propertiesOf(t, typ, p); !props.Has(row.id) {
						t.Errorf("%s zero: Has is false", name)
					}
				}
			}
			if row.bad != "" {
				_, err = Decode(V50, carry(t, typ, append([]byte{byte(row.id)}, unhex(t, row.bad)...)))
				wantCode(t, err, ProtocolError, MalformedPacket)
			}
			sample := one[:1+len(unhex(t, row.sample))]
			for n := 1; n < len(sample); n++ {
				_, err = Decode(V50, carry(t, typ, sample[:n]))
				wantCode(t, err, MalformedPacket)
			}
		}
	}
}

// case P11: identifiers that are no property, in every packet.
func TestUnknownProperties(t *testing.T) {
	known := map[PropID]bool{}
	for _, row := range propRows {
		known[row.id] = true
	}
	for i := range 256 {
		if known[PropID(i)] {
			continue
		}
		for _, typ := range carriers {
			_, err := Decode(V50, carry(t, typ, []byte{byte(i), 0, 0, 0, 0}))
			if err == nil {
				t.Errorf("property %d in %v: accepted", i, typ)
			} else {
				wantCode(t, err, MalformedPacket)
			}
		}
	}
}

// case P12: User Properties up to the limit, one more, very many.
func TestUserPropertyLimit(t *testing.T) {
	pair := unhex(t, "26 'k' 'v'")
	for _, typ := range carriers {
		p, err := Decode(V50, carry(t, typ, bytes.Repeat(pair, MaxUserProperties)))
		if err != nil {
			t.Errorf("%v: %v", typ, err)
		} else if props := propertiesOf(t, typ, p); len(props.User) != MaxUserProperties {
			t.Errorf("%v: %d User Properties", typ, len(props.User))
		}
		for _, n := range []int{MaxUserProperties + 1, 100_000} {
			_, err = Decode(V50, carry(t, typ, bytes.Repeat(pair, n)))
			wantCode(t, err, QuotaExceeded)
		}
	}
}

func TestAuthDataNeedsMethod(t *testing.T) {
	for _, typ := range []Type{TypeConnect, TypeConnack, TypeAuth} {
		_, err := Decode(V50, carry(t, typ, unhex(t, "16 0000")))
		wantCode(t, err, ProtocolError)
	}
}

func TestDecodeProperties(t *testing.T) {
	for _, bad := range []string{"ff", "26 'k'", "01", "0101 0100", "11 00000000"} {
		if p, err := DecodeProperties(unhex(t, bad)); err == nil || !p.Equal(Properties{}) {
			t.Errorf("DecodeProperties(%s) = %+v, %v", bad, p, err)
		}
	}
	var p Properties
	p.SetWillDelay(3) // not forwarded
	p.SetMessageExpiry(9)
	p.SetContentType("")
	p.SetResponseTopic("r")
	p.SetCorrelationData([]byte("c"))
	p.SetPayloadFormat(0)
	p.AddUser("b", "1")
	p.AddUser("a", "2")
	got, err := DecodeProperties(p.AppendForward(nil))
	if err != nil {
		t.Fatal(err)
	}
	p.Clear(PropWillDelay, PropMessageExpiry)
	if !got.Equal(p) {
		t.Errorf("got %+v, want %+v", got, p)
	}
}

// Every property: absent, assigned, marked, cleared; and Equal sees it.
func TestPresence(t *testing.T) {
	for _, row := range propRows {
		typ := row.in[0]
		one := append([]byte{byte(row.id)}, unhex(t, row.sample)...)
		if row.id == PropAuthData {
			one = append(one, unhex(t, "15 'm'")...)
		}
		p, err := Decode(V50, carry(t, typ, one))
		if err != nil {
			t.Fatal(err)
		}
		var none Properties
		props := propertiesOf(t, typ, p)
		if none.Has(row.id) || !props.Has(row.id) || props.Equal(none) {
			t.Errorf("%v: presence after decoding is wrong", row.id)
		}
		props.Clear(row.id, PropAuthMethod)
		if props.Has(row.id) || !props.Equal(none) {
			t.Errorf("%v: still there after Clear: %+v", row.id, props)
		}
		props.Mark(row.id)
		slice := row.id == PropUser || row.id == PropSubscriptionID
		if props.Has(row.id) == slice {
			t.Errorf("%v: Has after Mark = %v", row.id, !slice)
		}
		if !row.id.ValidIn(TypeConnack) != !contains(row.in, TypeConnack) || row.id.ValidInWill() != contains(row.in, will) {
			t.Errorf("%v: ValidIn is wrong", row.id)
		}
	}
	var p Properties
	p.Mark(0, 7, 255)
	p.Clear(7, 255)
	if p.Has(0) || p.Has(7) || p.Has(255) || !p.Equal(Properties{}) || PropID(7).ValidIn(TypeConnect) {
		t.Error("identifiers that are no property leave traces")
	}
	if p = (Properties{SessionExpiry: 1, User: []UserProperty{{}}}); !p.Has(PropSessionExpiry) || !p.Has(PropUser) {
		t.Error("assigned fields are not present")
	}
}

func contains(in []Type, t Type) bool {
	for _, x := range in {
		if x == t {
			return true
		}
	}
	return false
}

// Properties that a packet may not carry are left out, and what is too long is
// cut so that the packet stays well-formed.
func TestEncodeSafely(t *testing.T) {
	var p Properties
	p.SetServerKeepAlive(1)
	p.SetReasonString(strings.Repeat("a", 65_534) + "é")
	p.SetAuthData(make([]byte, 70_000))
	p.SetAuthMethod("m")
	for _, packet := range []Packet{
		&Connect{Version: V50, Properties: p}, &Connack{Properties: p}, &Ack{Type: TypePuback, PacketID: 1, Properties: p},
		&Subscribe{PacketID: 1, Subscriptions: make([]Subscription, 1), Properties: p}, &Suback{PacketID: 1, Properties: p},
		&Unsubscribe{PacketID: 1, Filters: make([]string, 1), Properties: p}, &Unsuback{PacketID: 1, Properties: p},
		&Disconnect{Properties: p}, &Auth{Properties: p},
	} {
		got, err := Decode(V50, frame(t, packet.Append(nil, V50)))
		if err != nil {
			t.Errorf("%v: %v", packet.Kind(), err)
			continue
		}
		props := propertiesOf(t, packet.Kind(), got)
		if n := len(props.ReasonString); n != 0 && n != 65_534 {
			t.Errorf("%v: Reason String of %d bytes", packet.Kind(), n)
		}
		if n := len(props.AuthData); n != 0 && n != 65_535 {
			t.Errorf("%v: Authentication Data of %d bytes", packet.Kind(), n)
		}
	}
}
