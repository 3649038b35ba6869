package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/listen"
	mosq "hearthmq/broker/mosquitto"
	"hearthmq/broker/packet"
)

// Lines that programs look for are Mosquitto's.
func TestMosquittosWords(t *testing.T) {
	var out bytes.Buffer
	h := newStandInLog(io.Discard, &out, true)
	if err := h.use(mosq.Log{Types: []string{"all"}, ConnectionMessages: true}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(h)
	gone := func(code packet.ReasonCode, reason string) {
		log.Info("client disconnected", "client_id", "lamp", "user", "u", "remote", "[2001:db8::1]:2", "reason", reason, "code", code)
	}
	gone(packet.Success, "client disconnected")
	gone(packet.UnspecifiedError, closedWithout)
	gone(packet.KeepAliveTimeout, "keep alive timeout")
	gone(packet.ProtocolError, "PUBLISH twice")
	gone(packet.SessionTakenOver, "taken over by a new connection")
	refused := func(id string, why broker.Reason) {
		log.Info("client refused", "client_id", id, "user", "u", "remote", "192.0.2.5:1", "reason", string(why))
	}
	refused("la mp", broker.WrongPassword)
	refused("", broker.AnonymousOff)
	refused("lamp", broker.ServerFull)
	proxy := func(err error) { log.Warn("A proxy's connection was closed", "remote", "192.0.2.5:1", "err", err) }
	proxy(listen.ErrProxyTLS)
	proxy(listen.ErrProxyCertificate)
	proxy(errors.New("odd"))
	log.Info("A proxy's client spoke TLS", "remote", "192.0.2.5:1", "version", "TLSv1.3", "cipher", "C")
	log.Info("client connected", "client_id", "lamp", "user", "", "remote", "/run/x", "protocol", "5.0", "clean_start", true, "keep_alive", 60)
	log.Info("connection opened", "remote", "192.0.2.5:1", "listener", "127.0.0.1:1883")
	const want = `Client lamp [2001:db8::1:2] disconnected.
Client lamp [2001:db8::1:2] disconnected: connection closed by client.
Client lamp [2001:db8::1:2] disconnected: exceeded timeout.  reason="keep alive timeout"
Client lamp [2001:db8::1:2] disconnected: protocol error.  reason="PUBLISH twice"
Client lamp [2001:db8::1:2] disconnected: taken over by a new connection.
client refused  client_id="la mp" user=u remote=192.0.2.5:1 reason="wrong password"
Client "la mp" [192.0.2.5:1] disconnected: not authorised.
client refused  user=u remote=192.0.2.5:1 reason="no user name, and anonymous access is off"
Client <unknown> [192.0.2.5:1] disconnected: not authorised.
client refused  client_id=lamp user=u remote=192.0.2.5:1 reason="server full"
Connection from 192.0.2.5:1 rejected, client did not connect using TLS.
Connection from 192.0.2.5:1 rejected, client did not provide a certificate.
Connection rejected, corrupt PROXY header.  remote=192.0.2.5:1 err=odd
Connection from 192.0.2.5:1 negotiated TLSv1.3 cipher C
New client connected from /run/x:0 as lamp (p5, c1, k60).  client_id=lamp
New connection from 192.0.2.5:1 on port 1883.
`
	if got := out.String(); got != want {
		t.Errorf("%s\nwant\n%s\n%s", got, want, strings.Repeat("-", 20))
	}
}
