package packet_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	. "hearthmq/broker/packet"
)

var same = cmp.Options{cmpopts.IgnoreUnexported(Publish{}), cmpopts.EquateEmpty()}

// raw returns the frame of a packet with the given first byte and body.
func raw(first byte, body []byte) Frame {
	b := []byte{first}
	for n := len(body); ; {
		if n < 0x80 {
			b = append(b, byte(n))
			break
		}
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	head := len(b)
	b = append(b, body...)
	return Frame{First: first, Body: b[head:], Raw: b}
}

// frame splits the only packet off b.
func frame(t testing.TB, b []byte) Frame {
	t.Helper()
	f, n, _, err := Split(b, 0)
	if err != nil || n != len(b) {
		t.Fatalf("Split(% x) = %d of %d bytes, %v", b, n, len(b), err)
	}
	return f
}

// wantCode fails unless err is an *Error with one of the codes.
func wantCode(t testing.TB, err error, codes ...ReasonCode) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || !slices.Contains(codes, e.Code) {
		t.Errorf("error %v, want one of %v", err, codes)
	}
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			b := unhex(t, v.hex)
			got, err := Decode(v.version, frame(t, b))
			if err != nil {
				t.Fatalf("Decode: %v", err)
			}
			if diff := cmp.Diff(v.packet, got, same); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
			if got.Kind() != Type(b[0]>>4) {
				t.Errorf("Kind = %v", got.Kind())
			}
			out := v.packet.Append([]byte("before"), v.version)
			if string(out[:6]) != "before" {
				t.Fatalf("Append overwrote dst: %q", out[:6])
			}
			if diff := cmp.Diff(hex.Dump(b), hex.Dump(out[6:])); diff != "" {
				t.Errorf("Append (-want +got):\n%s", diff)
			}
		})
	}
}

// case P3: every packet cut at every offset, once as the stream's end and once
// with the Remaining Length telling the shorter length.
func TestTruncated(t *testing.T) {
	for _, v := range vectors {
		b := unhex(t, v.hex)
		for i := range b {
			f, n, _, err := Split(b[:i:i], 0)
			if n != 0 || err != nil {
				t.Errorf("%s: Split of %d bytes = %v, %d, %v", v.name, i, f, n, err)
			}
		}
		body := frame(t, b).Body
		for n := range body {
			f := raw(b[0], slices.Clone(body[:n:n]))
			_, err := Decode(v.version, f)
			legal := slices.Contains(v.ok, n) || v.okFrom > 0 && n >= v.okFrom
			if legal && err != nil {
				t.Errorf("%s cut to %d: %v", v.name, n, err)
			}
			if !legal && err == nil {
				t.Errorf("%s cut to %d: accepted", v.name, n)
			}
			if err != nil {
				wantCode(t, err, MalformedPacket, ProtocolError)
			}
		}
	}
}

// Bytes behind the last field are refused, except where they are payload or codes.
func TestTrailing(t *testing.T) {
	for _, v := range vectors {
		b := unhex(t, v.hex)
		switch v.packet.Kind() {
		case TypePublish, TypeSuback:
			continue
		case TypePuback, TypePubrec, TypePubrel, TypePubcomp, TypeUnsuback, TypeDisconnect, TypeAuth:
			if v.version == V50 { // optional parts make a shorter packet of it
				continue
			}
		}
		_, err := Decode(v.version, raw(b[0], append(slices.Clone(frame(t, b).Body), 0)))
		if err == nil {
			t.Errorf("%s with a byte more: accepted", v.name)
		}
	}
}

// case P15: every combination of the reserved flags of every packet.
func TestFlags(t *testing.T) {
	for _, v := range vectors {
		b := unhex(t, v.hex)
		typ := v.packet.Kind()
		if typ == TypePublish {
			continue
		}
		for flags := range byte(16) {
			_, err := Decode(v.version, raw(b[0]&0xF0|flags, frame(t, b).Body))
			ok := flags == b[0]&0x0F
			if v.version == V31 {
				ok = true
				if typ == TypeSubscribe || typ == TypeUnsubscribe {
					ok = flags&0x06 == 0x02
				}
			}
			if ok && err != nil {
				t.Errorf("%s with flags %04b: %v", v.name, flags, err)
			}
			if !ok {
				wantCode(t, err, MalformedPacket)
			}
		}
	}
}

// case P13: type 0 everywhere, AUTH before MQTT 5.
func TestTypes(t *testing.T) {
	for flags := range byte(16) {
		_, err := Decode(V50, raw(flags, nil))
		wantCode(t, err, MalformedPacket)
		_, _, _, err = Split([]byte{flags}, 0)
		wantCode(t, err, MalformedPacket)
	}
	for _, v := range []Version{V31, V311} {
		_, err := Decode(v, raw(0xF0, nil))
		wantCode(t, err, MalformedPacket)
	}
}

// Each Decode method refuses frames of the other types.
func TestWrongType(t *testing.T) {
	packets := []Packet{&Connect{}, &Connack{}, &Subscribe{}, &Suback{}, &Unsubscribe{}, &Unsuback{}, &Pingreq{}, &Pingresp{}, &Disconnect{}, &Auth{}}
	for _, p := range packets {
		for typ := TypeConnect; typ <= TypeAuth; typ++ {
			if typ == p.Kind() {
				continue
			}
			if err := p.Decode(V50, raw(byte(typ)<<4, []byte{0, 1, 0})); err == nil {
				t.Errorf("%T accepts %v", p, typ)
			}
		}
	}
	_, _, err := DecodeAck(V50, raw(0x90, []byte{0, 1}))
	wantCode(t, err, ProtocolError)
}

// case P5: each two-byte length inside each packet set past the end.
func TestInnerLengths(t *testing.T) {
	for _, v := range vectors {
		body := frame(t, unhex(t, v.hex)).Body
		for i := 0; i+1 < len(body); i++ {
			bad := slices.Clone(body)
			bad[i], bad[i+1] = 0xFF, 0xFF
			_, _ = Decode(v.version, raw(unhex(t, v.hex)[0], bad)) // whatever it says, it must not panic
		}
	}
	for _, c := range []struct {
		v    Version
		hex  string
		name string
	}{
		{V311, "30 02 0001", "topic longer than the body"},
		{V311, "30 03 0005 61", "topic longer than the body"},
		{V311, "32 04 'a' 00", "no room for the Packet Identifier"},
		{V50, "30 04 'a' 01", "Property Length longer than the body"},
		{V50, "30 05 'a' 80 80", "Property Length not finished"},
		{V50, "82 07 00 01 00 00 02 61 62", "SUBSCRIBE without its options"},
	} {
		_, err := Decode(c.v, frame(t, unhex(t, c.hex)))
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		wantCode(t, err, MalformedPacket)
	}
}

func TestTypeString(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{TypeConnect.String(), "CONNECT"}, {TypeAuth.String(), "AUTH"}, {Type(16).String(), "type 16"},
		{V31.String(), "3.1"}, {V311.String(), "3.1.1"}, {V50.String(), "5.0"}, {Version(9).String(), "level 9"},
		{(&Error{Code: ProtocolError, Msg: "no"}).Error(), "no (Protocol Error, 0x82)"},
		{PropReceiveMaximum.String(), "Receive Maximum"}, {PropID(7).String(), "property 7"}, {PropID(255).String(), "property 255"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func ExampleDecode() {
	f, _, _, _ := Split([]byte{0x40, 2, 0, 9}, 0)
	p, _ := Decode(V311, f)
	fmt.Println(p.Kind(), p.(*Ack).PacketID)
	// Output: PUBACK 9
}
