package packet_test

import (
	"testing"

	. "hearthmq/broker/packet"
)

// The hot path allocates nothing once its slices have grown.
func TestAllocations(t *testing.T) {
	dst := make([]byte, 0, 4096)
	measure := func(name string, f func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	for _, v := range vectors {
		f := frame(t, unhex(t, v.hex))
		switch v.packet.Kind() {
		case TypePublish:
			var p Publish
			measure(v.name+" decode", func() {
				if err := p.Decode(v.version, f); err != nil {
					t.Error(err)
				}
			})
			measure(v.name+" encode", func() { dst = AppendPublish(dst[:0], v.version, &p) })
			measure(v.name+" size", func() { PublishSize(v.version, &p); PacketIDOffset(v.version, f.Raw) })
		case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
			measure(v.name+" decode", func() {
				id, code, err := DecodeAck(v.version, f)
				if err != nil {
					t.Error(err)
				}
				dst = AppendAck(dst[:0], v.version, f.Type(), id, code)
			})
		case TypePingreq:
			measure(v.name, func() {
				if err := DecodeEmpty(f); err != nil {
					t.Error(err)
				}
				dst = AppendPingresp(AppendPingreq(dst[:0]))
			})
		}
		measure(v.name+" split", func() {
			if _, _, _, err := Split(f.Raw, 0); err != nil {
				t.Error(err)
			}
		})
	}
	// Scattered properties use the scratch buffer, violations shared errors.
	var p Publish
	scattered := carry(t, TypePublish, unhex(t, "26 'a' '1' 02 00000005 26 'b' '2' 0b 07"))
	measure("scattered properties", func() {
		if err := p.Decode(V50, scattered); err != nil {
			t.Error(err)
		}
	})
	bad := frame(t, unhex(t, "30 05 'a/+'"))
	measure("refusal", func() {
		if p.Decode(V311, bad) == nil {
			t.Error("accepted")
		}
	})
}

var benchTopic = []byte("zigbee2mqtt/living_room/sensor")

func benchPublish(v Version) *Publish {
	p := &Publish{QoS: 1, PacketID: 77, Topic: benchTopic, Payload: make([]byte, 120)}
	if v == V50 {
		p.HasExpiry, p.MessageExpiry = true, 3600
		p.Properties = append([]byte{byte(PropPayloadFormat), 1, byte(PropContentType), 0, 16}, "application/json"...)
	}
	return p
}

func BenchmarkPublishDecode(b *testing.B) {
	for _, v := range []Version{V311, V50} {
		b.Run(v.String(), func(b *testing.B) {
			raw := AppendPublish(nil, v, benchPublish(v))
			var p Publish
			b.ReportAllocs()
			for b.Loop() {
				f, _, _, err := Split(raw, 0)
				if err == nil {
					err = p.Decode(v, f)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPublishEncode(b *testing.B) {
	for _, v := range []Version{V311, V50} {
		b.Run(v.String(), func(b *testing.B) {
			p, dst := benchPublish(v), make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendPublish(dst[:0], v, p)
			}
		})
	}
}

func BenchmarkAck(b *testing.B) {
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendAck(dst[:0], V50, TypePuback, 77, NoMatchingSubscribers)
		f, _, _, _ := Split(dst, 0)
		if _, _, err := DecodeAck(V50, f); err != nil {
			b.Fatal(err)
		}
	}
}

// case P12: the time for many User Properties is linear in their number.
func BenchmarkUserProperties(b *testing.B) {
	props := unhex(b, "26 'key' 'value'")
	for range 5 {
		props = append(props, props...)
	}
	f := carry(b, TypePublish, props)
	var p Publish
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Decode(V50, f); err != nil {
			b.Fatal(err)
		}
	}
}
