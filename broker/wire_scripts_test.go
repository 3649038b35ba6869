package broker_test

import (
	"slices"

	"hearthmq/broker/packet"
)

// wireScript is a sequence over one or more connections, run for each version.
type wireScript struct {
	name string
	only packet.Version // 0: all
	text string
}

func wireScripts(x *wire) {
	for _, s := range slices.Concat(wireSequences, moreSequences) {
		for _, v := range wireVersionsAll {
			if s.only == 0 || s.only == v {
				x.script(v, s.name, s.text)
			}
		}
	}
}

// The sequences that a person had to think about. Topics are theirs alone: they share a broker.
var wireSequences = []wireScript{
	{name: "QoS 0 from one to another", text: `
		# [MQTT3-3.1.2-12]
		# [MQTT-4.3.1-1] [MQTT-3.3.2-3] [MQTT-4.5.0-1]
		A connect
		B connect
		A > 82{0001 ~ "s1/a" 00}
		A < 90{0001 ~ 00}
		B > 30{"s1/a" ~ 'hello'}
		A < 30{"s1/a" ~ 'hello'}
		B close`},
	{name: "DUP is not passed on", text: `
		# [MQTT-3.3.1-3]
		A connect
		A > 82{0001 ~ "s37" 01}
		A < 90{0001 ~ 01}
		A > 3a{"s37" 0005 ~ 'x'}
		A < 32{"s37" 0001 ~ 'x'} 40{0005}`},
	{name: "what was sent does not expire", text: `
		# [MQTT-4.3.3-7] [MQTT-4.3.3-13] case P26
		A connect 10{"MQTT" 05 02 0000 {1100000064 1700} "s38"}
		A < 20{0000{22000a 2701000000 210064}}
		A > 82{0001 00 "s38" 02}
		A < 90{0001 00 02}
		B connect
		B > 34{"s38" 0001 {0200000002} 'x'}
		B < 50{0001}
		A < 34{"s38" 0001 {0200000002} 'x'}
		A close
		wait 3s
		A connect 10{"MQTT" 05 00 0000 {1100000064 1700} "s38"}
		A < 20{0100{22000a 2701000000 210064}} 3c{"s38" 0001 {0200000000} 'x'}
		A > 50{0001}
		A < 62{0001}
		A > 70{0001}
		B > 62{0001}
		B < 70{0001}`, only: packet.V50},
	{name: "a will's properties keep their order", text: `
		# [MQTT-3.1.3-10]
		B connect
		B > 82{0001 00 "s39" 00}
		B < 90{0001 00 00}
		A connect 10{"MQTT" 05 06 0000 {1700} "s39" {26"b""1" 26"a""2" 26"b""3"} "s39" <6f>}
		A < 20{0000{22000a 2701000000 210064}}
		A close
		B < 30{"s39" {26"b""1" 26"a""2" 26"b""3"} 'o'}`, only: packet.V50},
	{name: "QoS 1 there and back", text: `
		# [MQTT-2.2.1-4] [MQTT-2.2.1-5] [MQTT-3.3.4-1] [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.2-4] [MQTT-4.3.2-5]
		A connect
		A > 82{0001 ~ "s2" 01}
		A < 90{0001 ~ 01}
		A > 32{"s2" 0005 ~ 'x'}
		A < 32{"s2" 0001 ~ 'x'} 40{0005}
		A > 40{0001}
		A > 32{"s2" 0005 ~ 'y'}
		A < 32{"s2" 0002 ~ 'y'} 40{0005}`},
	{name: "QoS 2 in all its steps", text: `
		# [MQTT-3.3.4-1] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12]
		A connect
		B connect
		A > 82{0001 ~ "s3" 02}
		A < 90{0001 ~ 02}
		B > 34{"s3" 0009 ~ 'x'}
		B < 50{0009}
		A < 34{"s3" 0001 ~ 'x'}
		B > 3c{"s3" 0009 ~ 'x'}
		B < 50{0009}
		B > 62{0009}
		B < 70{0009}
		B > 62{0009}
		B < 70{0009 5:92}
		A > 50{0001}
		A < 62{0001}
		A > 50{0001}
		A < 62{0001}
		A > 70{0001}
		A > 70{0001}
		B > 34{"s3" 0009 ~ 'again'}
		B < 50{0009}
		A < 34{"s3" 0002 ~ 'again'}`},
	{name: "an acknowledgement for the wrong QoS does nothing", text: `
		# case P18
		A connect
		A > 82{0001 ~ "s4" 02}
		A < 90{0001 ~ 02}
		A > 34{"s4" 0001 ~ 'x'}
		A < 34{"s4" 0001 ~ 'x'} 50{0001}
		A > 40{0001}
		A > 70{0001}
		A > 50{0001}
		A < 62{0001}`},
	{name: "retained: kept, replaced, removed", text: `
		# [MQTT3-3.3.1-6]
		# [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8] [MQTT3-3.3.1-5] [MQTT3-3.3.1-7] [MQTT3-3.3.1-8] [MQTT3-3.3.1-9] [MQTT3-3.3.1-10] [MQTT3-3.3.1-11] [MQTT3-3.3.1-12]
		A connect
		A > 33{"s5" 0001 ~ 'one'}
		A < 40{0001 5:10}
		A > 30{"s5" ~ 'not retained'}
		B connect
		B > 82{0001 ~ "s5" 02}
		B < 90{0001 ~ 02} 33{"s5" 0001 ~ 'one'}
		B > 40{0001}
		A > 31{"s5" ~ 'two'}
		B < 30{"s5" ~ 'two'}
		B > 82{0002 ~ "s5" 00}
		B < 90{0002 ~ 00} 31{"s5" ~ 'two'}
		A > 31{"s5" ~}
		B < 30{"s5" ~}
		B > 82{0003 ~ "s5" 00}
		B < 90{0003 ~ 00}`},
	{name: "two filters in one SUBSCRIBE are two SUBSCRIBEs", text: `
		# [MQTT-2.2.1-6] [MQTT-2.2.2-1] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.9.3-1]
		# [MQTT-3.8.4-5] [MQTT3-3.8.4-4]
		A connect
		A > 31{"s6/a" ~ 'r'}
		A > 82{0001 ~ "s6/a" 00 "s6/+" 01 "s6/a" 02}
		A < 90{0001 ~ 00 01 02} 31{"s6/a" ~ 'r'} 31{"s6/a" ~ 'r'} 31{"s6/a" ~ 'r'}
		A > 32{"s6/a" 0001 ~ 'x'}
		A < 32{"s6/a" 0001 ~ 'x'} 40{0001}
		A > 40{0001}
		A > 31{"s6/a" ~}
		A < 30{"s6/a" ~}`},
	{name: "UNSUBSCRIBE ends what it names, byte by byte", text: `
		# [MQTT-2.2.1-6] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.2-2] [MQTT-3.11.3-1] [MQTT-3.11.3-2]
		# [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT3-3.10.4-1] [MQTT3-3.10.4-2] [MQTT3-3.10.4-4] [MQTT3-3.10.4-5] [MQTT3-3.10.4-6]
		A connect
		A > 82{0001 ~ "s7/a" 00 "s7/+" 00}
		A < 90{0001 ~ 00 00}
		A > a2{0002 ~ "s7/A" "s7/#"}
		A < b0{0002 ~ 5:1111}
		A > 30{"s7/a" ~ 'x'}
		A < 30{"s7/a" ~ 'x'}
		A > a2{0003 ~ "s7/+" "s7/+"}
		A < b0{0003 ~ 5:0011}
		A > 30{"s7/b" ~ 'x'}
		A > a2{0004 ~ "s7/a"}
		A < b0{0004 ~ 5:00}
		A > 30{"s7/a" ~ 'x'}`},
	{name: "topics with dollar are no business of wildcards", text: `
		# [MQTT-4.7.2-1] [MQTT3-4.7.2-1]
		A connect
		A > 82{0001 ~ "+/s8" 00 "$s8/#" 00}
		A < 90{0001 ~ 00 00}
		A > 30{"$x/s8" ~ 'x'}
		A > 30{"$s8/x" ~ 'y'}
		A < 30{"$s8/x" ~ 'y'}
		A > 30{"/s8" ~ 'z'}
		A < 30{"/s8" ~ 'z'}`},
	{name: "names are compared byte by byte", text: `
		# [MQTT-4.7.3-4] [MQTT3-4.7.3-4]
		A connect
		A > 82{0001 ~ "s9/ä" 00 "s9/" 00}
		A < 90{0001 ~ 00 00}
		A > 30{<73392f61cc88> ~ 'decomposed'}
		A > 30{"S9/ä" ~ 'case'}
		A > 30{"s9" ~ 'no level'}
		A > 30{"s9/ä" ~ 'same'}
		A < 30{"s9/ä" ~ 'same'}
		A > 30{"s9/" ~ 'empty level'}
		A < 30{"s9/" ~ 'empty level'}`},
	{name: "a BOM is part of the name", text: `
		# [MQTT-1.5.4-3] [MQTT3-1.5.3-3] case P8
		A connect
		A > 82{0001 ~ <efbbbf733130> 00}
		A < 90{0001 ~ 00}
		A > 30{"s10" ~ 'without'}
		A > 30{<efbbbf733130> ~ 'with'}
		A < 30{<efbbbf733130> ~ 'with'}`},
	{name: "a will after the connection was lost", text: `
		# [MQTT-3.1.2-7]
		# [MQTT-3.1.2-8] [MQTT-3.1.2-14] [MQTT3-3.1.2-8] [MQTT3-3.1.2-16]
		B connect
		B > 82{0001 "s11" 01}
		B < 90{000101}
		A connect 10{"MQTT" 04 0e 0000 "s11" "s11" <7a7a>}
		A < 20020000
		A close
		B < 32{"s11" 0001 'zz'}
		C connect
		C > 82{0001 "s11" 01}
		C < 90{000101}`, only: packet.V311},
	{name: "a retained will", text: `
		# [MQTT3-3.1.2-7]
		# [MQTT-3.1.2-15] [MQTT3-3.1.2-17]
		A connect 10{"MQTT" 04 26 0000 "s36" "s36" <7a7a>}
		A < 20020000
		A close
		C connect
		C > 82{0001 "s36" 01}
		C < 90{000101} 31{"s36" 'zz'}`, only: packet.V311},
	{name: "a packet after DISCONNECT is not read", text: `
		# [MQTT-3.14.4-1] [MQTT3-3.14.4-1] [MQTT3-3.14.4-2]
		B connect
		B > 82{0001 ~ "s12" 00}
		B < 90{0001 ~ 00}
		A connect
		A > 30{"s12" ~ 'before'} e000 30{"s12" ~ 'after'}
		A X
		B < 30{"s12" ~ 'before'}`},
	{name: "nothing is read after a refused CONNECT", text: `
		# [MQTT-3.1.4-6] [MQTT3-3.1.4-5]
		B connect
		B > 82{0001 ~ "s13" 00}
		B < 90{0001 ~ 00}
		A connect 10{"MQTT" 09 02 0000 ""} 30{"s13" ~ 'x'} c000
		A < 20{00 84 00}
		A X`},
	{name: "packets right behind CONNECT are read", text: `
		# [MQTT-3.1.4-5] [MQTT-3.2.0-1]
		A connect 10{"MQIsdp" 03 02 0000 "s14"} c000 30{"s14" 'x'} e000
		A < 20020000 d000
		A X`, only: packet.V31},
	{name: "keep alive ends a silent connection", text: `
		# [MQTT-3.2.2-22]
		# [MQTT-3.1.2-22] [MQTT3-3.1.2-24]
		A connect 10{"MQTT" 04 02 0002 "s15"}
		A < 20020000
		wait 2900ms
		A > c000
		A < d000
		wait 2900ms
		A > c000
		A < d000
		wait 3100ms
		A X`, only: packet.V311},
	{name: "keep alive on MQTT 5 says why", text: `
		A connect 10{"MQTT" 05 02 0002 {1700} "s16"}
		A < 20{0000{22000a 2701000000 210064}}
		wait 3100ms
		A < e0018d
		A X`, only: packet.V50},
	{name: "a session that stays, and is told so", text: `
		# [MQTT-3.1.3-2] [MQTT-4.3.2-3] [MQTT-4.5.0-1]
		# [MQTT3-3.1.2-4] [MQTT3-3.1.2-5] [MQTT3-3.2.2-2] [MQTT3-3.2.2-3] [MQTT3-4.4.0-1]
		A connect 10{"MQTT" 04 00 0000 "s17"}
		A < 20020000
		A > 82{0001 "s17" 01}
		A < 90{000101}
		A close
		B connect
		B > 32{"s17" 0001 'waits'}
		B < 40{0001}
		B > 30{"s17" 'QoS 0 does not'}
		A connect 10{"MQTT" 04 00 0000 "s17"}
		A < 20020100 32{"s17" 0001 'waits'}
		A close
		A connect 10{"MQTT" 04 00 0000 "s17"}
		A < 20020100 3a{"s17" 0001 'waits'}
		A > 40{0001}
		A > e000
		A connect 10{"MQTT" 04 02 0000 "s17"}
		A < 20020000
		B > 32{"s17" 0002 'nobody'}
		B < 40{0002}
		A > e000
		A connect 10{"MQTT" 04 02 0000 "s17"}
		A < 20020000`, only: packet.V311},
	{name: "a clean session is not resumed", text: `
		# [MQTT3-3.1.2-6] [MQTT3-3.2.2-1]
		A connect 10{"MQTT" 04 02 0000 "s18"}
		A < 20020000
		A > 82{0001 "s18" 01}
		A < 90{000101}
		B connect 10{"MQTT" 04 00 0000 "s18"}
		B < 20020000
		A X
		B > 32{"s18" 0001 'x'}
		B < 40{0001}
		B > e000
		C connect 10{"MQTT" 04 02 0000 "s18"}
		C < 20020000`, only: packet.V311},
	{name: "take-over", text: `
		# [MQTT-3.1.4-4] [MQTT-3.2.2-2] [MQTT-4.1.0-1]
		# [MQTT-3.1.4-3] [MQTT-3.1.2-5] [MQTT-3.2.2-3] case P24
		A connect 10{"MQTT" 05 02 0000 {1100000064 1700} "s19"}
		A < 20{0000{22000a 2701000000 210064}}
		A > 82{0001 00 "s19" 01}
		A < 90{0001 00 01}
		B connect 10{"MQTT" 05 00 0000 {1100000064 1700} "s19"}
		B < 20{0100{22000a 2701000000 210064}}
		A < e0018e
		A X
		B > 32{"s19" 0001 00 'mine'}
		B < 32{"s19" 0001 00 'mine'} 40{0001}
		C connect 10{"MQTT" 05 02 0000 {1700} "s19"}
		C < 20{0000{22000a 2701000000 210064}}
		B < e0018e
		B X`, only: packet.V50},
	{name: "session expiry", text: `
		# [MQTT-3.1.2-23] [MQTT-4.1.0-2] [MQTT-3.1.2-6]
		A connect 10{"MQTT" 05 00 0000 {1100000005 1700} "s20"}
		A < 20{0000{22000a 2701000000 210064}}
		A close
		wait 4s
		A connect 10{"MQTT" 05 00 0000 {1100000005 1700} "s20"}
		A < 20{0100{22000a 2701000000 210064}}
		A close
		wait 5001ms
		A connect 10{"MQTT" 05 00 0000 {1100000005 1700} "s20"}
		A < 20{0000{22000a 2701000000 210064}}
		A > e0{00{1100000001}}
		wait 1001ms
		A connect 10{"MQTT" 05 00 0000 {1700} "s20"}
		A < 20{0000{22000a 2701000000 210064}}
		A > e0{00{1100000001}}
		A < e00182
		A X`, only: packet.V50},
	{name: "a will that waits, cancelled in time and not", text: `
		# [MQTT-3.1.3-9] [MQTT-3.1.2-10] case P25
		B connect
		B > 82{0001 00 "s21" 01}
		B < 90{0001 00 01}
		A connect 10{"MQTT" 05 0c 0000 {1100000064 1700} "s21" {1800000005} "s21" <6f6666>}
		A < 20{0000{22000a 2701000000 210064}}
		A close
		wait 4999ms
		A connect 10{"MQTT" 05 0c 0000 {1100000064 1700} "s21" {1800000005} "s21" <6f6666>}
		A < 20{0100{22000a 2701000000 210064}}
		wait 20s
		A close
		wait 4999ms
		B > c000
		B < d000
		wait 2ms
		B < 32{"s21" 0001 00 'off'}
		wait 60s`, only: packet.V50},
	{name: "a will that waits ends with its session", text: `
		A connect 10{"MQTT" 05 04 0000 {1700} "s22" {1800000005} "s22" <6f>}
		A < 20{0000{22000a 2701000000 210064}}
		B connect
		B > 82{0001 00 "s22" 00}
		B < 90{0001 00 00}
		A close
		B < 30{"s22" 00 'o'}`, only: packet.V50},
	{name: "DISCONNECT 0x04 sends the will, 0x00 does not", text: `
		# [MQTT-3.14.4-3] [MQTT-3.1.2-10]
		B connect
		B > 82{0001 00 "s23" 00}
		B < 90{0001 00 00}
		A connect 10{"MQTT" 05 06 0000 {1700} "s23" 00 "s23" <6f>}
		A < 20{0000{22000a 2701000000 210064}}
		A > e00100
		A X
		A connect 10{"MQTT" 05 06 0000 {1700} "s23" 00 "s23" <6f>}
		A < 20{0000{22000a 2701000000 210064}}
		A > e00104
		B < 30{"s23" 00 'o'}`, only: packet.V50},
	{name: "topic aliases of the client", text: `
		# [MQTT-3.3.2-12] [MQTT-3.3.2-7] case P6
		A connect
		A > 82{0001 00 "s24/#" 00}
		A < 90{0001 00 00}
		A > 30{"s24/a" {23000a} '1'} 30{"" {23000a} '2'} 30{"s24/b" {23000a} '3'} 30{"" {23000a} '4'}
		A < 30{"s24/a" 00 '1'} 30{"s24/a" 00 '2'} 30{"s24/b" 00 '3'} 30{"s24/b" 00 '4'}
		A > 30{"" {230009} '5'}
		A < e00182
		B connect
		B > 30{"" {23000a} '6'}
		B < e00182
		B X`, only: packet.V50},
	{name: "topic aliases of the server", text: `
		# [MQTT-3.1.2-26] [MQTT-3.3.2-11] [MQTT-3.1.2-27]
		A connect 10{"MQTT" 05 02 0000 {1700 220001} "s25"}
		A < 20{0000{22000a 2701000000 210064}}
		A > 82{0001 00 "s25/#" 00}
		A < 90{0001 00 00}
		A > 30{"s25/first" 00 '1'} 30{"s25/first" 00 '2'} 30{"s25/other" 00 '3'}
		A < 30{"s25/first" {230001} '1'} 30{"" {230001} '2'} 30{"s25/other" 00 '3'}`, only: packet.V50},
	{name: "Subscription Identifiers, one message for all filters", text: `
		# [MQTT-3.3.4-5]
		# [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] case P29
		A connect
		A > 82{0001 {0b01} "s26/+" 00} 82{0002 {0bffffff7f} "s26/#" 02} 82{0003 00 "s26/a" 01}
		A < 90{0001 00 00} 90{0002 00 02} 90{0003 00 01}
		A > 34{"s26/a" 0001 00 'x'}
		A < 34{"s26/a" 0001 {0bffffff7f 0b01} 'x'} 50{0001}
		A > 62{0001} 50{0001}
		A < 70{0001} 62{0001}
		A > 70{0001}
		A > 82{0004 {0b05} "s26/+" 00}
		A < 90{0004 00 00}
		A > 30{"s26/b" 00 'y'}
		A < 30{"s26/b" {0bffffff7f 0b05} 'y'}`, only: packet.V50},
}
