package packet_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "hearthmq/broker/packet"
)

func TestSubscribeRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		version Version
		hex     string
		code    ReasonCode
	}{
		{"Packet Identifier 0", V31, "82 06 0000 'a' 00", ProtocolError}, // case P16
		{"Packet Identifier 0", V311, "82 06 0000 'a' 00", ProtocolError},
		{"Packet Identifier 0", V50, "82 07 0000 00 'a' 00", ProtocolError},
		{"no filter", V311, "82 02 0001", ProtocolError},
		{"no filter", V50, "82 03 0001 00", ProtocolError},
		{"no options", V50, "82 06 0001 00 'a'", MalformedPacket},
		{"no options behind the second", V50, "82 07 00 01 00 00 02 61 62", MalformedPacket},
		{"NUL", V311, "82 06 0001 0001 00 00", MalformedPacket},                         // case P8
		{"No Local, shared", V50, "82 10 0001 00 '$share/g/x' 04", ProtocolError},       // case P27
		{"Subscription Identifier 0", V50, "82 09 0001 02 0b 00 'a' 00", ProtocolError}, // case P29
		{"Subscription Identifier twice", V50, "82 0b 0001 04 0b 01 0b 02 'a' 00", ProtocolError},
		{"unsubscribe: Packet Identifier 0", V311, "a2 05 0000 'a'", ProtocolError},
		{"unsubscribe: no filter", V311, "a2 02 0001", ProtocolError},
		{"unsubscribe: no filter", V50, "a2 03 0001 00", ProtocolError},
		{"unsubscribe: bad UTF-8", V311, "a2 05 0001 0001 80", MalformedPacket},
		{"SUBACK with 3", V311, "90 03 0001 03", ProtocolError},
		{"SUBACK with a code of MQTT 5", V311, "90 03 0001 87", ProtocolError},
		{"SUBACK, Packet Identifier 0", V311, "90 03 0000 00", ProtocolError},
	} {
		t.Run(c.name+"/"+c.version.String(), func(t *testing.T) {
			_, err := Decode(c.version, frame(t, unhex(t, c.hex)))
			wantCode(t, err, c.code)
		})
	}
}

// Every Subscription Options byte in every version.
func TestSubscriptionOptions(t *testing.T) {
	for i := range 256 {
		o := byte(i)
		for _, v := range []Version{V31, V311, V50} {
			body := []byte{0, 1, 0, 0, 1, 'a', o}
			if v != V50 {
				body = append([]byte{0, 1}, body[3:]...)
			}
			p, err := Decode(v, raw(0x82, body))
			if ok := o&3 != 3 && (o < 3 || v == V50 && o < 0x30); !ok {
				if err == nil {
					t.Errorf("options %08b on %v: accepted", o, v)
				}
				continue
			}
			if err != nil {
				t.Errorf("options %08b on %v: %v", o, v, err)
				continue
			}
			want := Subscription{Filter: "a", QoS: o & 3, NoLocal: o&4 != 0, RetainAsPublished: o&8 != 0, RetainHandling: o >> 4}
			if diff := cmp.Diff(want, p.(*Subscribe).Subscriptions[0]); diff != "" {
				t.Error(diff)
			}
			if b := p.Append(nil, v); b[len(b)-1] != o {
				t.Errorf("options %08b on %v: encoded %08b", o, v, b[len(b)-1])
			}
		}
	}
}

// case P30: many filters are fine, too many cost nothing.
func TestManyFilters(t *testing.T) {
	for _, n := range []int{1000, MaxFilters, MaxFilters + 1, 65_000} {
		sub, unsub := Subscribe{PacketID: 1}, Unsubscribe{PacketID: 1}
		for i := range n {
			filter := fmt.Sprintf("home/%d/#", i)
			sub.Subscriptions = append(sub.Subscriptions, Subscription{Filter: filter, QoS: 1})
			unsub.Filters = append(unsub.Filters, filter)
		}
		for _, p := range []Packet{&sub, &unsub} {
			f := frame(t, p.Append(nil, V50))
			var err error
			if n <= MaxFilters {
				var got Packet
				if got, err = Decode(V50, f); err != nil {
					t.Errorf("%d filters: %v", n, err)
				} else if !bytes.Equal(got.Append(nil, V50), f.Raw) {
					t.Errorf("%d filters: another packet came out", n)
				}
				continue
			}
			if used := allocated(func() { _, err = Decode(V50, f) }); used > 4096 {
				t.Errorf("refusing %d filters allocated %d bytes", n, used)
			}
			wantCode(t, err, QuotaExceeded)
		}
	}
}

// On MQTT 3 there is one failure, and UNSUBACK has no codes.
func TestSubackOld(t *testing.T) {
	codes := []ReasonCode{GrantedQoS1, NotAuthorized, TopicFilterInvalid}
	if diff := cmp.Diff(unhex(t, "90 05 0001 01 80 80"), (&Suback{PacketID: 1, Codes: codes}).Append(nil, V311)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(unhex(t, "b0 02 0001"), (&Unsuback{PacketID: 1, Codes: codes}).Append(nil, V311)); diff != "" {
		t.Error(diff)
	}
}
