package broker_test

import (
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker/packet"
)

// case P15, P13: every packet type with every combination of the four flags.
func wireFlags(x *wire) {
	for _, v := range wireVersionsAll {
		for t := byte(0); t <= 15; t++ {
			for flags := byte(0); flags <= 15; flags++ {
				body, want := flagCase(v, packet.Type(t), flags)
				b := append([]byte{t<<4 | flags}, encode(v, "{"+body+"}")...)
				x.one(v, fmt.Sprintf("type %d flags %04b", t, flags), b, want)
			}
		}
	}
}

// flagCase is a sound body for the type, and what must come of it.
func flagCase(v packet.Version, t packet.Type, flags byte) (body, want string) {
	malformed, wrong := bad(v, packet.MalformedPacket), bad(v, packet.ProtocolError)
	fixed := func(need byte, sound string) string {
		ok := flags == need // [MQTT-2.1.3-1] [MQTT3-2.2.2-1] [MQTT3-2.2.2-2]
		if v == packet.V31 {
			switch t {
			case packet.TypeSubscribe, packet.TypeUnsubscribe:
				ok = flags&0x06 == 0x02
			default:
				ok = true
			}
		}
		if ok {
			return sound
		}
		return malformed
	}
	switch t {
	case 0:
		return "0000", malformed
	case packet.TypeConnect, packet.TypeConnack, packet.TypeSuback, packet.TypeUnsuback, packet.TypePingresp:
		return "0000", wrong
	case packet.TypePublish:
		qos, dup := flags>>1&3, flags&8 != 0
		body, ack := `"t" 0001 ~ 'x'`, ""
		switch {
		case qos == 3: // [MQTT-3.3.1-4]
			return body, malformed
		case qos == 0:
			body = `"t" ~ 'x'`
			if dup && v != packet.V31 { // [MQTT-3.3.1-2]
				return body, malformed
			}
		case qos == 1:
			ack = "40 {0001 5:10}"
		default:
			ack = "50 {0001 5:10}"
		}
		return body, ack
	case packet.TypePuback, packet.TypePubcomp:
		return "0001", fixed(0, "")
	case packet.TypePubrec:
		return "0001", fixed(0, "62{0001 5:92}")
	case packet.TypePubrel: // [MQTT-3.6.1-1]
		return "0001", fixed(2, "70{0001 5:92}")
	case packet.TypeSubscribe: // [MQTT-3.8.1-1]
		return `0001 ~ "a" 00`, fixed(2, "90{0001 ~ 00}")
	case packet.TypeUnsubscribe: // [MQTT-3.10.1-1]
		return `0001 ~ "a"`, fixed(2, "b0{0001 ~ 5:11}")
	case packet.TypePingreq: // [MQTT-3.12.4-1]
		return "", fixed(0, "d000")
	case packet.TypeDisconnect: // [MQTT-3.14.1-1]
		return "", fixed(0, "X")
	}
	if v != packet.V50 { // AUTH does not exist
		return "", "X"
	}
	if flags != 0 { // [MQTT-3.15.1-1]
		return "", malformed
	}
	return "", wrong
}

// host is a packet of a client that can carry properties. %s stands for them.
type host struct {
	letter byte
	text   string
	answer string // when they are sound
}

var hosts = []host{
	{'c', `10{"MQTT" 05 02 0000 {%s} "h"}`, accepted(packet.V50)},
	{'w', `10{"MQTT" 05 06 0000 00 "h" {%s} "will" <>}`, accepted(packet.V50)},
	{'p', `30{"t" {%s} 'x'}`, ""},
	{'a', `40{0001 00 {%s}}`, ""},
	{'r', `50{0001 00 {%s}}`, "62{000192}"},
	{'l', `62{0001 00 {%s}}`, "70{000192}"},
	{'m', `70{0001 00 {%s}}`, ""},
	{'s', `82{0001 {%s} "a" 00}`, "90{0001 00 00}"},
	{'u', `a2{0001 {%s} "a"}`, "b0{0001 00 11}"},
	{'d', `e0{00 {%s}}`, "X"},
	{'t', `f0{18 {%s}}`, "e00182X"}, // nothing is under way
}

// example is a property with a sound value, the packets of clients that may carry it
// (letters of hosts), and values that break its rules.
type example struct {
	id    byte
	value string
	where string
	wrong map[string]packet.ReasonCode
}

// The table of properties as the specification has it, written down anew: this
// suite does not ask package packet what is right.
var examples = []example{
	{0x01, "01", "pw", map[string]packet.ReasonCode{"02": 0x82, "ff": 0x82}},
	{0x02, "0000003c", "pw", nil},
	{0x03, `"text"`, "pw", map[string]packet.ReasonCode{"<c080>": 0x81, "<00>": 0x81}},
	{0x08, `"r/t"`, "pw", map[string]packet.ReasonCode{`"r/+"`: 0x82, `"#"`: 0x82, "<ff>": 0x81}}, // [MQTT-3.3.2-14] [MQTT-3.3.2-13]
	{0x09, "<00ff>", "pw", nil},
	{0x0B, "05", "s", map[string]packet.ReasonCode{"00": 0x82, "8000": 0x81, "ffffffff7f": 0x81}}, // [MQTT-3.3.4-6]
	{0x11, "00000000", "cd", nil},
	{0x12, `"id"`, "", nil},
	{0x13, "0010", "", nil},
	{0x15, `"m"`, "t", nil},
	{0x16, "<01>", "", nil}, // without a method
	{0x17, "01", "c", map[string]packet.ReasonCode{"02": 0x82}},
	{0x18, "0000000a", "w", nil},
	{0x19, "00", "c", map[string]packet.ReasonCode{"02": 0x82}}, // case P11
	{0x1A, `"r"`, "", nil},
	{0x1C, `"s"`, "", nil},
	{0x1F, `"why"`, "arlmdt", nil},
	{0x21, "0005", "c", map[string]packet.ReasonCode{"0000": 0x82}},
	{0x22, "0005", "c", nil},
	{0x23, "0001", "p", map[string]packet.ReasonCode{"0000": 0x94, "000b": 0x94, "ffff": 0x94}}, // [MQTT-3.3.2-8] [MQTT-3.3.2-9]
	{0x24, "01", "", nil},
	{0x25, "01", "", nil},
	{0x26, `"k""v"`, "cwparlmsudt", map[string]packet.ReasonCode{`<00>"v"`: 0x81, `"k"<ff>`: 0x81}}, // [MQTT-1.5.7-1]
	{0x27, "00000064", "c", map[string]packet.ReasonCode{"00000000": 0x82}},
	{0x28, "01", "", nil},
	{0x29, "01", "", nil},
	{0x2A, "01", "", nil},
}

// case P11: every property, and every number that is none, in every packet; twice;
// with its value cut off; with values that break its rules.
func wireProperties(x *wire) {
	known := map[byte]bool{}
	for _, e := range examples {
		known[e.id] = true
	}
	for _, h := range hosts {
		for _, e := range examples {
			x.property(h, e)
		}
		for id := 0; id <= 0xFF; id++ {
			if !known[byte(id)] && (id < 0x40 || id%16 == 0 || id == 0x7F || id == 0xFF) {
				x.carry(h, fmt.Sprintf("unknown property %02x", id), fmt.Sprintf("%02x 00", id), packet.MalformedPacket)
			}
		}
		x.carry(h, "8192 User Properties", strings.Repeat(`26<>""`, packet.MaxUserProperties), packet.Success)
		x.carry(h, "8193 User Properties", strings.Repeat(`26<>""`, packet.MaxUserProperties+1), packet.QuotaExceeded) // case P12
		x.carry(h, "12000 User Properties", strings.Repeat(`26<>""`, 12_000), packet.QuotaExceeded)
	}
}

func (x *wire) property(h host, e example) {
	id := fmt.Sprintf("%02x", e.id)
	allowed := strings.IndexByte(e.where, h.letter) >= 0
	if h.letter == 'c' && e.id == 0x15 { // [MQTT-4.12.0-1]
		x.carry(h, "Authentication Method", id+e.value, packet.BadAuthenticationMethod)
		return
	}
	want := packet.ProtocolError
	if allowed {
		want = packet.Success
	}
	x.carry(h, "property "+id, id+e.value, want)
	if !allowed {
		return
	}
	if e.id != 0x26 {
		want = packet.ProtocolError
	}
	x.carry(h, "twice "+id, id+e.value+id+e.value, want)
	value := encode(packet.V50, e.value)
	for n := range value {
		x.carry(h, fmt.Sprintf("property %s cut to %d", id, n), id+fmt.Sprintf("%x", value[:n]), packet.MalformedPacket)
	}
	for text, code := range e.wrong {
		x.carry(h, "property "+id+" "+text, id+text, code)
	}
}

// carry sends h with these properties; want is Success or the code that answers it.
func (x *wire) carry(h host, name, properties string, want packet.ReasonCode) {
	name = fmt.Sprintf("%c: %s", h.letter, name)
	b := encode(packet.V50, fmt.Sprintf(h.text, properties))
	expect := h.answer
	if h.letter == 'c' || h.letter == 'w' {
		if want != packet.Success {
			expect = badConnect(packet.V50, want)
		}
		x.first(packet.V50, name, b, expect)
		return
	}
	if want != packet.Success {
		expect = bad(packet.V50, want)
	}
	x.one(packet.V50, name, b, expect)
}

// Every Reason Code in every packet of clients that has one.
func wireCodes(x *wire) {
	pub := []int{0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
	rel := []int{0x00, 0x92}
	bye := []int{0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x8C, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99}
	for code := range 256 {
		answer := func(codes []int, sound string) string {
			if slices.Contains(codes, code) {
				return sound
			}
			return "e00182X" // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.14.2-1] [MQTT-3.15.2-1]
		}
		rec := "62{000192}" // case P18
		if code >= 0x80 {
			rec = "" // the message ends with it
		}
		for _, c := range []struct{ name, text, want string }{
			{"PUBACK", "40{0001 %02x}", answer(pub, "")},
			{"PUBREC", "50{0001 %02x}", answer(pub, rec)},          // [MQTT-3.6.2-2] [MQTT-3.6.2-3]
			{"PUBREL", "62{0001 %02x}", answer(rel, "70{000192}")}, // [MQTT-3.7.2-2] [MQTT-3.7.2-3]
			{"PUBCOMP", "70{0001 %02x}", answer(rel, "")},
			{"DISCONNECT", "e0{%02x}", answer(bye, "X")},
			{"AUTH", "f0{%02x}", "e00182X"},
		} {
			x.one(packet.V50, fmt.Sprintf("%s code %02x", c.name, code), encode(packet.V50, fmt.Sprintf(c.text, code)), c.want)
		}
		for _, v := range wireVersionsAll { // Subscription Options [MQTT-3.8.3-5] [MQTT3-3.8.3-4]
			want := fmt.Sprintf("90{0001 ~ %02x}", code&3)
			switch {
			case v != packet.V50 && code > 2:
				want = "X"
			case code&0xC0 != 0:
				want = bad(v, packet.MalformedPacket)
			case code&3 == 3, code&0x30 == 0x30:
				want = bad(v, packet.ProtocolError)
			}
			x.one(v, fmt.Sprintf("options %02x", code), encode(v, fmt.Sprintf(`82{0001 ~ "a" %02x}`, code)), want)
		}
	}
}

// Protocol names and levels that do and do not belong together [MQTT-3.1.2-1]
// [MQTT-3.1.2-2] [MQTT3-3.1.2-1] [MQTT3-3.1.2-2].
func wireVersions(x *wire) {
	for _, name := range []string{"MQTT", "MQIsdp", "mqtt", "MQTTX", "MQT", "MQIsdp ", "HTTP", "", strings.Repeat("M", 17), strings.Repeat("M", 60_000)} {
		for _, level := range []int{0, 1, 2, 3, 4, 5, 6, 7, 0x10, 0x7F, 0x80, 0x82, 0x83, 0x84, 0x85, 0x86, 0xFF} {
			v := packet.V311
			if level&0x7F == 5 {
				v = packet.V50
			}
			b := encode(v, fmt.Sprintf(`10{"%s" %02x 02 0000 ~ "c"}`, name, level))
			want := "20020001X"
			switch base := level & 0x7F; { // 0x80 marks a bridge
			case name == "MQIsdp" && base == 3, name == "MQTT" && base == 4:
				want, v = accepted(packet.V311), packet.V311
			case name == "MQTT" && base == 5:
				want = accepted(packet.V50)
			case name == "" || len(name) > 16: // not MQTT at all
				want = "X"
			case level > 5:
				want, v = "2003008400X", packet.V50
			default:
				v = packet.V311
			}
			x.first(v, fmt.Sprintf("%.10q level %02x", name, level), b, want)
		}
	}
	// Connect Flags, all of them [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13] [MQTT-3.1.2-9].
	for _, v := range wireVersionsAll {
		for flags := range 256 {
			x.connectFlags(v, flags)
		}
	}
}

func (x *wire) connectFlags(v packet.Version, flags int) {
	name := "MQTT"
	if v == packet.V31 {
		name = "MQIsdp"
	}
	will, user, password := flags&0x04 != 0, flags&0x80 != 0, flags&0x40 != 0
	text := fmt.Sprintf(`10{"%s" %02x %02x 0000 ~ "c"`, name, byte(v), flags)
	if will {
		text += ` ~ "w" <>`
	}
	if user {
		text += ` "u"`
	}
	if password {
		text += ` <70>`
	}
	want := accepted(v)
	switch malformed := badConnect(v, packet.MalformedPacket); {
	case flags&0x18 == 0x18:
		want = malformed
	case password && !user && v != packet.V50: // [MQTT3-3.1.2-22]
		want = malformed
	case v == packet.V31:
	case flags&1 != 0, !will && flags&0x38 != 0:
		want = malformed
	}
	x.first(v, fmt.Sprintf("Connect Flags %02x", flags), encode(v, text+"}"), want)
}

// case P8: text that is and is not well-formed, in every field that holds text.
func wireText(x *wire) {
	broken := []string{"00", "4100", "c080", "eda080", "edbfbf", "f4908080", "ff", "c3", "e282", "80", "f888808080", "41ff42"}
	sound := []string{"41", "efbbbf41", "01", "1f", "7f", "c280", "efbfbf", "efbfbe", "f09f9880", "c3a4", "f48fbfbf"}
	fields := []struct {
		name, text, answer string
		only5              bool
	}{
		{"topic", `30{<%s> ~ 'x'}`, "", false},                       // [MQTT-3.3.2-1] [MQTT-4.7.3-2]
		{"filter", `82{0001 ~ <%s> 00}`, "90{0001 ~ 00}", false},     // [MQTT-3.8.3-1] [MQTT-4.7.3-2]
		{"unsubscribe", `a2{0001 ~ <%s>}`, "b0{0001 ~ 5:11}", false}, // [MQTT-3.10.3-1]
		{"response topic", `30{"t" {08<%s>} 'x'}`, "", true},
		{"content type", `30{"t" {03<%s>} 'x'}`, "", true}, // [MQTT-3.3.2-19]
		{"user property name", `30{"t" {26<%s>"v"} 'x'}`, "", true},
		{"user property value", `30{"t" {26"k"<%s>} 'x'}`, "", true},
		{"reason string", `40{0001 00 {1f<%s>}}`, "", true},
		{"authentication method", `f0{18 {15<%s>}}`, "e00182X", true},
	}
	connects := []struct{ name, text string }{
		{"client identifier", ` 02 0000 ~ <%s>}`},   // [MQTT-3.1.3-4]
		{"user name", ` 82 0000 ~ "c" <%s>}`},       // [MQTT-3.1.3-12]
		{"will topic", ` 06 0000 ~ "c" ~ <%s> <>}`}, // [MQTT-3.1.3-11]
	}
	for _, v := range wireVersionsAll {
		for i, text := range append(slices.Clone(broken), sound...) {
			for _, f := range fields {
				if f.only5 && v != packet.V50 {
					continue
				}
				want := f.answer
				if i < len(broken) {
					want = bad(v, packet.MalformedPacket)
				}
				x.one(v, f.name+" "+text, encode(v, fmt.Sprintf(f.text, text)), want)
			}
			for _, f := range connects {
				want := accepted(v)
				if i < len(broken) { // [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT3-1.5.3-1] [MQTT3-1.5.3-2]
					want = badConnect(v, packet.MalformedPacket)
				}
				name := `10{"MQTT" 04`
				switch v {
				case packet.V31:
					name = `10{"MQIsdp" 03`
				case packet.V50:
					name = `10{"MQTT" 05`
				}
				x.first(v, f.name+" "+text, encode(v, fmt.Sprintf(name+f.text, text)), want)
			}
		}
	}
}

// cases P1, P2, P4, P5: Remaining Lengths and first packets that can't be.
func wireLengths(x *wire) {
	for _, v := range wireVersionsAll {
		for t := byte(1); t <= 15; t++ {
			for _, length := range []string{"8000", "808000", "80808000", "ffffffff", "8080808001", "ff8000"} {
				want := bad(v, packet.MalformedPacket) // [MQTT-1.5.5-1]
				x.one(v, fmt.Sprintf("type %d length %s", t, length), encode(v, fmt.Sprintf("%02x%s", t<<4, length)), want)
			}
			x.one(v, fmt.Sprintf("type %d of 256 MB", t), encode(v, fmt.Sprintf("%02x ffffff7f", t<<4)), bad(v, packet.PacketTooLarge))
		}
	}
	for t := byte(0); t <= 15; t++ {
		for _, length := range []string{"00", "02 0000", "ffffff7f", "8080808001", "8000", "7f"} {
			if t == 1 && (length == "7f") {
				continue // waits for more
			}
			x.first(packet.V311, fmt.Sprintf("first packet type %d length %s", t, length), encode(packet.V311, fmt.Sprintf("%02x%s", t<<4, length)), "X") // [MQTT-3.1.0-1]
		}
	}
	// case P2: 64 KiB before CONNECT is known, announced is enough.
	x.first(packet.V311, "CONNECT of 64 KiB and a byte", encode(packet.V311, "10 fdff03"), "X")
}
