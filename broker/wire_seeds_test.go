package broker_test

import (
	"flag"
	"fmt"
	"slices"
	"testing/synctest"

	"hearthmq/broker/packet"
)

func runFlag() string {
	f := flag.Lookup("test.run")
	if f == nil {
		return ""
	}
	return f.Value.String()
}

// seed is a sound packet of a client with the answer to it. cuts are the lengths of
// its body at which it is sound when it ends there, with the answers; whatever else
// is cut off makes it malformed, except where other says so.
type seed struct {
	name   string
	packet string
	answer string
	cuts   map[int]string
	from   int // every length from here on is sound, with the same answer; 0: none
}

func seeds(v packet.Version) []seed {
	if v == packet.V50 {
		return []seed{
			{name: "PUBLISH QoS 0", packet: `30{"a/b" {0101 020000003c 03"t" 08"r" 09<ff00> 26"k""v"} 'xyz'}`, from: 5 + 1 + 27}, // [MQTT-3.3.2-1]
			{name: "PUBLISH QoS 1", packet: `32{"a/b" 0007 {26"k""v"} 'xyz'}`, answer: "40{000710}", from: 7 + 1 + 7},
			{name: "PUBLISH QoS 2", packet: `34{"a/b" 0007 {26"k""v"} 'xyz'}`, answer: "50{000710}", from: 7 + 1 + 7},
			{name: "PUBACK", packet: `40{0001 00 {1f"x" 26"k""v"}}`, cuts: map[int]string{2: "", 3: ""}},
			{name: "PUBREC", packet: `50{0001 00 {1f"x" 26"k""v"}}`, answer: "62{000192}", cuts: map[int]string{2: "62{000192}", 3: "62{000192}"}},
			{name: "PUBREL", packet: `62{0001 00 {1f"x" 26"k""v"}}`, answer: "70{000192}", cuts: map[int]string{2: "70{000192}", 3: "70{000192}"}},
			{name: "PUBCOMP", packet: `70{0001 00 {1f"x" 26"k""v"}}`, cuts: map[int]string{2: "", 3: ""}},
			{name: "SUBSCRIBE", packet: `82{0001 {0b05 26"k""v"} "a/+" 01 "b" 2e}`, answer: "90{0001 00 01 02}",
				cuts: map[int]string{12: "e00182X", 18: "90{0001 00 01}"}}, // [MQTT-3.8.3-2]
			{name: "UNSUBSCRIBE", packet: `a2{0001 {26"k""v"} "a/+" "b"}`, answer: "b0{0001 00 11 11}",
				cuts: map[int]string{10: "e00182X", 15: "b0{0001 00 11}"}}, // [MQTT-3.10.3-2]
			{name: "PINGREQ", packet: `c0{}`, answer: "d000"},
			{name: "DISCONNECT", packet: `e0{00 {1100000000 1f"x" 26"k""v"}}`, answer: "X", cuts: map[int]string{0: "X", 1: "X"}},
			{name: "AUTH", packet: `f0{18 {15"m" 16<00ff> 26"k""v"}}`, answer: "e00182X", cuts: map[int]string{0: "e00182X", 1: "e00182X"}},
		}
	}
	noFilters := func(answer string) string {
		if v == packet.V31 { // 3.1 does not forbid it
			return answer
		}
		return "X"
	}
	return []seed{
		{name: "PUBLISH QoS 0", packet: `30{"a/b" 'xyz'}`, from: 5},
		{name: "PUBLISH QoS 1", packet: `32{"a/b" 0007 'xyz'}`, answer: "40{0007}", from: 7},
		{name: "PUBLISH QoS 2", packet: `34{"a/b" 0007 'xyz'}`, answer: "50{0007}", from: 7},
		{name: "PUBACK", packet: `40{0001}`},
		{name: "PUBREC", packet: `50{0001}`, answer: "62{0001}"},
		{name: "PUBREL", packet: `62{0001}`, answer: "70{0001}"},
		{name: "PUBCOMP", packet: `70{0001}`},
		{name: "SUBSCRIBE", packet: `82{0001 "a/+" 01 "b" 02}`, answer: "90{0001 01 02}",
			cuts: map[int]string{2: noFilters("90{0001}"), 8: "90{0001 01}"}},
		{name: "UNSUBSCRIBE", packet: `a2{0001 "a/+" "b"}`, answer: "b0{0001}",
			cuts: map[int]string{2: noFilters("b0{0001}"), 7: "b0{0001}"}},
		{name: "PINGREQ", packet: `c0{}`, answer: "d000"},
		{name: "DISCONNECT", packet: `e0{}`, answer: "X"},
	}
}

// fullConnect is a CONNECT with everything that it can have.
func fullConnect(v packet.Version) string {
	switch v {
	case packet.V31:
		return `10{"MQIsdp" 03 ee 003c "full" "will" <ff> "user" <70>}`
	case packet.V311:
		return `10{"MQTT" 04 ee 003c "full" "will" <ff> "user" <70>}`
	}
	return `10{"MQTT" 05 ee 003c {1100000000 1700 26"k""v"} "full" {1800000005 0101 020000000a 03"t" 08"r" 09<00> 26"k""v"} "will" <> "user" <70>}`
}

// case P3: every packet ends at every offset, its Remaining Length included.
func wireTruncated(x *wire) {
	for _, v := range wireVersionsAll {
		for _, s := range seeds(v) {
			whole := encode(v, s.packet)
			body := whole[2:] // all seeds are shorter than 128 bytes
			for n := range len(body) {
				want, sound := s.cuts[n]
				switch {
				case sound:
				case s.from > 0 && n >= s.from:
					want = s.answer
				default:
					want = bad(v, packet.MalformedPacket) // [MQTT-4.13.1-1]
				}
				x.one(v, fmt.Sprintf("%s cut to %d", s.name, n), append([]byte{whole[0], byte(n)}, body[:n]...), want)
			}
			x.one(v, s.name+" whole", whole, s.answer)
			if s.from == 0 { // a byte too many: malformed as well, or one of a next field that is cut off
				x.one(v, s.name+" and one byte", append([]byte{whole[0], byte(len(body) + 1)}, append(slices.Clone(body), 0)...), bad(v, packet.MalformedPacket))
			}
		}
		x.truncatedConnect(v)
	}
}

// [MQTT-3.1.4-1] [MQTT3-3.1.4-1] [MQTT-3.1.2-9] [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.3-1] [MQTT-3.1.3-3]
func (x *wire) truncatedConnect(v packet.Version) {
	whole := encode(v, fullConnect(v))
	head := 2
	body := whole[head:]
	known := 7 // from here on the version is known
	for n := range len(body) {
		want := badConnect(v, packet.MalformedPacket)
		switch {
		case n < known:
			want = "X"
		case v == packet.V31 && (n == len(body)-3 || n == len(body)-3-6): // before the password, before the user name
			want = accepted(v)
		}
		x.first(v, fmt.Sprintf("CONNECT cut to %d", n), append([]byte{0x10, byte(n)}, body[:n]...), want)
	}
	x.first(v, "CONNECT whole", whole, accepted(v))
	x.first(v, "CONNECT and one byte", append([]byte{0x10, byte(len(body) + 1)}, append(slices.Clone(body), 0)...), badConnect(v, packet.MalformedPacket))
}

// case P32: a packet that comes in two pieces, split at every offset, does the same. [MQTT-4.2-1]
func wireSplit(x *wire) {
	for _, v := range wireVersionsAll {
		for _, s := range seeds(v) {
			whole := encode(v, s.packet)
			for n := 1; n < len(whole); n++ {
				x.cases++
				l := x.connect(v)
				l.send(whole[:n])
				if got := l.take(); len(got) > 0 || l.isClosed() {
					x.Errorf("%s %s: answer % x to its first %d bytes", v, s.name, got, n)
				}
				l.send(whole[n:])
				l.check(fmt.Sprintf("%s split at %d", s.name, n), s.answer)
				l.end()
			}
			x.cases += 2
			l := x.connect(v)
			for _, b := range whole {
				l.send([]byte{b})
				synctest.Wait()
			}
			l.check(s.name+" byte by byte", s.answer)
			l.end()
			l = x.connect(v) // many in one piece
			var many []byte
			for range 3 {
				many = append(many, 0xC0, 0)
			}
			l.send(append(many, whole...))
			l.check(s.name+" behind others", "d000d000d000"+s.answer)
			l.end()
		}
		whole := encode(v, fullConnect(v))
		for n := 1; n < len(whole); n++ {
			x.cases++
			l := x.open(v)
			l.send(whole[:n])
			if got := l.take(); len(got) > 0 {
				x.Errorf("%s CONNECT: answer % x to its first %d bytes", v, got, n)
			}
			l.send(whole[n:])
			l.check(fmt.Sprintf("CONNECT split at %d", n), accepted(v))
			l.end()
		}
	}
}
