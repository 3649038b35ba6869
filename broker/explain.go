package broker

import "hearthmq/broker/packet"

// appendPacket appends p with a Reason String where the client wants one and its
// Maximum Packet Size has room for it. pr are p's own properties, why is for people;
// it must not tell what helps an attacker. c.version and c.maxPacket must be known.
//
// Only failures carry one: successful acknowledgements keep their shortest form. [MQTT-3.2.2-20] [MQTT-3.4.2-3] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-2] [MQTT-3.11.2-2] [MQTT-3.14.2-4] [MQTT-3.15.2-3]
func (c *conn) appendPacket(dst []byte, p packet.Packet, pr *packet.Properties, why string) []byte {
	if why != "" && c.problems && c.version == packet.V50 && !c.cfg.LikeMosquitto { // [MQTT-3.1.2-29]
		pr.SetReasonString(why)
		out := p.Append(dst, c.version)
		if c.takes(len(out) - len(dst)) { // [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.11.2-1] [MQTT-3.14.2-3] [MQTT-3.15.2-2]
			return out
		}
		pr.Clear(packet.PropReasonString)
	}
	return p.Append(dst, c.version)
}

// takes reports whether the client's Maximum Packet Size allows a packet of n bytes [MQTT-3.1.2-24].
func (c *conn) takes(n int) bool { return c.maxPacket == 0 || n <= int(c.maxPacket) }

// failedAck is a PUBACK or PUBREC that refuses a message.
func (c *conn) failedAck(t packet.Type, id uint16, code packet.ReasonCode, why string) ackPending {
	a := packet.Ack{Type: t, PacketID: id, Code: code}
	return ackPending{raw: c.appendPacket(nil, &a, &a.Properties, why)}
}

// ackFilters answers SUBSCRIBE or UNSUBSCRIBE with p, once ticket is stored. An
// answer that the client can't take ends the connection: nothing else could say it.
func (c *conn) ackFilters(ticket uint64, p packet.Packet, pr *packet.Properties, why string) error {
	raw := c.appendPacket(nil, p, pr, why)
	if !c.takes(len(raw)) {
		return &packet.Error{Code: packet.PacketTooLarge, Msg: p.Kind().String() + " is larger than the client accepts"}
	}
	c.ackAfter(&c.bt, ackPending{ticket: ticket, raw: raw})
	return nil
}
