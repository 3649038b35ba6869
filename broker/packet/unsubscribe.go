package packet

// Unsubscribe is an UNSUBSCRIBE packet.
type Unsubscribe struct {
	PacketID   uint16
	Filters    []string
	Properties Properties // User Properties
}

// Kind returns TypeUnsubscribe.
func (p *Unsubscribe) Kind() Type { return TypeUnsubscribe }

// Decode reads an UNSUBSCRIBE. Errors are those of Subscribe.Decode.
func (p *Unsubscribe) Decode(v Version, f Frame) error {
	*p = Unsubscribe{}
	c := open(v, f, TypeUnsubscribe) // [MQTT-3.10.1-1]
	p.PacketID = c.id()
	c.properties(v, inUnsubscribe, &p.Properties)
	n, err := countFilters(c, 0)
	if err != nil {
		return err
	}
	if n == 0 && v != V31 { // [MQTT-3.10.3-2]
		return errNoFilters
	}
	p.Filters = make([]string, n)
	for i := range p.Filters {
		p.Filters[i] = string(c.text()) // [MQTT-3.10.3-1]
	}
	return c.end()
}

// Append encodes the packet.
func (p *Unsubscribe) Append(dst []byte, v Version) []byte {
	dst = append(dst, firstByte(TypeUnsubscribe))
	start := len(dst)
	dst = p.Properties.appendBlock(appendU16(dst, p.PacketID), v, inUnsubscribe)
	for _, filter := range p.Filters {
		dst = appendText(dst, filter)
	}
	return prefixLength(dst, start)
}

// Unsuback is an UNSUBACK packet: on MQTT 5 one code per Topic Filter, in their
// order; before, the Packet Identifier alone.
type Unsuback struct {
	PacketID   uint16
	Codes      []ReasonCode
	Properties Properties
}

// Kind returns TypeUnsuback.
func (p *Unsuback) Kind() Type { return TypeUnsuback }

// Decode reads an UNSUBACK. Errors are *Error.
func (p *Unsuback) Decode(v Version, f Frame) error {
	*p = Unsuback{}
	c := open(v, f, TypeUnsuback)
	p.PacketID = c.id()
	c.properties(v, inUnsuback, &p.Properties)
	if v == V50 {
		p.Codes = c.codes(TypeUnsuback)
	}
	return c.end()
}

// Append encodes the packet.
func (p *Unsuback) Append(dst []byte, v Version) []byte {
	dst = append(dst, firstByte(TypeUnsuback))
	start := len(dst)
	dst = p.Properties.appendBlock(appendU16(dst, p.PacketID), v, inUnsuback)
	if v == V50 {
		for _, code := range p.Codes {
			dst = append(dst, byte(code))
		}
	}
	return prefixLength(dst, start)
}
