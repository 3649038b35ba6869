package broker_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
	"hearthmq/broker/scram"
)

// challenges knows two Authentication Methods: TALK, which asks as many questions
// as the client wants, and SCRAM-SHA-256.
type challenges struct {
	brokertest.Everything
	users map[string]scram.Credential
}

func (a *challenges) StartAuth(_ context.Context, method string, c *broker.Credentials) (broker.AuthExchange, error) {
	id := broker.Identity{ClientID: c.ClientID, User: "talker", Listener: c.Listener.Name}
	switch method {
	case "TALK":
		return &talk{id: id}, nil
	case scram.Method:
		lookup := func(name string) (scram.Credential, bool) { cred, ok := a.users[name]; return cred, ok }
		return &scramExchange{id: id, server: scram.NewServer(lookup, []byte("decoy"))}, nil
	case "DOWN":
		return nil, errors.New("directory does not answer")
	}
	return nil, broker.Refuse(broker.BadMethod, nil)
}

// talk asks "why?" until it is told "open" (as its user), "open NAME" or "no".
type talk struct{ id broker.Identity }

func (x *talk) Step(data []byte) ([]byte, *broker.Identity, error) {
	word, name, _ := strings.Cut(string(data), " ")
	switch word {
	case "open":
		if name != "" {
			x.id.User = name
		}
		return []byte("come in"), &x.id, nil
	case "no":
		return nil, nil, broker.Refuse(broker.WrongPassword, nil)
	}
	return []byte("why?"), nil, nil
}

// scramExchange is how package scram becomes an AuthExchange.
type scramExchange struct {
	id     broker.Identity
	server *scram.Server
}

func (x *scramExchange) Step(data []byte) ([]byte, *broker.Identity, error) {
	reply, done, err := x.server.Step(data)
	if err != nil {
		return nil, nil, broker.Refuse(broker.WrongPassword, err)
	}
	if !done {
		return reply, nil, nil
	}
	x.id.User = x.server.Name()
	return reply, &x.id, nil
}

func withChallenges(_ *broker.Config, d *broker.Deps) { d.Authenticator = &challenges{} }

func methodConnect(id, method, data string) packet.Connect {
	p := packet.Connect{ClientID: id, CleanStart: true, Version: packet.V50}
	p.Properties.SetAuthMethod(method)
	if data != "" {
		p.Properties.SetAuthData([]byte(data))
	}
	return p
}

func authPacket(code packet.ReasonCode, method, data string) *packet.Auth {
	p := &packet.Auth{Code: code}
	if method != "" {
		p.Properties.SetAuthMethod(method)
		p.Properties.SetAuthData([]byte(data))
	}
	return p
}

// expectAuth takes the next packet, which must be this AUTH. [MQTT-3.15.2-2] [MQTT-3.15.2-3]
func (w *world) expectAuth(c *brokertest.Client, code packet.ReasonCode, method, data string) {
	w.Helper()
	a := brokertest.Get[*packet.Auth](c)
	if a.Code != code || a.Properties.AuthMethod != method || string(a.Properties.AuthData) != data {
		w.Fatalf("AUTH %+v", a)
	}
}

func TestEnhancedAuthentication(t *testing.T) {
	inWorld(t, withChallenges, func(w *world) {
		c := w.dial(packet.V50)
		p := methodConnect("dev", "TALK", "")
		c.Send(&p)
		for range 3 {
			w.expectAuth(c, packet.ContinueAuthentication, "TALK", "why?")       // [MQTT-4.12.0-2] [MQTT-4.12.0-5]
			c.Send(authPacket(packet.ContinueAuthentication, "TALK", "because")) // [MQTT-4.12.0-3]
		}
		w.expectAuth(c, packet.ContinueAuthentication, "TALK", "why?")
		c.Send(authPacket(packet.ContinueAuthentication, "TALK", "open"))
		ack := brokertest.Get[*packet.Connack](c)
		if ack.Code != packet.Success || ack.Properties.AuthMethod != "TALK" || string(ack.Properties.AuthData) != "come in" {
			w.Fatalf("CONNACK %+v", ack) // [MQTT-4.12.0-5]
		}
		c.Subscribe("t", 0)

		for _, ok := range []bool{true, false} { // re-authentication [MQTT-4.12.1-1]
			c.Send(authPacket(packet.Reauthenticate, "TALK", ""))
			w.expectAuth(c, packet.ContinueAuthentication, "TALK", "why?")
			c.Publish("t", "meanwhile", 0, false, 0) // goes on under the old identity
			w.expectPublish(c, "t", "meanwhile", 0, false)
			if !ok {
				break
			}
			c.Send(authPacket(packet.ContinueAuthentication, "TALK", "open"))
			w.expectAuth(c, packet.Success, "TALK", "come in")
		}
		c.Send(authPacket(packet.ContinueAuthentication, "TALK", "no"))
		w.expectBye(c, packet.NotAuthorized) // [MQTT-4.12.1-2]
	})
}

func TestEnhancedAuthenticationCodes(t *testing.T) {
	inWorld(t, withChallenges, func(w *world) {
		w.refused(packet.V50, methodConnect("dev", "OTHER", ""), packet.BadAuthenticationMethod) // [MQTT-4.12.0-1]
		w.refused(packet.V50, methodConnect("dev", "TALK", "no"), packet.NotAuthorized)          // [MQTT-4.12.0-4]
		w.refused(packet.V50, methodConnect("dev", "DOWN", ""), packet.ServerUnavailable)

		for _, v := range []packet.Packet{
			&packet.Pingreq{}, &packet.Publish{Topic: []byte("t")}, // [MQTT-3.1.2-30] [MQTT-3.1.4-6]
			authPacket(packet.Reauthenticate, "TALK", ""), authPacket(packet.Success, "TALK", ""),
			authPacket(packet.ContinueAuthentication, "", ""),
		} {
			c := w.dial(packet.V50)
			p := methodConnect("dev", "TALK", "")
			c.Send(&p)
			w.expectAuth(c, packet.ContinueAuthentication, "TALK", "why?")
			c.Send(v)
			if a := brokertest.Get[*packet.Connack](c); a.Code != packet.ProtocolError || !c.Closed() {
				w.Errorf("%s: %s", v.Kind(), a.Code)
			}
		}
		c := w.dial(packet.V50)
		p := methodConnect("dev", "TALK", "")
		c.Send(&p)
		w.expectAuth(c, packet.ContinueAuthentication, "TALK", "why?")
		c.Send(authPacket(packet.ContinueAuthentication, "OTHER", ""))
		if a := brokertest.Get[*packet.Connack](c); a.Code != packet.BadAuthenticationMethod {
			w.Errorf("another method: %s", a.Code)
		}

		login := func() *brokertest.Client {
			c, _ := w.login(packet.V50, methodConnect("dev", "TALK", "open"))
			return c
		}
		c = login()
		c.Send(authPacket(packet.Reauthenticate, scram.Method, "")) // [MQTT-4.12.1-1]
		w.expectBye(c, packet.BadAuthenticationMethod)
		c = login()
		c.Send(authPacket(packet.ContinueAuthentication, "TALK", "")) // nothing is under way
		w.expectBye(c, packet.ProtocolError)
		c = login()
		c.Send(authPacket(packet.Reauthenticate, "TALK", "open admin")) // case A10
		w.expectBye(c, packet.NotAuthorized)
		c = w.clean(packet.V50, "plain") // [MQTT-4.12.0-6]
		c.Send(authPacket(packet.Reauthenticate, "TALK", ""))
		w.expectBye(c, packet.ProtocolError) // [MQTT-4.12.0-7]

		c = w.dial(packet.V50) // silence in the middle
		p = methodConnect("dev", "TALK", "")
		c.Send(&p)
		w.expectAuth(c, packet.ContinueAuthentication, "TALK", "why?")
		brokertest.Pass(61 * time.Second)
		if !c.Closed() {
			w.Error("an exchange may stand for ever")
		}
	})
	inWorld(t, nil, func(w *world) { // an Authenticator that knows no methods
		w.refused(packet.V50, methodConnect("dev", "TALK", ""), packet.BadAuthenticationMethod)
	})
}

// case P35: a connection in the middle of its exchange, and another with its Client Identifier.
func TestEnhancedAuthenticationTakeOver(t *testing.T) {
	inWorld(t, withChallenges, func(w *world) {
		first := w.dial(packet.V50)
		p := methodConnect("dev", "TALK", "")
		first.Send(&p)
		w.expectAuth(first, packet.ContinueAuthentication, "TALK", "why?")
		second, _ := w.login(packet.V50, methodConnect("dev", "TALK", "open"))
		second.Send(authPacket(packet.Reauthenticate, "TALK", ""))
		w.expectAuth(second, packet.ContinueAuthentication, "TALK", "why?")
		first.Send(authPacket(packet.ContinueAuthentication, "TALK", "open"))
		if a := brokertest.Get[*packet.Connack](first); a.Code != packet.Success {
			w.Fatal(a.Code)
		}
		w.expectBye(second, packet.SessionTakenOver)
		second.Send(authPacket(packet.ContinueAuthentication, "TALK", "open"))
		first.Send(&packet.Pingreq{})
		brokertest.Get[*packet.Pingresp](first)
	})
}

func TestScram(t *testing.T) {
	cred, err := scram.NewCredential("pencil", []byte("some salt"), scram.MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	mod := func(_ *broker.Config, d *broker.Deps) {
		d.Authenticator = &challenges{users: map[string]scram.Credential{"user": cred}}
	}
	inWorld(t, mod, func(w *world) {
		c := w.dial(packet.V50)
		const bare = "n=user,r=clientnonce"
		p := methodConnect("dev", scram.Method, "n,,"+bare)
		c.Send(&p)
		first := string(brokertest.Get[*packet.Auth](c).Properties.AuthData)
		final, proof := scramFinal(t, "pencil", bare, first)
		c.Send(authPacket(packet.ContinueAuthentication, scram.Method, final))
		ack := brokertest.Get[*packet.Connack](c)
		if ack.Code != packet.Success || string(ack.Properties.AuthData) != "v="+proof {
			t.Fatalf("%s, %s", ack.Code, ack.Properties.AuthData)
		}
		if in, _, _ := w.b.Session("dev"); in.User != "user" {
			t.Errorf("user %q", in.User)
		}
		for _, bad := range []string{"n=user,r=x", "n=nobody,r=x"} { // wrong password, unknown user: the same
			c = w.dial(packet.V50)
			p = methodConnect("dev2", scram.Method, "n,,"+bad)
			c.Send(&p)
			first = string(brokertest.Get[*packet.Auth](c).Properties.AuthData)
			final, _ = scramFinal(t, "guess", bad, first)
			c.Send(authPacket(packet.ContinueAuthentication, scram.Method, final))
			if a := brokertest.Get[*packet.Connack](c); a.Code != packet.NotAuthorized || !c.Closed() {
				t.Errorf("%s: %s", bad, a.Code)
			}
		}
	})
}

// scramFinal is the client's side of RFC 5802: its last message and the proof to expect.
func scramFinal(t *testing.T, password, bare, first string) (final, server string) {
	t.Helper()
	var nonce, salt64 string
	for _, f := range strings.Split(first, ",") {
		switch {
		case strings.HasPrefix(f, "r="):
			nonce = f[2:]
		case strings.HasPrefix(f, "s="):
			salt64 = f[2:]
		}
	}
	salt, err := base64.StdEncoding.DecodeString(salt64)
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, scram.MinIterations, 32)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	client := sum(salted, "Client Key")
	stored := sha256.Sum256(client)
	without := "c=biws,r=" + nonce
	auth := bare + "," + first + "," + without
	proof := bytes.Clone(client)
	for i, x := range sum(stored[:], auth) {
		proof[i] ^= x
	}
	return without + ",p=" + base64.StdEncoding.EncodeToString(proof),
		base64.StdEncoding.EncodeToString(sum(sum(salted, "Server Key"), auth))
}
