package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"

	"hearthmq/broker/packet"
)

// Explain says in a sentence for people why a bridge does not stand. Of an address
// that is no MQTT broker it tells nothing that came from there (case W20).
func Explain(err error) string {
	if e, ok := errors.AsType[*localError](err); ok {
		return "this broker: " + e.err.Error()
	}
	if e, ok := errors.AsType[*refusedError](err); ok {
		return explainCode(e.code)
	}
	switch {
	case errors.Is(err, ErrForbidden):
		return ErrForbidden.Error()
	case is[x509.UnknownAuthorityError](err):
		return "its certificate is of an authority that is not trusted"
	case is[x509.HostnameError](err):
		return "its certificate is for another name"
	case is[x509.CertificateInvalidError](err):
		return "its certificate is not valid"
	case is[tls.AlertError](err):
		return "it does not accept the encryption or our certificate"
	case is[tls.RecordHeaderError](err):
		return "it does not speak TLS on this port"
	case is[*net.DNSError](err):
		return "its name is not known"
	case is[*packet.Error](err):
		return "what it says is not MQTT"
	case errors.Is(err, errSilent), errors.Is(err, errForgotten):
		return err.Error()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "it does not answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return "the connection was closed"
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return "a file of its certificates can't be read"
	}
	return "it can't be reached"
}

func explainCode(code packet.ReasonCode) string {
	switch code {
	case packet.BadUserNameOrPassword:
		return "it refuses the user name or password"
	case packet.NotAuthorized:
		return "it does not let this user in"
	case packet.ClientIDNotValid:
		return "it refuses the client identifier"
	case packet.UnsupportedProtocolVersion:
		return "it does not speak this version of MQTT"
	case packet.ServerUnavailable, packet.ServerBusy:
		return "it is not available at the moment"
	}
	return "it refuses the connection: " + code.String()
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
