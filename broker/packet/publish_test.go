package packet_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "hearthmq/broker/packet"
)

func TestPublishRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		version Version
		hex     string
		code    ReasonCode
	}{
		{"QoS 3", V311, "36 06 'a' 0001 00", MalformedPacket}, // case P15
		{"QoS 3", V50, "36 06 'a' 0001 00", MalformedPacket},
		{"QoS 3", V31, "36 06 'a' 0001 00", MalformedPacket},
		{"DUP with QoS 0", V311, "38 03 'a'", MalformedPacket},
		{"DUP with QoS 0", V50, "38 04 'a' 00", MalformedPacket},
		{"Packet Identifier 0", V31, "32 05 'a' 0000", ProtocolError}, // case P16
		{"Packet Identifier 0", V311, "32 05 'a' 0000", ProtocolError},
		{"Packet Identifier 0", V50, "34 06 'a' 0000 00", ProtocolError},
		{"empty topic", V31, "30 02 ''", MalformedPacket}, // case P6
		{"empty topic", V311, "30 02 ''", MalformedPacket},
		{"empty topic", V50, "30 03 '' 00", ProtocolError},
		{"+", V311, "30 05 'a/+'", TopicNameInvalid}, // case P10
		{"#", V31, "30 03 '#'", TopicNameInvalid},
		{"# far behind", V50, "30 0e '012345678/#' 00", TopicNameInvalid},
		{"+ in a long word", V50, "30 13 '01234567+9abcdef' 00", TopicNameInvalid},
		{"NUL", V311, "30 03 0001 00", MalformedPacket}, // case P8
		{"wildcard in Response Topic", V50, "30 0b 'a' 06 08 'b/#' 78", ProtocolError},
		{"Property Length past the end", V50, "30 04 'a' 05", MalformedPacket},
		{"Property Length not minimal", V50, "30 05 'a' 8000", MalformedPacket}, // case P4
		{"Property Length of five bytes", V50, "30 08 'a' 8080808001", MalformedPacket},
	} {
		t.Run(c.name+"/"+c.version.String(), func(t *testing.T) {
			var p Publish
			wantCode(t, p.Decode(c.version, frame(t, unhex(t, c.hex))), c.code)
		})
	}
}

func TestPublishTolerated(t *testing.T) {
	for _, c := range []struct {
		name    string
		version Version
		hex     string
		want    Publish
	}{
		{"3.1: DUP with QoS 0", V31, "38 03 'a'", Publish{Dup: true, Topic: []byte("a")}}, // case P15
		{"alias 0 is the broker's to refuse", V50, "30 07 'a' 03 23 0000", Publish{Topic: []byte("a"), HasAlias: true}},
		{"control characters, U+FFFF and BOM", V311, "30 09 0007 01 efbfbf efbbbf", Publish{Topic: []byte("\x01\uffff\ufeff")}},          // case P8
		{"text that is none", V50, "30 07 'a' 02 0101 ff", Publish{Topic: []byte("a"), Payload: []byte{0xFF}, Properties: []byte{1, 1}}}, // case P9
		{"$-topic", V311, "30 06 '$S/x'", Publish{Topic: []byte("$S/x")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Publish
			if err := p.Decode(c.version, frame(t, unhex(t, c.hex))); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, p, same); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A reused Publish carries nothing over, and forwardable properties keep their
// order and bytes wherever the others stand between them.
func TestPublishReuse(t *testing.T) {
	const (
		user1, user2 = "26 'a' '1'", "26 'b' '2'"
		expiry       = "02 00000005"
		alias        = "23 0003"
		subID        = "0b 07"
		format       = "01 01"
		content      = "03 'ct'"
	)
	var p Publish
	for _, c := range []struct {
		name, props, forward string
		aliased              bool
	}{
		{"none", "", "", true},
		{"one", user1, user1, true},
		{"one run behind", expiry + " " + alias + " " + user1 + " " + format, user1 + " " + format, true},
		{"one run before", user1 + " " + format + " " + expiry, user1 + " " + format, true},
		{"one run between", subID + " " + user1 + " " + content + " " + alias, user1 + " " + content, true},
		{"two runs", user1 + " " + expiry + " " + user2, user1 + " " + user2, false},
		{"three runs", user1 + " " + expiry + " " + user2 + " " + content + " " + alias + " " + format,
			user1 + " " + user2 + " " + content + " " + format, false},
		{"nothing to forward", expiry + " " + alias + " " + subID, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := carry(t, TypePublish, unhex(t, c.props))
			if err := p.Decode(V50, f); err != nil {
				t.Fatal(err)
			}
			if want := unhex(t, c.forward); !bytes.Equal(p.Properties, want) {
				t.Errorf("Properties = % x, want % x", p.Properties, want)
			}
			var fresh Publish
			if err := fresh.Decode(V50, f); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fresh, p, same); diff != "" {
				t.Errorf("reused differs from fresh:\n%s", diff)
			}
			if len(p.Properties) > 0 {
				before := p.Properties[0]
				for i := range f.Body {
					f.Body[i] ^= 0xFF
				}
				if aliased := p.Properties[0] != before; aliased != c.aliased {
					t.Errorf("aliases the frame: %v", aliased)
				}
			}
		})
	}
}

// Appending to a decoded part must not write into the frame behind it.
func TestPublishCapacity(t *testing.T) {
	f := frame(t, unhex(t, "32 0f 'a' 0001 06 26 'a' '' 787878"))
	want := bytes.Clone(f.Raw)
	var p Publish
	if err := p.Decode(V50, f); err != nil {
		t.Fatal(err)
	}
	_ = append(p.Topic, "overflow"...)
	_ = append(p.Properties, "overflow"...)
	_ = append(p.Payload, "overflow"...)
	if !bytes.Equal(f.Raw, want) {
		t.Errorf("frame became % x", f.Raw)
	}
}

func TestPublishSizes(t *testing.T) {
	for _, n := range []int{0, 1, 100, 122, 123, 124, 127, 128, 16_370, 16_383, 16_384, 2_097_140, 2_097_152} {
		for _, v := range []Version{V31, V311, V50} {
			for qos := range byte(3) {
				p := Publish{QoS: qos, PacketID: 9, Topic: []byte("a/b"), Payload: make([]byte, n), HasExpiry: true, SubscriptionIDs: []uint32{300}}
				if qos == 0 {
					p.PacketID = 0
				}
				b := AppendPublish(nil, v, &p)
				if len(b) != PublishSize(v, &p) {
					t.Fatalf("PublishSize(%v, QoS %d, %d bytes) = %d, encoded %d", v, qos, n, PublishSize(v, &p), len(b))
				}
				var q Publish
				if err := q.Decode(v, frame(t, b)); err != nil {
					t.Fatal(err)
				}
				if v != V50 {
					p.HasExpiry, p.SubscriptionIDs = false, nil
				}
				if !bytes.Equal(p.Payload, q.Payload) { // cmp takes seconds for megabytes
					t.Fatal("payload differs")
				}
				p.Payload, q.Payload = nil, nil
				if diff := cmp.Diff(p, q, same); diff != "" {
					t.Fatal(diff)
				}
				at := PacketIDOffset(v, b)
				if qos == 0 && at != -1 || qos > 0 && binary.BigEndian.Uint16(b[at:]) != 9 {
					t.Errorf("PacketIDOffset(%v, QoS %d, %d bytes) = %d", v, qos, n, at)
				}
			}
		}
	}
}

// [MQTT-2.2.1-2] [MQTT-3.3.1-2]: what QoS 0 does not have is not written.
func TestPublishQoS0(t *testing.T) {
	b := AppendPublish(nil, V311, &Publish{Dup: true, PacketID: 5, Topic: []byte("a")})
	if !bytes.Equal(b, unhex(t, "30 03 'a'")) {
		t.Errorf("encoded % x", b)
	}
}

func TestPacketIDOffsetBroken(t *testing.T) {
	whole := AppendPublish(nil, V311, &Publish{QoS: 1, PacketID: 5, Topic: []byte("a")})
	for n := range whole {
		if at := PacketIDOffset(V311, whole[:n]); at != -1 {
			t.Errorf("PacketIDOffset of %d bytes = %d", n, at)
		}
	}
	for _, b := range [][]byte{{0x40, 2, 0, 1}, {0x32, 0x80, 0x80, 0x80, 0x80, 1, 0, 0}, {0x30, 3, 0, 1, 'a'}} {
		if at := PacketIDOffset(V311, b); at != -1 {
			t.Errorf("PacketIDOffset(% x) = %d", b, at)
		}
	}
}
