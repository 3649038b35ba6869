package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/listen"
	"hearthmq/broker/packet"
)

// There are programs that look for certain lines of Mosquitto's log: what bans an address
// after wrong passwords, what counts connections. Those lines are written here as
// Mosquitto 2.1 writes them.

// mosquittoSays makes a line of Mosquitto's of a message of ours, by its text. said are
// the attributes that are in it; the others stand behind. With nil the line stands by
// itself, behind ours.
var mosquittoSays = map[string]func(of map[string]slog.Value) (line string, said []string){
	"connection opened": func(of map[string]slog.Value) (string, []string) {
		port := of["listener"].String()
		return fmt.Sprintf("New connection from %s on port %s.", place(of), port[strings.LastIndexByte(port, ':')+1:]), []string{"remote", "listener"}
	},
	"client connected":                newClient,
	"client disconnected":             clientGone,
	"client refused":                  clientRefused,
	"A proxy's connection was closed": proxyRefused,
	"A proxy's client spoke TLS": func(of map[string]slog.Value) (string, []string) {
		return fmt.Sprintf("Connection from %s negotiated %s cipher %s", place(of), of["version"], of["cipher"]), []string{"remote", "version", "cipher"}
	},
}

func attrsOf(r *slog.Record) map[string]slog.Value {
	of := make(map[string]slog.Value, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		of[a.Key] = a.Value
		return true
	})
	return of
}

// word is an attribute that a client has a say in.
func word(of map[string]slog.Value, key string) string {
	if w := shortened(of[key].String()); plain(w) {
		return w
	}
	return strconv.Quote(shortened(of[key].String()))
}

// place is where a client is: Mosquitto knows no brackets, and no place without a port.
func place(of map[string]slog.Value) string {
	remote := of["remote"].String()
	if strings.HasPrefix(remote, "/") {
		return remote + ":0"
	}
	return strings.NewReplacer("[", "", "]", "").Replace(remote)
}

func newClient(of map[string]slog.Value) (string, []string) {
	protocol := map[string]string{"3.1": "1", "3.1.1": "2", "5.0": "5"}[of["protocol"].String()]
	clean := map[string]string{"true": "1"}[of["clean_start"].String()]
	line := fmt.Sprintf("New client connected from %s as %s (p%s, c%s, k%s", place(of), word(of, "client_id"), protocol, cmp.Or(clean, "0"), of["keep_alive"])
	if of["user"].String() != "" {
		line += fmt.Sprintf(", u'%s'", word(of, "user"))
	}
	return line + ").", []string{"user", "remote", "protocol", "clean_start", "keep_alive"}
}

// endings are Mosquitto's words for how a connection ended, by Reason Code.
var endings = map[packet.ReasonCode]string{
	packet.MalformedPacket: "malformed packet", packet.ProtocolError: "protocol error", packet.NotAuthorized: "not authorised",
	packet.KeepAliveTimeout: "exceeded timeout", packet.PacketTooLarge: "oversize packet", packet.AdministrativeAction: "administrative action",
	packet.ReceiveMaximumExceeded: "receive maximum exceeded",
}

func clientGone(of map[string]slog.Value) (string, []string) {
	line, reason := fmt.Sprintf("Client %s [%s] disconnected", word(of, "client_id"), place(of)), of["reason"].String()
	said := []string{"client_id", "user", "remote", "reason", "code"}
	code, _ := of["code"].Any().(packet.ReasonCode)
	switch why := endings[code]; {
	case code == packet.Success:
		return line + ".", said
	case why != "":
		return line + ": " + why + ".", append(said[:3:3], "code") // ours tells more
	case reason == closedWithout:
		return line + ": connection closed by client.", said
	default:
		return line + ": " + reason + ".", said
	}
}

// closedWithout is the reason of the broker for a connection that just ended.
const closedWithout = "connection closed without DISCONNECT"

// wrong are the reasons to refuse a client for which its address may be banned.
var wrong = []broker.Reason{
	broker.UnknownUser, broker.WrongPassword, broker.UserDisabled, broker.CertificateInvalid, broker.CertificateRequired, broker.NetworkNotAllowed,
	broker.TooManyAttempts, broker.AnonymousOff, broker.WillNotAllowed, broker.Blocked,
}

func clientRefused(of map[string]slog.Value) (string, []string) {
	if !slices.Contains(wrong, broker.Reason(of["reason"].String())) {
		return "", nil
	}
	id := "<unknown>"
	if of["client_id"].String() != "" {
		id = word(of, "client_id")
	}
	return fmt.Sprintf("Client %s [%s] disconnected: not authorised.", id, place(of)), nil
}

func proxyRefused(of map[string]slog.Value) (string, []string) {
	err, _ := of["err"].Any().(error)
	why := ""
	switch {
	case errors.Is(err, listen.ErrProxyTLS):
		why = "client did not connect using TLS."
	case errors.Is(err, listen.ErrProxyCertificate):
		why = "client did not provide a certificate."
	default:
		return "Connection rejected, corrupt PROXY header.", []string{""}
	}
	return fmt.Sprintf("Connection from %s rejected, %s", place(of), why), []string{"remote", "err"}
}
