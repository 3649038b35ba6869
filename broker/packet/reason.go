package packet

import "fmt"

// Error is a protocol violation with the Reason Code to answer it with. The
// values this package returns are shared and must not be changed.
type Error struct {
	Code ReasonCode
	Msg  string // what is wrong, for the log; never the packet's own bytes
}

// Error returns the message followed by the Reason Code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s, 0x%02X)", e.Msg, e.Code, byte(e.Code)) }

// ReasonCode is the result of an operation, table 2-6. Codes from 0x80 on are failures.
type ReasonCode byte

// All Reason Codes of MQTT 5. Success is also "Normal disconnection" in
// DISCONNECT and "Granted QoS 0" in SUBACK.
const (
	Success                           ReasonCode = 0x00
	GrantedQoS0                       ReasonCode = 0x00
	GrantedQoS1                       ReasonCode = 0x01
	GrantedQoS2                       ReasonCode = 0x02
	DisconnectWithWill                ReasonCode = 0x04
	NoMatchingSubscribers             ReasonCode = 0x10
	NoSubscriptionExisted             ReasonCode = 0x11
	ContinueAuthentication            ReasonCode = 0x18
	Reauthenticate                    ReasonCode = 0x19
	UnspecifiedError                  ReasonCode = 0x80
	MalformedPacket                   ReasonCode = 0x81
	ProtocolError                     ReasonCode = 0x82
	ImplementationError               ReasonCode = 0x83
	UnsupportedProtocolVersion        ReasonCode = 0x84
	ClientIDNotValid                  ReasonCode = 0x85
	BadUserNameOrPassword             ReasonCode = 0x86
	NotAuthorized                     ReasonCode = 0x87
	ServerUnavailable                 ReasonCode = 0x88
	ServerBusy                        ReasonCode = 0x89
	Banned                            ReasonCode = 0x8A
	ServerShuttingDown                ReasonCode = 0x8B
	BadAuthenticationMethod           ReasonCode = 0x8C
	KeepAliveTimeout                  ReasonCode = 0x8D
	SessionTakenOver                  ReasonCode = 0x8E
	TopicFilterInvalid                ReasonCode = 0x8F
	TopicNameInvalid                  ReasonCode = 0x90
	PacketIDInUse                     ReasonCode = 0x91
	PacketIDNotFound                  ReasonCode = 0x92
	ReceiveMaximumExceeded            ReasonCode = 0x93
	TopicAliasInvalid                 ReasonCode = 0x94
	PacketTooLarge                    ReasonCode = 0x95
	MessageRateTooHigh                ReasonCode = 0x96
	QuotaExceeded                     ReasonCode = 0x97
	AdministrativeAction              ReasonCode = 0x98
	PayloadFormatInvalid              ReasonCode = 0x99
	RetainNotSupported                ReasonCode = 0x9A
	QoSNotSupported                   ReasonCode = 0x9B
	UseAnotherServer                  ReasonCode = 0x9C
	ServerMoved                       ReasonCode = 0x9D
	SharedSubscriptionsNotSupported   ReasonCode = 0x9E
	ConnectionRateExceeded            ReasonCode = 0x9F
	MaximumConnectTime                ReasonCode = 0xA0
	SubscriptionIDsNotSupported       ReasonCode = 0xA1
	WildcardSubscriptionsNotSupported ReasonCode = 0xA2
)

// packetSet is a set of packet types, one bit each.
type packetSet uint16

const (
	inWill        packetSet = 1 << 0 // the reserved type's bit stands for will properties
	inConnect     packetSet = 1 << TypeConnect
	inConnack     packetSet = 1 << TypeConnack
	inPublish     packetSet = 1 << TypePublish
	inPuback      packetSet = 1 << TypePuback
	inPubrec      packetSet = 1 << TypePubrec
	inPubrel      packetSet = 1 << TypePubrel
	inPubcomp     packetSet = 1 << TypePubcomp
	inSubscribe   packetSet = 1 << TypeSubscribe
	inSuback      packetSet = 1 << TypeSuback
	inUnsubscribe packetSet = 1 << TypeUnsubscribe
	inUnsuback    packetSet = 1 << TypeUnsuback
	inDisconnect  packetSet = 1 << TypeDisconnect
	inAuth        packetSet = 1 << TypeAuth

	inAnswer    = inPuback | inPubrec
	inSubAnswer = inSuback | inUnsuback
	inClosing   = inConnack | inDisconnect
)

// reasons is table 2-6: the words, and the packets that may carry the code.
var reasons = [...]struct {
	words string
	in    packetSet
}{
	Success: {"Success", inConnack | inAnswer | inPubrel | inPubcomp | inSubAnswer | inDisconnect | inAuth},

	GrantedQoS1:            {"Granted QoS 1", inSuback},
	GrantedQoS2:            {"Granted QoS 2", inSuback},
	DisconnectWithWill:     {"Disconnect with Will Message", inDisconnect},
	NoMatchingSubscribers:  {"No matching subscribers", inAnswer},
	NoSubscriptionExisted:  {"No subscription existed", inUnsuback},
	ContinueAuthentication: {"Continue authentication", inAuth},
	Reauthenticate:         {"Re-authenticate", inAuth},

	UnspecifiedError:                  {"Unspecified error", inClosing | inAnswer | inSubAnswer},
	MalformedPacket:                   {"Malformed Packet", inClosing},
	ProtocolError:                     {"Protocol Error", inClosing},
	ImplementationError:               {"Implementation specific error", inClosing | inAnswer | inSubAnswer},
	UnsupportedProtocolVersion:        {"Unsupported Protocol Version", inConnack},
	ClientIDNotValid:                  {"Client Identifier not valid", inConnack},
	BadUserNameOrPassword:             {"Bad User Name or Password", inConnack},
	NotAuthorized:                     {"Not authorized", inClosing | inAnswer | inSubAnswer},
	ServerUnavailable:                 {"Server unavailable", inConnack},
	ServerBusy:                        {"Server busy", inClosing},
	Banned:                            {"Banned", inConnack},
	ServerShuttingDown:                {"Server shutting down", inDisconnect},
	BadAuthenticationMethod:           {"Bad authentication method", inClosing},
	KeepAliveTimeout:                  {"Keep Alive timeout", inDisconnect},
	SessionTakenOver:                  {"Session taken over", inDisconnect},
	TopicFilterInvalid:                {"Topic Filter invalid", inSubAnswer | inDisconnect},
	TopicNameInvalid:                  {"Topic Name invalid", inClosing | inAnswer},
	PacketIDInUse:                     {"Packet Identifier in use", inAnswer | inSubAnswer},
	PacketIDNotFound:                  {"Packet Identifier not found", inPubrel | inPubcomp},
	ReceiveMaximumExceeded:            {"Receive Maximum exceeded", inDisconnect},
	TopicAliasInvalid:                 {"Topic Alias invalid", inDisconnect},
	PacketTooLarge:                    {"Packet too large", inClosing},
	MessageRateTooHigh:                {"Message rate too high", inDisconnect},
	QuotaExceeded:                     {"Quota exceeded", inClosing | inAnswer | inSuback},
	AdministrativeAction:              {"Administrative action", inDisconnect},
	PayloadFormatInvalid:              {"Payload format invalid", inClosing | inAnswer},
	RetainNotSupported:                {"Retain not supported", inClosing},
	QoSNotSupported:                   {"QoS not supported", inClosing},
	UseAnotherServer:                  {"Use another server", inClosing},
	ServerMoved:                       {"Server moved", inClosing},
	SharedSubscriptionsNotSupported:   {"Shared Subscriptions not supported", inSuback | inDisconnect},
	ConnectionRateExceeded:            {"Connection rate exceeded", inClosing},
	MaximumConnectTime:                {"Maximum connect time", inDisconnect},
	SubscriptionIDsNotSupported:       {"Subscription Identifiers not supported", inSuback | inDisconnect},
	WildcardSubscriptionsNotSupported: {"Wildcard Subscriptions not supported", inSuback | inDisconnect},
}

// String returns the specification's words, or the number of an unknown code.
func (c ReasonCode) String() string {
	if int(c) < len(reasons) && reasons[c].words != "" {
		return reasons[c].words
	}
	return fmt.Sprintf("Reason Code 0x%02X", byte(c))
}

// Failed reports whether the code stands for a failure, 0x80 and above.
func (c ReasonCode) Failed() bool { return c >= 0x80 }

// ValidIn reports whether table 2-6 allows the code in packets of type t,
// whichever side sends them.
func (c ReasonCode) ValidIn(t Type) bool {
	return int(c) < len(reasons) && t <= TypeAuth && t != 0 && reasons[c].in&(1<<t) != 0
}

var errReason = &Error{ProtocolError, "Reason Code is not one of this packet's"}

// Connack311 maps the code to a Connect Return code of MQTT 3.1 and 3.1.1,
// 0..5. Home Assistant takes 4 and 5 as "ask the owner for new credentials", so
// only refusals of the credentials themselves become these; everything that can
// pass by itself is 3, Server unavailable.
func (c ReasonCode) Connack311() byte {
	switch c {
	case Success:
		return 0
	case UnsupportedProtocolVersion:
		return 1
	case ClientIDNotValid:
		return 2
	case BadUserNameOrPassword:
		return 4
	case NotAuthorized, Banned, BadAuthenticationMethod:
		return 5
	}
	return 3
}

// fromReturnCode is the way back, for clients.
var fromReturnCode = [...]ReasonCode{
	Success, UnsupportedProtocolVersion, ClientIDNotValid, ServerUnavailable, BadUserNameOrPassword, NotAuthorized,
}
