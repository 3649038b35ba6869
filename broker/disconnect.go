package broker

import "hearthmq/broker/packet"

// handleDisconnect ends the connection as its client wants it.
func (c *conn) handleDisconnect(f packet.Frame) error {
	var p packet.Disconnect
	if err := p.Decode(c.version, f); err != nil {
		if c.cfg.LikeMosquitto && len(f.Body) == 1 && !packet.ReasonCode(f.Body[0]).ValidIn(packet.TypeDisconnect) {
			return quiet{err.(*packet.Error)} // Mosquitto does not look at the code
		}
		return err
	}
	var bad error
	switch {
	case p.Properties.Has(packet.PropServerReference):
		bad = protocolError("Server Reference in a DISCONNECT from a client")
	case !fromClient(p.Code):
		bad = protocolError("DISCONNECT with a Reason Code of servers")
	}
	if bad != nil && c.cfg.LikeMosquitto {
		return quiet{bad.(*packet.Error)}
	}
	if bad != nil {
		return bad
	}
	if p.Properties.Has(packet.PropSessionExpiry) {
		if c.expiry == 0 && p.Properties.SessionExpiry != 0 {
			return protocolError("Session Expiry Interval set by DISCONNECT after 0 in CONNECT")
		}
		c.expiry = c.b.capExpiry(p.Properties.SessionExpiry)
	}
	c.discarded = p.Code == packet.Success // [MQTT-3.1.2-10] [MQTT-3.14.4-3]
	c.endWith(p.Code, "client disconnected")
	return errDisconnect
}

// fromClient reports whether a client may send the Reason Code in DISCONNECT (3.14.2.1).
func fromClient(code packet.ReasonCode) bool {
	switch code {
	case packet.Success, packet.DisconnectWithWill, packet.UnspecifiedError, packet.MalformedPacket, packet.ProtocolError,
		packet.ImplementationError, packet.BadAuthenticationMethod, packet.TopicNameInvalid, packet.ReceiveMaximumExceeded,
		packet.TopicAliasInvalid, packet.PacketTooLarge, packet.MessageRateTooHigh, packet.QuotaExceeded,
		packet.AdministrativeAction, packet.PayloadFormatInvalid:
		return true
	}
	return false
}
