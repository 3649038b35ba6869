package packet_test

import (
	"testing"

	. "hearthmq/broker/packet"
)

func TestConnack311(t *testing.T) {
	want := map[ReasonCode]byte{
		Success: 0, UnsupportedProtocolVersion: 1, ClientIDNotValid: 2,
		BadUserNameOrPassword: 4, NotAuthorized: 5, Banned: 5, BadAuthenticationMethod: 5,
		ServerUnavailable: 3, ServerBusy: 3, ServerShuttingDown: 3, UseAnotherServer: 3, ServerMoved: 3,
		QuotaExceeded: 3, ConnectionRateExceeded: 3, UnspecifiedError: 3, ImplementationError: 3,
	}
	for code, n := range want {
		if got := code.Connack311(); got != n {
			t.Errorf("%v: %d, want %d", code, got, n)
		}
	}
	for i := range 256 {
		code := ReasonCode(i)
		got := code.Connack311()
		if got > 5 || got == 0 != (code == Success) {
			t.Errorf("%v: %d", code, got)
		}
	}
}

func TestReasonCodes(t *testing.T) {
	for code, want := range map[ReasonCode]string{
		Success: "Success", GrantedQoS2: "Granted QoS 2", DisconnectWithWill: "Disconnect with Will Message",
		ClientIDNotValid: "Client Identifier not valid", PacketTooLarge: "Packet too large",
		WildcardSubscriptionsNotSupported: "Wildcard Subscriptions not supported",
		0x03:                              "Reason Code 0x03", 0xFF: "Reason Code 0xFF",
	} {
		if got := code.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if Success.Failed() || Reauthenticate.Failed() || !UnspecifiedError.Failed() {
		t.Error("Failed is wrong at 0x80")
	}
}

// reasonsOf is table 2-6 a second time, by packet.
var reasonsOf = map[Type][]ReasonCode{
	TypeConnack:  {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
	TypePuback:   {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	TypePubrec:   {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	TypePubrel:   {0x00, 0x92},
	TypePubcomp:  {0x00, 0x92},
	TypeSuback:   {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
	TypeUnsuback: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
	TypeDisconnect: {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
		0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2},
	TypeAuth: {0x00, 0x18, 0x19},
}

// Every Reason Code in every packet that has one.
func TestReasonMatrix(t *testing.T) {
	for typ, codes := range reasonsOf {
		allowed := map[ReasonCode]bool{}
		for _, code := range codes {
			allowed[code] = true
		}
		for i := range 256 {
			code := ReasonCode(i)
			body := []byte{0, 1, byte(i)} // acks
			switch typ {
			case TypeConnack:
				body = []byte{0, byte(i), 0}
			case TypeSuback, TypeUnsuback:
				body = []byte{0, 1, 0, byte(i)}
			case TypeDisconnect, TypeAuth:
				body = []byte{byte(i)}
			}
			first := byte(typ) << 4
			if typ == TypePubrel {
				first |= 2
			}
			_, err := Decode(V50, raw(first, body))
			if code.ValidIn(typ) != allowed[code] {
				t.Errorf("0x%02X in %v: ValidIn = %v", i, typ, !allowed[code])
			}
			if allowed[code] && err != nil {
				t.Errorf("0x%02X in %v: %v", i, typ, err)
			}
			if !allowed[code] {
				wantCode(t, err, ProtocolError)
			}
		}
	}
	if Success.ValidIn(0) || Success.ValidIn(16) || Success.ValidIn(TypeConnect) {
		t.Error("ValidIn accepts packets without a Reason Code")
	}
}
