package broker

import (
	"bytes"
	"errors"

	"hearthmq/broker/packet"
)

var (
	errTLSHere   = errors.New("the client wants encryption (TLS), and this port is without")
	errProxyHere = errors.New("the connection begins with a PROXY protocol header, and proxy_protocol does not name its address")
	errWebHere   = errors.New("the client speaks HTTP or WebSocket, and this port is for MQTT alone")
)

// wrongDoor tells what else than MQTT speaks on a port for MQTT alone by its first
// bytes, so that owners read more than that the packet is broken: in a device's settings
// a port is wrong quickly. nil: it may be MQTT.
func (c *conn) wrongDoor(first []byte) *Refusal {
	switch {
	case c.auth != nil || c.info.TLS || c.info.WebSocket || c.cfg.LikeMosquitto:
	case len(first) > 1 && first[0] == 0x16 && first[1] == 3: // a record of TLS: a handshake, version 3.x; no CONNECT has such flags
		return &Refusal{Reason: WrongDoor, Code: packet.MalformedPacket, Err: errTLSHere}
	case bytes.HasPrefix(first, []byte("PROXY ")), bytes.HasPrefix(first, []byte("\r\n\r\n\x00\r\nQUIT")):
		return &Refusal{Reason: UnknownProxy, Code: packet.ProtocolError, Err: errProxyHere}
	case bytes.HasPrefix(first, []byte("GET ")), bytes.HasPrefix(first, []byte("POST ")), bytes.HasPrefix(first, []byte("HEAD ")):
		return &Refusal{Reason: WrongDoor, Code: packet.ProtocolError, Err: errWebHere}
	}
	return nil
}

// turnAway ends the connection of a client that would not understand an answer.
func (c *conn) turnAway(r *Refusal) error {
	c.b.refused(c.guest, "", "", r)
	c.endWith(r.Code, "refused")
	c.closeAfter(nil)
	return errClosed
}
