package broker

import (
	"context"
	"errors"
	"time"

	"hearthmq/broker/packet"
)

// authFlow is an enhanced authentication under way on a connection: the one that
// its CONNECT began, or a later re-authentication. The reader owns it.
type authFlow struct {
	exchange AuthExchange
	connect  *packet.Connect // of the CONNECT that waits for its CONNACK, nil: re-authentication
	assigned bool
	deadline *time.Timer
}

// startAuth begins the exchange that CONNECT asks for.
func (c *conn) startAuth(p *packet.Connect, assigned bool) error {
	x, err := c.exchange(p.Properties.AuthMethod, p)
	if err != nil {
		return c.refuse(p, err) // [MQTT-4.12.0-1]
	}
	c.method = p.Properties.AuthMethod
	c.auth = &authFlow{exchange: x, connect: p, assigned: assigned}
	c.auth.deadline = time.AfterFunc(authTimeout, func() { c.nc.Close() })
	return c.stepAuth(p.Properties.AuthData)
}

// exchange asks the Authenticator to begin. The error is a *Refusal.
func (c *conn) exchange(method string, p *packet.Connect) (AuthExchange, error) {
	enhanced, ok := c.b.deps.Authenticator.(EnhancedAuthenticator)
	if !ok {
		return nil, &Refusal{Reason: BadMethod, Code: packet.BadAuthenticationMethod}
	}
	cred, err := c.credentials(p)
	if err != nil {
		return nil, err
	}
	defer clear(cred.Password)
	ctx, cancel := context.WithTimeout(c.lifetime(), authTimeout)
	defer cancel()
	x, err := enhanced.StartAuth(ctx, method, cred)
	return x, refusalOf(err)
}

// refusalOf makes every error of an Authenticator a *Refusal.
func refusalOf(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Refusal](err); ok {
		return err
	}
	return Refuse(BackendUnavailable, err)
}

// stepAuth gives the client's data to the exchange and acts on what it says.
func (c *conn) stepAuth(data []byte) error {
	flow := c.auth
	reply, id, err := flow.exchange.Step(data)
	switch {
	case err != nil:
		return c.failAuth(refusalOf(err))
	case id == nil: // [MQTT-4.12.0-2]
		c.sendAuth(packet.ContinueAuthentication, reply)
		return nil
	}
	flow.stop()
	c.auth = nil
	if flow.connect != nil {
		return c.admit(flow.connect, id, flow.assigned, reply)
	}
	return c.reidentify(id, reply)
}

// failAuth ends the connection: CONNACK before it was accepted [MQTT-4.12.0-4],
// DISCONNECT afterwards [MQTT-4.12.1-2].
func (c *conn) failAuth(err error) error {
	flow := c.auth
	flow.stop()
	c.auth = nil
	if flow.connect != nil {
		return c.refuse(flow.connect, err)
	}
	r, _ := errors.AsType[*Refusal](err)
	c.b.refused(c.guest, c.id.ClientID, c.id.User, r)
	code := r.Code
	if !code.ValidIn(packet.TypeDisconnect) {
		code = packet.NotAuthorized
	}
	return &packet.Error{Code: code, Msg: "re-authentication failed"}
}

// reidentify puts what a re-authentication proved in place. It must be the same
// user: the session belongs to them (case A10).
func (c *conn) reidentify(id *Identity, reply []byte) error {
	if id.User != c.id.User {
		return &packet.Error{Code: packet.NotAuthorized, Msg: "re-authentication as another user"}
	}
	c.id = id
	c.routes.drop(c.b)
	c.sess.mu.Lock()
	if c.sess.conn.Load() == c {
		c.sess.become(id)
		c.sess.willOf = id
	}
	c.sess.mu.Unlock()
	c.b.subs.changed() // what may be delivered depends on the new identity
	c.sendAuth(packet.Success, reply)
	return nil
}

func (c *conn) sendAuth(code packet.ReasonCode, data []byte) {
	p := packet.Auth{Code: code}
	p.Properties.SetAuthMethod(c.method) // [MQTT-4.12.0-5]
	if len(data) > 0 {
		p.Properties.SetAuthData(data)
	}
	c.send(&c.bt, func(dst []byte) []byte { return p.Append(dst, packet.V50) })
}

// handleAuth takes the client's next step, or begins a re-authentication.
func (c *conn) handleAuth(f packet.Frame) error {
	var p packet.Auth
	if err := p.Decode(c.version, f); err != nil {
		return err
	}
	switch {
	case c.method == "": // [MQTT-4.12.0-7]
		return protocolError("AUTH without Authentication Method in CONNECT")
	case !p.Properties.Has(packet.PropAuthMethod):
		return protocolError("AUTH without Authentication Method")
	case p.Properties.AuthMethod != c.method: // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
		return &packet.Error{Code: packet.BadAuthenticationMethod, Msg: "Authentication Method is not that of CONNECT"}
	case c.auth != nil && p.Code == packet.ContinueAuthentication: // [MQTT-4.12.0-3]
		return c.stepAuth(p.Properties.AuthData)
	case c.auth == nil && c.sess != nil && p.Code == packet.Reauthenticate: // [MQTT-4.12.1-1]
		x, err := c.exchange(c.method, &packet.Connect{Version: c.version, ClientID: c.id.ClientID})
		c.auth = &authFlow{exchange: x}
		if err != nil {
			return c.failAuth(err)
		}
		return c.stepAuth(p.Properties.AuthData)
	}
	return protocolError("AUTH with a Reason Code that does not fit here")
}

// beforeConnack acts on what comes between CONNECT and its CONNACK while an
// exchange is under way [MQTT-3.1.2-30].
func (c *conn) beforeConnack(f packet.Frame) error {
	switch f.Type() {
	case packet.TypeAuth:
		return c.handleAuth(f)
	case packet.TypeDisconnect:
		return errClosed
	}
	return protocolError(f.Type().String() + " before CONNACK")
}

func (f *authFlow) stop() {
	if f.deadline != nil {
		f.deadline.Stop()
	}
}
