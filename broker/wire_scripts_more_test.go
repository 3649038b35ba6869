package broker_test

import "hearthmq/broker/packet"

// moreSequences go on where wireSequences end: options of MQTT 5, and what others got wrong.
var moreSequences = []wireScript{
	{name: "No Local", text: `
		# [MQTT-3.8.3-3]
		A connect
		B connect
		A > 82{0001 00 "s27" 04}
		A < 90{0001 00 00}
		A > 30{"s27" 00 'own'}
		B > 30{"s27" 00 'other'}
		A < 30{"s27" 00 'other'}`, only: packet.V50},
	{name: "Retain As Published and Retain Handling", text: `
		# [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.3.1-12] [MQTT-3.3.1-13] [MQTT-3.8.4-3] [MQTT-3.8.4-4] case P28
		A connect
		A > 31{"s28" 00 'r'}
		A > 82{0001 00 "s28" 08}
		A < 90{0001 00 00} 31{"s28" 00 'r'}
		A > 31{"s28" 00 's'} 30{"s28" 00 't'}
		A < 31{"s28" 00 's'} 30{"s28" 00 't'}
		A > 82{0002 00 "s28" 10}
		A < 90{0002 00 00}
		A > 31{"s28" 00 'u'}
		A < 30{"s28" 00 'u'}
		A > a2{0003 00 "s28"} 82{0004 00 "s28" 10}
		A < b0{0003 00 00} 90{0004 00 00} 31{"s28" 00 'u'}
		A > a2{0005 00 "s28"} 82{0006 00 "s28" 20}
		A < b0{0005 00 00} 90{0006 00 00}
		A > 82{0007 00 "$share/g/s28" 00}
		A < 90{0007 00 00}
		A > 31{"s28" 00}
		A < 30{"s28" 00} 30{"s28" 00}`, only: packet.V50},
	{name: "properties travel unaltered and in order", text: `
		# [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
		A connect
		A > 82{0001 00 "s29" 01}
		A < 90{0001 00 01}
		A > 32{"s29" 0001 {26"b""1" 0101 26"a""2" 03"t" 08"r/t" 09<00ff> 26"b""1"} 'x'}
		A < 32{"s29" 0001 {26"b""1" 0101 26"a""2" 03"t" 08"r/t" 09<00ff> 26"b""1"} 'x'} 40{0001}`, only: packet.V50},
	{name: "Message Expiry Interval counts down", text: `
		# [MQTT-3.3.2-5] [MQTT-3.3.2-6] case P26
		A connect 10{"MQTT" 05 02 0000 {1100000064 1700} "s30"}
		A < 20{0000{22000a 2701000000 210064}}
		A > 82{0001 00 "s30" 01}
		A < 90{0001 00 01}
		A close
		B connect
		B > 32{"s30" 0001 {0200000002} 'short'} 32{"s30" 0002 {020000000a} 'long'} 33{"s30" 0003 {0200000005} 'kept'}
		B < 40{0001} 40{0002} 40{0003}
		wait 3s
		A connect 10{"MQTT" 05 00 0000 {1100000064 1700} "s30"}
		A < 20{0100{22000a 2701000000 210064}} 32{"s30" 0001 {0200000007} 'long'} 32{"s30" 0002 {0200000002} 'kept'}
		wait 3s
		B > 82{0004 00 "s30" 00}
		B < 90{0004 00 00}`, only: packet.V50},
	{name: "more QoS 2 under way than anybody's window, all delivered", text: `
		# facts/conformance.md: others lose what they have acknowledged
		A connect
		A > 82{0001 "s31" 00}
		A < 90{000100}
		B connect
		B > 34{"s31" 0001 '1'} 34{"s31" 0002 '2'} 34{"s31" 0003 '3'} 34{"s31" 0004 '4'} 34{"s31" 0005 '5'} 34{"s31" 0006 '6'} 34{"s31" 0007 '7'} 34{"s31" 0008 '8'} 34{"s31" 0009 '9'} 34{"s31" 000a 'a'} 34{"s31" 000b 'b'} 34{"s31" 000c 'c'} 34{"s31" 000d 'd'} 34{"s31" 000e 'e'} 34{"s31" 000f 'f'} 34{"s31" 0010 'g'} 34{"s31" 0011 'h'} 34{"s31" 0012 'i'} 34{"s31" 0013 'j'} 34{"s31" 0014 'k'} 34{"s31" 0015 'l'} 34{"s31" 0016 'm'}
		B < 50020001 50020002 50020003 50020004 50020005 50020006 50020007 50020008 50020009 5002000a 5002000b 5002000c 5002000d 5002000e 5002000f 50020010 50020011 50020012 50020013 50020014 50020015 50020016
		A < 30{"s31" '1'} 30{"s31" '2'} 30{"s31" '3'} 30{"s31" '4'} 30{"s31" '5'} 30{"s31" '6'} 30{"s31" '7'} 30{"s31" '8'} 30{"s31" '9'} 30{"s31" 'a'} 30{"s31" 'b'} 30{"s31" 'c'} 30{"s31" 'd'} 30{"s31" 'e'} 30{"s31" 'f'} 30{"s31" 'g'} 30{"s31" 'h'} 30{"s31" 'i'} 30{"s31" 'j'} 30{"s31" 'k'} 30{"s31" 'l'} 30{"s31" 'm'}`, only: packet.V311},
	{name: "a SUBSCRIBE without its options byte", text: `
		# facts/conformance.md: killed another broker
		A connect
		A > 82 07 00 01 00 00 02 61 62
		A < e00181
		A X
		B connect
		B > c000
		B < d000`, only: packet.V50},
	{name: "a Reason Code of failure ends a message", text: `
		# [MQTT-4.4.0-2] [MQTT-3.3.4-9] case P22
		A connect 10{"MQTT" 05 02 0000 {1700 210001} "s33"}
		A < 20{0000{22000a 2701000000 210064}}
		A > 82{0001 00 "s33" 02}
		A < 90{0001 00 02}
		B connect
		B > 34{"s33" 0001 00 '1'} 32{"s33" 0002 00 '2'} 32{"s33" 0003 00 '3'}
		B < 50{0001} 40{0002} 40{0003}
		A < 34{"s33" 0001 00 '1'}
		A > 50{0001 97}
		A < 32{"s33" 0002 00 '2'}
		A > a2{0009 00 "s33"}
		A < b0{0009 00 00}
		A > 40{0002 80}
		A < 32{"s33" 0003 00 '3'}`, only: packet.V50},
	{name: "an assigned Client Identifier is told", text: `
		# [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] [MQTT3-3.1.3-6]
		A connect 10{"MQTT" 04 02 0000 ""} c000
		A < 20020000 d000`, only: packet.V311},
	{name: "QoS 2 with one identifier a thousand times is one message", text: `
		# case P17, and the sequence above a million times in small
		A connect
		A > 82{0001 ~ "s35" 00}
		A < 90{0001 ~ 00}
		A > 34{"s35" 0001 ~ 'x'} 3c{"s35" 0001 ~ 'x'} 3c{"s35" 0001 ~ 'x'} 3c{"s35" 0001 ~ 'x'}
		A < 30{"s35" ~ 'x'} 50{0001} 50{0001} 50{0001} 50{0001}`},
}
