package broker_test

import (
	"fmt"
	"strings"

	"hearthmq/broker/packet"
)

// wireRules are single packets that a person had to think about. answer is for all
// versions in the suite's notation; codes are DISCONNECT's on MQTT 5.
func wireRules(x *wire) {
	for _, v := range wireVersionsAll {
		for _, r := range []struct {
			name, send string
			code       packet.ReasonCode // Success: answer holds
			answer     string
		}{
			// case P6
			{"empty Topic Name", `30{"" ~ 'x'}`, versionCode(v, packet.ProtocolError, packet.MalformedPacket), ""},
			// case P10
			{"wildcard + in Topic Name", `30{"a/+" ~ 'x'}`, packet.TopicNameInvalid, ""}, // [MQTT-3.3.2-2] [MQTT-4.7.0-1]
			{"wildcard # in Topic Name", `30{"#" ~ 'x'}`, packet.TopicNameInvalid, ""},
			// case P16 [MQTT-2.2.1-3]
			{"PUBLISH QoS 1 id 0", `32{"t" 0000 ~ 'x'}`, packet.ProtocolError, ""},
			{"PUBLISH QoS 2 id 0", `34{"t" 0000 ~ 'x'}`, packet.ProtocolError, ""},
			{"SUBSCRIBE id 0", `82{0000 ~ "t" 00}`, packet.ProtocolError, ""},
			{"UNSUBSCRIBE id 0", `a2{0000 ~ "t"}`, packet.ProtocolError, ""},
			{"PUBACK id 0", `40{0000}`, packet.ProtocolError, ""},
			{"PUBREL id 0", `62{0000}`, packet.ProtocolError, ""},
			// case P5
			{"topic longer than the packet", `30{0009 't'}`, packet.MalformedPacket, ""},
			{"topic takes all, no id", `32{"t"}`, packet.MalformedPacket, ""},
			// case P14
			{"second CONNECT", `10{"MQTT" 04 02 0000 "c"}`, packet.ProtocolError, ""}, // [MQTT-3.1.0-2] [MQTT-3.2.0-2]
			// case P7: as many levels as Mosquitto takes and no more
			{"201 levels published", `30{"` + strings.Repeat("/", 200) + `" ~ 'x'}`, packet.Success, ""},
			{"202 levels published", `30{"` + strings.Repeat("/", 201) + `" ~ 'x'}`, packet.TopicNameInvalid, ""},
			{"65535 slashes published", `30{"` + strings.Repeat("/", 65535) + `" ~ 'x'}`, packet.TopicNameInvalid, ""},
			{"201 levels subscribed", `82{0001 ~ "` + strings.Repeat("+/", 200) + `#" 00}`, packet.Success, "90{0001 ~ 00}"},
			{"202 levels subscribed", `82{0001 ~ "` + strings.Repeat("+/", 201) + `#" 00}`, packet.Success, "90{0001 ~ 3:80 5:97}"},
			{"32767 levels subscribed", `82{0001 ~ "` + strings.Repeat("+/", 32766) + `#" 00}`, packet.Success, "90{0001 ~ 3:80 5:97}"},
			{"32767 levels unsubscribed", `a2{0001 ~ "` + strings.Repeat("+/", 32766) + `#"}`, packet.Success, "b0{0001 ~ 5:8f}"},
			{"unsubscribe what was never there", `a2{0001 ~ "x" "y"}`, packet.Success, "b0{0001 ~ 5:1111}"}, // [MQTT-3.10.4-5]
			{"publish to nobody QoS 1", `32{"t" 0001 ~ 'x'}`, packet.Success, "40{0001 5:10}"},
			{"publish nothing", `32{"t" 0001 ~}`, packet.Success, "40{0001 5:10}"},
			{"DUP with QoS 1", `3a{"t" 0001 ~ 'x'}`, packet.Success, "40{0001 5:10}"},
			{"PUBLISH to $SYS", `32{"$SYS/x" 0001 ~ 'x'}`, packet.Success, "40{0001 5:87}"}, // case A12
		} {
			want := r.answer
			if r.code != packet.Success {
				want = bad(v, r.code)
			}
			x.one(v, r.name, encode(v, r.send), want)
		}
		x.filters(v)
		x.clientIDs(v)
	}
	x.manyFilters()
	x.manyTopics()
}

func versionCode(v packet.Version, five, three packet.ReasonCode) packet.ReasonCode {
	if v == packet.V50 {
		return five
	}
	return three
}

// case P10: filters as they are and are not written [MQTT-4.7.1-1] [MQTT-4.7.1-2]
// [MQTT-4.8.2-1] [MQTT-4.8.2-2] [MQTT-4.7.3-1].
func (x *wire) filters(v packet.Version) {
	for filter, kind := range map[string]string{
		"#": "ok", "+": "ok", "/": "ok", "a/#": "ok", "+/+": "ok", "a//+": "ok", "/+": "ok", "+/": "ok", " ": "ok", "a/+/b/#": "ok", "$SYS/x/#": "ok",
		"a/#/b": "bad", "a+": "bad", "#a": "bad", "+a/": "bad", "a/b#": "bad", "##": "bad", "++": "bad", "a/+b": "bad", "#/": "bad", "": "bad",
		"$share/g/x": "ok", "$share/g/#": "ok", "$share/g//": "ok", "$share/g/+/x": "ok", "$share/g x/y": "ok", "$shared/x": "ok", "$SHARE/x": "ok",
		// these are sound for MQTT 3, which knows no Shared Subscriptions; refusing them is allowed
		"$share": "share", "$share/": "share", "$share//x": "share", "$share/g": "share", "$share/g/": "share",
		"$share/+/x": "share", "$share/#": "share", "$share/g#/x": "bad", "$share/g+/x": "bad", "$share/g/a+": "bad", "$share/g/#/x": "bad",
	} {
		want := "90{0001 ~ 02}" // [MQTT-3.8.4-7] [MQTT-3.9.3-2] [MQTT3-3.9.3-2]
		switch {
		case kind == "ok":
		case v == packet.V50:
			want = "90{0001 ~ 8f}"
		case kind == "share":
			want = "90{0001 80}"
		default: // [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] [MQTT3-4.7.3-1]
			want = "X"
		}
		x.one(v, "filter "+filter, encode(v, `82{0001 ~ "`+filter+`" 02}`), want)
		if v == packet.V50 && kind == "ok" && strings.HasPrefix(filter, "$share/") { // [MQTT-3.8.3-4]
			x.one(v, "No Local with "+filter, encode(v, `82{0001 ~ "`+filter+`" 04}`), "e00182X")
		}
	}
}

// [MQTT-3.1.3-5] [MQTT3-3.1.3-5]
func (x *wire) clientIDs(v packet.Version) {
	name := map[packet.Version]string{packet.V31: `"MQIsdp" 03`, packet.V311: `"MQTT" 04`, packet.V50: `"MQTT" 05`}[v]
	for _, id := range []string{
		"a", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ", strings.Repeat("x", 24), strings.Repeat("x", 256),
		"home/light", "#", "+", "%c", "${clientid}", "a b", "ä", "\U0001F600", "-", "_", "$SYS",
	} {
		for _, clean := range []string{"02", "00"} {
			if clean == "00" && v != packet.V50 {
				x.first(v, "client identifier "+id, encode(v, fmt.Sprintf(`10{%s 00 0000 ~ "%s"}`, name, id)), accepted(v))
				x.first(v, "again, clean "+id, encode(v, fmt.Sprintf(`10{%s 02 0000 ~ "%s"}`, name, id)), accepted(v)) // [MQTT-3.1.2-4]
				continue
			}
			x.first(v, "client identifier "+id, encode(v, fmt.Sprintf(`10{%s %s 0000 ~ "%s"}`, name, clean, id)), accepted(v))
		}
	}
	refused := "20020002X"
	long := refused
	if v == packet.V50 { // with a Reason String, which nobody has declined
		long = `20{0085{1f"longer than 256 bytes"}}X`
	}
	x.first(v, "client identifier of 257 bytes", encode(v, fmt.Sprintf(`10{%s 02 0000 ~ "%s"}`, name, strings.Repeat("x", 257))), long)
	if v == packet.V31 { // 3.1 asks for 1 to 23 characters; more is accepted, none is not
		x.first(v, "empty client identifier", encode(v, `10{"MQIsdp" 03 02 0000 ""}`), refused)
	}
	if v != packet.V50 { // [MQTT3-3.1.3-8]
		x.first(v, "empty client identifier, not clean", encode(v, fmt.Sprintf(`10{%s 00 0000 ""}`, name)), refused) // [MQTT3-3.1.3-7]
	}
}

// case P30: as many filters as Home Assistant sends, more, and too many; codes in their order [MQTT-3.9.3-1].
func (x *wire) manyFilters() {
	for _, v := range wireVersionsAll {
		for _, n := range []int{1, 2, 500, 1000, 8192, 8193, 16_000} {
			var filters, codes strings.Builder
			for i := range n {
				fmt.Fprintf(&filters, `"f/%d" %02x`, i, i%3)
				fmt.Fprintf(&codes, "%02x", i%3)
			}
			want := "90{0001 ~ " + codes.String() + "}"
			if n > 8192 {
				want = bad(v, packet.QuotaExceeded)
			}
			x.one(v, fmt.Sprint(n, " filters"), encode(v, "82{0001 ~ "+filters.String()+"}"), want)
		}
	}
}

// case P31: DISCONNECT in the same piece as many messages.
func (x *wire) manyTopics() {
	for _, v := range wireVersionsAll {
		x.cases++
		sub := x.connect(v)
		sub.send(encode(v, `82{0001 ~ "many/#" 00}`))
		sub.take()
		pub := x.connect(v)
		var b, want []byte
		for i := range 1000 {
			one := encode(v, fmt.Sprintf(`30{"many/%d" ~ 'x'}`, i))
			b, want = append(b, one...), append(want, one...)
		}
		pub.send(append(b, 0xE0, 0))
		if got := sub.take(); string(got) != string(want) {
			x.Errorf("%s: %d bytes of 1000 messages before DISCONNECT, want %d", v, len(got), len(want))
		}
		if !pub.isClosed() {
			x.Error("open after DISCONNECT")
		}
		sub.end()
	}
}
