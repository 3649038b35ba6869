package packet

import (
	"bytes"
	"strconv"
)

// PropID is a Property Identifier, table 2-4.
type PropID byte

// The 27 properties of MQTT 5.
const (
	PropPayloadFormat       PropID = 0x01
	PropMessageExpiry       PropID = 0x02
	PropContentType         PropID = 0x03
	PropResponseTopic       PropID = 0x08
	PropCorrelationData     PropID = 0x09
	PropSubscriptionID      PropID = 0x0B
	PropSessionExpiry       PropID = 0x11
	PropAssignedClientID    PropID = 0x12
	PropServerKeepAlive     PropID = 0x13
	PropAuthMethod          PropID = 0x15
	PropAuthData            PropID = 0x16
	PropRequestProblemInfo  PropID = 0x17
	PropWillDelay           PropID = 0x18
	PropRequestResponseInfo PropID = 0x19
	PropResponseInfo        PropID = 0x1A
	PropServerReference     PropID = 0x1C
	PropReasonString        PropID = 0x1F
	PropReceiveMaximum      PropID = 0x21
	PropTopicAliasMaximum   PropID = 0x22
	PropTopicAlias          PropID = 0x23
	PropMaximumQoS          PropID = 0x24
	PropRetainAvailable     PropID = 0x25
	PropUser                PropID = 0x26
	PropMaximumPacketSize   PropID = 0x27
	PropWildcardAvailable   PropID = 0x28
	PropSubIDAvailable      PropID = 0x29
	PropSharedAvailable     PropID = 0x2A
)

// MaxUserProperties is how many User Properties one set of properties may hold; more
// are answered with QuotaExceeded. It bounds what a packet of megabytes grows to when
// it is decoded.
const MaxUserProperties = 8192

// kind is a property's wire type.
type kind byte

const (
	kindNone   kind = iota // not a property
	kindFlag               // byte, 0 or 1
	kindU16                // Two Byte Integer
	kindU32                // Four Byte Integer
	kindVarint             // Variable Byte Integer
	kindText               // UTF-8 Encoded String
	kindBinary             // Binary Data
	kindPair               // UTF-8 String Pair
)

// property is one row of table 2-4.
type property struct {
	name    string
	kind    kind
	in      packetSet // may stand there
	many    packetSet // may stand there more than once
	nonZero bool      // 0 is a Protocol Error
}

const inAll = inWill | inConnect | inConnack | inPublish | inPuback | inPubrec | inPubrel | inPubcomp |
	inSubscribe | inSuback | inUnsubscribe | inUnsuback | inDisconnect | inAuth

const (
	inReason = inConnack | inPuback | inPubrec | inPubrel | inPubcomp | inSubAnswer | inDisconnect | inAuth
	inLogin  = inConnect | inConnack | inAuth
	inLimits = inConnect | inConnack
)

// table is table 2-4, indexed by identifier.
var table = [...]property{
	PropPayloadFormat:       {name: "Payload Format Indicator", kind: kindFlag, in: inPublish | inWill},
	PropMessageExpiry:       {name: "Message Expiry Interval", kind: kindU32, in: inPublish | inWill},
	PropContentType:         {name: "Content Type", kind: kindText, in: inPublish | inWill},
	PropResponseTopic:       {name: "Response Topic", kind: kindText, in: inPublish | inWill},
	PropCorrelationData:     {name: "Correlation Data", kind: kindBinary, in: inPublish | inWill},
	PropSubscriptionID:      {name: "Subscription Identifier", kind: kindVarint, in: inPublish | inSubscribe, many: inPublish, nonZero: true},
	PropSessionExpiry:       {name: "Session Expiry Interval", kind: kindU32, in: inLimits | inDisconnect},
	PropAssignedClientID:    {name: "Assigned Client Identifier", kind: kindText, in: inConnack},
	PropServerKeepAlive:     {name: "Server Keep Alive", kind: kindU16, in: inConnack},
	PropAuthMethod:          {name: "Authentication Method", kind: kindText, in: inLogin},
	PropAuthData:            {name: "Authentication Data", kind: kindBinary, in: inLogin},
	PropRequestProblemInfo:  {name: "Request Problem Information", kind: kindFlag, in: inConnect},
	PropWillDelay:           {name: "Will Delay Interval", kind: kindU32, in: inWill},
	PropRequestResponseInfo: {name: "Request Response Information", kind: kindFlag, in: inConnect},
	PropResponseInfo:        {name: "Response Information", kind: kindText, in: inConnack},
	PropServerReference:     {name: "Server Reference", kind: kindText, in: inConnack | inDisconnect},
	PropReasonString:        {name: "Reason String", kind: kindText, in: inReason},
	PropReceiveMaximum:      {name: "Receive Maximum", kind: kindU16, in: inLimits, nonZero: true},
	PropTopicAliasMaximum:   {name: "Topic Alias Maximum", kind: kindU16, in: inLimits},
	PropTopicAlias:          {name: "Topic Alias", kind: kindU16, in: inPublish}, // 0 is 0x94, the broker's answer
	PropMaximumQoS:          {name: "Maximum QoS", kind: kindFlag, in: inConnack},
	PropRetainAvailable:     {name: "Retain Available", kind: kindFlag, in: inConnack},
	PropUser:                {name: "User Property", kind: kindPair, in: inAll, many: inAll},
	PropMaximumPacketSize:   {name: "Maximum Packet Size", kind: kindU32, in: inLimits, nonZero: true},
	PropWildcardAvailable:   {name: "Wildcard Subscription Available", kind: kindFlag, in: inConnack},
	PropSubIDAvailable:      {name: "Subscription Identifiers Available", kind: kindFlag, in: inConnack},
	PropSharedAvailable:     {name: "Shared Subscription Available", kind: kindFlag, in: inConnack},
}

// lookup returns the row of id; kindNone for a number that is no property.
func lookup(id PropID) *property {
	if int(id) < len(table) {
		return &table[id]
	}
	return &table[0]
}

// String returns the property's name in the specification's words.
func (id PropID) String() string {
	if p := lookup(id); p.kind != kindNone {
		return p.name
	}
	return "property " + strconv.Itoa(int(id))
}

// ValidIn reports whether packets of type t may carry the property.
func (id PropID) ValidIn(t Type) bool {
	return t != 0 && t <= TypeAuth && lookup(id).in&(1<<t) != 0
}

// ValidInWill reports whether it may stand among the will properties of CONNECT.
func (id PropID) ValidInWill() bool { return lookup(id).in&inWill != 0 }

// UserProperty is one name-value pair; the same name may appear more than once.
type UserProperty struct{ Key, Value string }

// Properties are the properties of any packet but PUBLISH, and of a Will. A
// property is present when its field is not the zero value or when it was
// marked by Mark, a Set method or decoding, so that an explicit 0 or "" can be
// told from none: see Has. Strings and bytes are copies.
//
// When a packet is encoded, properties that it may not carry are left out.
type Properties struct {
	PayloadFormat       byte // 1: the payload is UTF-8 text
	MessageExpiry       uint32
	ContentType         string
	ResponseTopic       string
	CorrelationData     []byte
	SubscriptionIDs     []uint32
	SessionExpiry       uint32
	AssignedClientID    string
	ServerKeepAlive     uint16
	AuthMethod          string
	AuthData            []byte
	RequestProblemInfo  byte
	WillDelay           uint32
	RequestResponseInfo byte
	ResponseInfo        string
	ServerReference     string
	ReasonString        string
	ReceiveMaximum      uint16
	TopicAliasMaximum   uint16
	TopicAlias          uint16
	MaximumQoS          byte
	RetainAvailable     byte
	User                []UserProperty
	MaximumPacketSize   uint32
	WildcardAvailable   byte
	SubIDAvailable      byte
	SharedAvailable     byte

	marked uint64 // bit id: present whatever the field's value
}

// Has reports whether the property is present.
func (p *Properties) Has(id PropID) bool {
	if p.marked&bit(id) != 0 {
		return true
	}
	switch lookup(id).kind {
	case kindFlag:
		return *p.flag(id) != 0
	case kindU16:
		return *p.u16(id) != 0
	case kindU32:
		return *p.u32(id) != 0
	case kindText:
		return *p.text(id) != ""
	case kindBinary:
		return len(*p.binary(id)) > 0
	case kindVarint:
		return len(p.SubscriptionIDs) > 0
	case kindPair:
		return len(p.User) > 0
	}
	return false
}

// Mark makes the properties present with the value they have, even if it is
// zero. It does nothing for Subscription Identifier and User Property, which
// are present when their slices are not empty, nor for unknown identifiers.
func (p *Properties) Mark(ids ...PropID) {
	for _, id := range ids {
		switch lookup(id).kind {
		case kindNone, kindVarint, kindPair:
		default:
			p.marked |= bit(id)
		}
	}
}

// Clear removes properties.
func (p *Properties) Clear(ids ...PropID) {
	for _, id := range ids {
		p.marked &^= bit(id)
		switch lookup(id).kind {
		case kindFlag:
			*p.flag(id) = 0
		case kindU16:
			*p.u16(id) = 0
		case kindU32:
			*p.u32(id) = 0
		case kindText:
			*p.text(id) = ""
		case kindBinary:
			*p.binary(id) = nil
		case kindVarint:
			p.SubscriptionIDs = nil
		case kindPair:
			p.User = nil
		}
	}
}

// Equal reports whether both sets have the same properties with the same
// values; User Properties and Subscription Identifiers in the same order.
func (p Properties) Equal(q Properties) bool {
	return bytes.Equal(p.appendTo(nil, inAny), q.appendTo(nil, inAny))
}

func bit(id PropID) uint64 { return 1 << (id & 63) }
