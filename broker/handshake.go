package broker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// maxClientID is the longest Client Identifier in bytes that is accepted (case A11),
// but for LikeMosquitto, where it is what fits into CONNECT.
const maxClientID = 256

// handleConnect does everything between the first packet and CONNACK.
func (c *conn) handleConnect(f packet.Frame) error {
	var p packet.Connect
	if err := p.Decode(0, f); err != nil {
		c.refuseBroken(&p, packet.Reached(f), err)
		return errClosed
	}
	if part, unclean := c.uncleanConnect(&p); unclean {
		c.refuseBroken(&p, part, errUnclean)
		return errClosed
	}
	c.mu.Lock()
	c.version = p.Version
	c.mu.Unlock()
	c.problems = !p.Properties.Has(packet.PropRequestProblemInfo) || p.Properties.RequestProblemInfo == 1
	c.maxPacket = p.Properties.MaximumPacketSize
	// Hashing may wait its turn; that time is not the client's fault.
	_ = c.nc.SetReadDeadline(time.Time{}) // a connection where it fails can't be read

	c.traceConnect(&p, len(f.Raw))
	if refusal := c.checkListener(&p); refusal != nil {
		return c.refuse(&p, refusal)
	}
	assigned := false
	if p.ClientID == "" {
		// [MQTT3-3.1.3-7] [MQTT3-3.1.3-8]: only with Clean Session. 3.1 knows no empty identifier.
		if p.Version == packet.V31 || p.Version == packet.V311 && !p.CleanStart {
			return c.refuse(&p, Refuse(BadClientID, errors.New("empty client identifier")))
		}
		p.ClientID = c.cfg.AutoIDPrefix + newUUID() // [MQTT-3.1.3-6]
		assigned = true
	}
	if len(p.ClientID) > maxClientID && !c.cfg.LikeMosquitto {
		return c.refuse(&p, Refuse(BadClientID, errors.New("longer than 256 bytes")))
	}
	if most := c.cfg.MaxKeepAlive; most > 0 && p.Version != packet.V50 && (p.KeepAlive == 0 || p.KeepAlive > most) {
		return c.refuse(&p, Refuse(BadClientID, errors.New("keep alive above the limit")))
	}
	if c.cfg.StrictProtocol && oddClientID(p.ClientID) { // [MQTT-3.1.3-8] [MQTT3-3.1.3-9]
		return c.refuse(&p, Refuse(BadClientID, errors.New("contains / + or #")))
	}
	c.bridge = p.Bridge
	if c.info.Trusted != nil {
		id := *c.info.Trusted
		id.ClientID = p.ClientID
		return c.admit(&p, &id, assigned, nil)
	}
	if err := c.slowDown(p.ClientID); err != nil {
		return c.refuse(&p, err)
	}
	if p.Properties.Has(packet.PropAuthMethod) {
		return c.startAuth(&p, assigned)
	}
	id, err := c.authenticate(&p)
	if err != nil {
		return c.refuse(&p, err)
	}
	return c.admit(&p, id, assigned, nil)
}

// newUUID is a random UUID (RFC 9562, version 4), as other brokers give.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// admit lets an authenticated client in. authData ends an enhanced authentication.
func (c *conn) admit(p *packet.Connect, id *Identity, assigned bool, authData []byte) error {
	id, bad := c.ownClientID(p, id)
	if bad != nil {
		return c.refuse(p, bad)
	}
	c.id = id
	c.obey()
	will, refusal := c.checkWill(p)
	if refusal != nil {
		return c.refuse(p, refusal)
	}
	c.takeLimits(p)
	ack := c.connack(p, assigned, authData)
	if !c.takes(len(ack.Append(nil, c.version))) {
		return c.refuse(p, &Refusal{Reason: BadProtocol, Code: packet.PacketTooLarge, Err: errors.New("the client's Maximum Packet Size is too small for CONNACK")})
	}
	c.b.sessions.settle(id.ClientID)
	if err := c.b.letIn(c); err != nil {
		return c.refuse(p, err)
	}
	present, refusal := c.b.sessions.attach(c, p, will, func(present bool) {
		ack.SessionPresent = present // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
		// Nobody can find the connection before: nothing comes before CONNACK [MQTT-3.2.0-1].
		c.send(&c.bt, func(dst []byte) []byte { return ack.Append(dst, c.version) })
	})
	if refusal != nil {
		return c.refuse(p, refusal)
	}
	c.b.relimit(c.sess) // they may have changed since the login
	if oddClientID(id.ClientID) {
		c.sess.violations.Add(1)
	}
	c.joinTrace(id.ClientID)
	c.b.stats.accepted.Add(1)
	c.b.event(Connected{At: c.now, Identity: c.id, Version: c.version, SessionPresent: present, KeepAlive: c.keepAlive, WillTopic: will.topic()})
	c.b.log.Info("client connected", "client_id", c.id.ClientID, "user", c.id.User, "remote", c.address(),
		"listener", c.info.Name, "protocol", c.version.String(), "session_present", present,
		"clean_start", p.CleanStart, "keep_alive", int(c.keepAlive/time.Second))
	c.watchKeepAlive()
	c.watchUntil()
	c.watchTrust()
	// Who was changed since the login, when there was no session yet to end (case A9).
	if stands, reason := c.b.review(c.id); !stands {
		c.b.expel(c.sess, reason)
		return nil
	}
	c.sess.pump(&c.bt, c)
	return nil
}

// authenticate asks the Authenticator; the password is overwritten afterwards.
func (c *conn) authenticate(p *packet.Connect) (*Identity, error) {
	defer clear(p.Password)
	ctx, cancel := context.WithTimeout(c.lifetime(), authTimeout)
	defer cancel()
	cred, err := c.credentials(p)
	if err != nil {
		return nil, err
	}
	id, err := c.b.deps.Authenticator.Authenticate(ctx, cred)
	return id, refusalOf(err)
}

// credentials collects what the client says of itself. The error is a *Refusal.
func (c *conn) credentials(p *packet.Connect) (*Credentials, error) {
	name, err := c.tlsName()
	if err != nil {
		return nil, err
	}
	return &Credentials{
		ClientID: p.ClientID, HasUser: p.HasUserName, User: p.UserName,
		HasPassword: p.HasPassword, Password: p.Password,
		Listener: *c.info, Remote: c.remote, TLSName: name, Version: p.Version,
	}, nil
}

// authTimeout bounds the wait for a verdict; whoever is not through by then is
// told to come back, not that the password is wrong.
const authTimeout = 60 * time.Second

// checkWill asks whether the client may publish its Will [case A7].
func (c *conn) checkWill(p *packet.Connect) (*Will, error) {
	if p.Will == nil {
		return nil, nil
	}
	if err := willTopic(c.mounted(p.Will.Topic)); err != nil {
		return nil, err
	}
	if why := c.tooDeep(c.mounted(p.Will.Topic)); why != "" {
		code := packet.QuotaExceeded
		if p.Version != packet.V50 {
			code = packet.NotAuthorized // no return code of MQTT 3 says it
		}
		return nil, &Refusal{Reason: WillNotAllowed, Code: code, Err: errors.New(why)}
	}
	if un := c.cfg.unsupported(p.Will.QoS, p.Will.Retain); un != nil {
		return nil, &Refusal{Reason: BadProtocol, Code: un.Code, Err: un}
	}
	if most := c.cfg.MaxPayload; most > 0 && len(p.Will.Payload) > most {
		code := packet.PacketTooLarge
		if p.Version != packet.V50 {
			code = packet.NotAuthorized // no return code of MQTT 3 says it; it is Mosquitto's choice
		}
		return nil, &Refusal{Reason: WillNotAllowed, Code: code, Err: fmt.Errorf("its payload has %d bytes, the limit is %d", len(p.Will.Payload), most)}
	}
	if c.cfg.misformatted(p.Will.Payload, p.Will.Forward) {
		return nil, &Refusal{Reason: BadProtocol, Code: packet.PayloadFormatInvalid, Err: errors.New("will payload is not UTF-8")}
	}
	name := c.mounted(p.Will.Topic)
	d := c.b.mayPublish(c.id, name)
	if !d.Allow {
		c.b.denied(c.id, Publish, name, d.Rule)
		return nil, &Refusal{Reason: WillNotAllowed, Code: packet.NotAuthorized}
	}
	retain := p.Will.Retain && !d.NoRetain
	m := &Message{
		Topic: name, Payload: p.Will.Payload, Properties: p.Will.Forward,
		QoS: min(p.Will.QoS, d.Most(retain)), Retain: retain, // [MQTT-3.1.2-14] [MQTT-3.1.2-15]
		Publisher: c.id, PublisherID: c.id.ClientID, PublisherUser: c.id.User,
		PublisherAccount: c.id.account(), Vouched: c.id.vouches(), kept: true,
	}
	w := &Will{Message: m, Delay: time.Duration(p.Will.Properties.WillDelay) * time.Second}
	if p.Will.Properties.Has(packet.PropMessageExpiry) {
		w.Expiry = p.Will.Properties.MessageExpiry
	}
	return w, nil
}

// takeLimits notes what the client asked for.
func (c *conn) takeLimits(p *packet.Connect) {
	ka := p.KeepAlive
	if most := c.cfg.MaxKeepAlive; most > 0 && (ka == 0 || ka > most) {
		ka = most
	}
	c.keepAlive = time.Duration(ka) * time.Second // [MQTT-3.2.2-22]
	if p.Properties.Has(packet.PropReceiveMaximum) {
		c.receiveMaximum = p.Properties.ReceiveMaximum
	}
	c.alias.max = c.outgoingAliases(p.Properties.TopicAliasMaximum)
	switch {
	case p.Version == packet.V50:
		c.expiry = c.b.capExpiry(p.Properties.SessionExpiry) // absent: 0 [MQTT-3.1.2-23]
	case !p.CleanStart:
		c.expiry = c.b.capExpiry(NeverExpires)
	}
}

// connack is the answer to a CONNECT that is accepted [MQTT-3.1.4-5].
func (c *conn) connack(p *packet.Connect, assigned bool, authData []byte) *packet.Connack {
	ack := new(packet.Connack)
	if c.version != packet.V50 {
		return ack
	}
	cfg, pr := c.cfg, &ack.Properties
	if assigned {
		pr.SetAssignedClientID(p.ClientID) // [MQTT-3.1.3-7] [MQTT-3.2.2-16]
	}
	if p.Properties.SessionExpiry != c.expiry {
		pr.SetSessionExpiry(c.expiry)
	}
	pr.SetReceiveMaximum(cfg.ReceiveMaximum)
	pr.SetMaximumPacketSize(cfg.MaxPacketSize)
	if cfg.TopicAliasMaximum > 0 { // absent: none
		pr.SetTopicAliasMaximum(cfg.TopicAliasMaximum)
	}
	if qos := cfg.announcedQoS(); qos < 2 {
		pr.SetMaximumQoS(qos) // [MQTT-3.2.2-9]
	}
	if cfg.NoRetain {
		pr.SetRetainAvailable(0)
	}
	if ka := uint16(c.keepAlive / time.Second); ka != p.KeepAlive {
		pr.SetServerKeepAlive(ka) // [MQTT-3.1.2-21]
	}
	if c.method != "" {
		pr.SetAuthMethod(c.method) // [MQTT-4.12.0-5] [MQTT-4.12.0-6]
		if len(authData) > 0 {
			pr.SetAuthData(authData)
		}
	}
	if p.Properties.RequestResponseInfo == 1 && !cfg.LikeMosquitto { // [MQTT-3.1.2-28]
		if prefix := c.responsePrefix(); prefix != "" {
			pr.SetResponseInfo(prefix)
			if !c.takes(len(ack.Append(nil, c.version))) {
				pr.Clear(packet.PropResponseInfo)
			}
		}
	}
	return ack
}

// responsePrefix is where the client may have answers sent to: a part of the topics
// that is its own, as far as the rules let it subscribe there; else "".
func (c *conn) responsePrefix() string {
	id := c.id.ClientID
	if oddClientID(id) || id == "" || id[0] == '$' {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:12])
	}
	prefix := "response/" + id
	if topic.ValidName(prefix) != nil || !c.b.deps.Authorizer.Authorize(c.id, Subscribe, c.mounted(prefix)+"/#").Allow {
		return ""
	}
	return prefix
}

// refuse answers CONNECT with the reason's code and ends the connection
// [MQTT-3.1.4-2]. What exactly was wrong stands in the log and in the event,
// not on the wire.
func (c *conn) refuse(p *packet.Connect, err error) error {
	r, _ := errors.AsType[*Refusal](err)
	user := p.UserName
	if name, err := c.tlsName(); err == nil && name != "" {
		user = name // it goes before the name in CONNECT
	}
	c.b.refused(c.guest, p.ClientID, user, r)
	if c.cfg.LikeMosquitto && (r.Reason == ServerFull && r.Code == packet.ServerUnavailable || controlWill(p, r)) {
		c.endWith(r.Code, "refused")
		c.closeAfter(nil)
		return errClosed
	}
	why := ""
	switch {
	case r.Err == nil:
	case r.Reason == BadClientID || r.Reason == BadProtocol:
		why = r.Err.Error() // about what the client sent, not about users
	}
	c.answer(p.Version, r.Code, why)
	return errClosed
}

// refuseBroken answers a CONNECT that could not be read, where the client may
// understand an answer.
func (c *conn) refuseBroken(p *packet.Connect, part packet.ConnectPart, err error) {
	pe, ok := errors.AsType[*packet.Error](err)
	if !ok {
		return
	}
	c.b.refused(c.guest, p.ClientID, "", &Refusal{Reason: BadProtocol, Code: pe.Code, Err: err})
	if c.cfg.LikeMosquitto {
		if v, code, tell := greet(p, part, pe.Code); tell {
			c.answer(v, code, "")
		} else {
			c.closeAfter(nil)
		}
		return
	}
	switch {
	case pe.Code == packet.UnsupportedProtocolVersion && p.ProtocolName == "":
		c.closeAfter(nil) // this is no MQTT client [MQTT-3.1.2-1] [MQTT3-3.1.2-1]
	case pe.Code == packet.UnsupportedProtocolVersion:
		v := packet.V311 // [MQTT-3.1.2-2]: return code 1 [MQTT3-3.1.2-2]
		if p.Version > packet.V50 {
			v = packet.V50
		}
		c.answer(v, pe.Code, "")
	case p.Version == packet.V50:
		c.answer(packet.V50, pe.Code, "")
	default:
		c.closeAfter(nil) // 3.x: no return code fits, close [MQTT-3.1.4-1] [MQTT3-3.2.2-6] [MQTT3-3.1.4-1]
	}
}

// answer sends the one CONNACK with a failure [MQTT-3.2.2-6] and closes [MQTT-3.2.2-7].
func (c *conn) answer(v packet.Version, code packet.ReasonCode, why string) {
	c.endWith(code, "refused")
	c.closeAfter(func(dst []byte) []byte {
		ack := packet.Connack{Code: code}
		if v != packet.V50 {
			ack.ReturnCode = code.Connack311()
			return ack.Append(dst, v)
		}
		c.version = v
		if out := c.appendPacket(dst, &ack, &ack.Properties, why); c.takes(len(out) - len(dst)) {
			return out
		}
		return dst
	})
}

// tlsName is whom the client's verified certificate names, "" for nobody. The error
// says that it is meant to name somebody and does not.
func (c *conn) tlsName() (string, error) {
	t, ok := c.nc.(interface{ PeerName() (string, error) })
	if !ok {
		return "", nil
	}
	name, err := t.PeerName()
	if err != nil {
		return "", Refuse(CertificateInvalid, err)
	}
	return name, nil
}
