package mosquitto

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// Live says how to reach a running broker. It may be any that speaks MQTT 5 or 3.1.1.
type Live struct {
	URL            string // mqtt://host:1883 or mqtts://host:8883
	User, Password string
	TLS            *tls.Config // nil: certificates are checked as usual
}

// String names the broker, so that no %v shows the password.
func (l Live) String() string { return l.URL }

// Times of a live copy.
const (
	liveTimeout = 30 * time.Second
	// liveIdle is how long no further retained message may come until all are there.
	liveIdle = 500 * time.Millisecond
)

// maxLiveMessages and maxDatabaseBytes bound what is taken from a running broker.
const maxLiveMessages = 1_000_000

// errRefused is the answer of a broker that does not let us in.
var errRefused = errors.New("the broker refuses the login")

// address splits the URL.
func (l Live) address() (addr, host string, secure bool, err error) {
	u, err := url.Parse(l.URL)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return "", "", false, errors.New("the address has to look like mqtt://host:1883 or mqtts://host:8883")
	}
	if u.User != nil {
		return "", "", false, errors.New("user and password don't belong into the address, where other users of this machine can read them")
	}
	port := "1883"
	switch u.Scheme {
	case "mqtt", "tcp":
	case "mqtts", "ssl", "tls":
		port, secure = "8883", true
	default:
		return "", "", false, fmt.Errorf("the address starts with mqtt:// or mqtts://, not with %s://", u.Scheme)
	}
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port), u.Hostname(), secure, nil
}

// CopyRetained takes the retained messages of a running broker, with their properties,
// those of $ topics left out. It changes nothing there.
func CopyRetained(ctx context.Context, l Live) ([]*broker.Message, []Notice, error) {
	c := &liveCopy{live: l, notices: notices{file: l.URL}, messages: map[string]*broker.Message{}}
	// With QoS 0 no queue of the broker's overflows, whatever its limits; with QoS 1 it
	// says which QoS a message has.
	for _, qos := range []byte{0, 1} {
		before := len(c.messages)
		if err := c.pass(ctx, qos); err != nil {
			return nil, c.all(), fmt.Errorf("copy retained messages of %s: %w", l, err)
		}
		if qos > 0 && before > 0 && len(c.messages) > before {
			c.add(0, Changed, "", "%d retained messages came with the second look alone: the broker drops some, so others may be missing", len(c.messages)-before)
		}
	}
	list := make([]*broker.Message, 0, len(c.messages))
	for _, m := range c.messages {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *broker.Message) int { return strings.Compare(a.Topic, b.Topic) })
	return list, c.all(), nil
}

// RetainedTopics lists the topics of the retained messages of a running broker.
func RetainedTopics(ctx context.Context, l Live) (map[string]bool, error) {
	c := &liveCopy{live: l, notices: notices{file: l.URL}, messages: map[string]*broker.Message{}}
	if err := c.pass(ctx, 0); err != nil {
		return nil, fmt.Errorf("list retained messages of %s: %w", l, err)
	}
	topics := map[string]bool{}
	for name := range c.messages {
		topics[name] = true
	}
	return topics, nil
}

// liveCopy is one CopyRetained.
type liveCopy struct {
	notices
	live     Live
	messages map[string]*broker.Message
	bytes    int
}

// pass subscribes to everything on a connection of its own and takes what is retained.
func (c *liveCopy) pass(ctx context.Context, qos byte) error {
	conn, err := dialLive(ctx, c.live)
	if err != nil {
		return err
	}
	defer conn.close()
	sub := &packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "#", QoS: qos}}}
	if err := conn.send(sub, &packet.Pingreq{}); err != nil {
		return err
	}
	// The answer to the ping comes after what was retained for QoS 0. More may follow.
	var p packet.Publish
	last, pong, granted := time.Now(), false, false
	for !pong || !granted || time.Since(last) < liveIdle {
		wait := liveTimeout
		if pong && granted {
			wait = liveIdle - time.Since(last)
		}
		f, err := conn.read(ctx, wait)
		if errors.Is(err, os.ErrDeadlineExceeded) && pong && granted {
			break
		}
		if err != nil {
			return err
		}
		switch f.Type() {
		case packet.TypePingresp:
			pong, last = true, time.Now()
		case packet.TypeSuback:
			var ack packet.Suback
			if err := ack.Decode(conn.version, f); err != nil {
				return err
			}
			if len(ack.Codes) != 1 || ack.Codes[0].Failed() {
				return errors.New("the user may not subscribe to #")
			}
			granted, last = true, time.Now()
		case packet.TypePublish:
			if err := p.Decode(conn.version, f); err != nil {
				return err
			}
			if p.QoS == 1 {
				if err := conn.send(&packet.Ack{Type: packet.TypePuback, PacketID: p.PacketID}); err != nil {
					return err
				}
			}
			if p.Retain {
				last = time.Now()
				if err := c.take(&p); err != nil {
					return err
				}
			}
		case packet.TypeDisconnect:
			return errors.New("the broker ends the connection")
		}
	}
	return nil
}

func (c *liveCopy) take(p *packet.Publish) error {
	name := string(p.Topic)
	if topic.ValidName(name) != nil || strings.HasPrefix(name, "$") || len(p.Payload) == 0 {
		return nil
	}
	if len(p.Payload) > maxDatabasePayload {
		c.add(0, Left, "", "the message of topic %s is left behind: its %d bytes are more than %d", quote(name), len(p.Payload), maxDatabasePayload)
		return nil
	}
	old := c.messages[name]
	if c.bytes += len(name) + len(p.Payload) + len(p.Properties); old != nil {
		c.bytes -= old.Size()
	}
	if c.bytes > maxDatabaseBytes || len(c.messages) >= maxLiveMessages && old == nil {
		return fmt.Errorf("the retained messages are more than %d or larger than %d MiB together", maxLiveMessages, maxDatabaseBytes>>20)
	}
	m := broker.NewMessage(name, slices.Clone(p.Payload), p.QoS, true)
	m.Properties = slices.Clone(p.Properties)
	m.Received = time.Now()
	if p.HasExpiry {
		m.Expires = m.Received.Add(time.Duration(p.MessageExpiry) * time.Second)
	}
	c.messages[name] = m
	return nil
}

// liveConn is a connection to a running broker, used by one goroutine.
type liveConn struct {
	nc      net.Conn
	r       *packet.Reader
	version packet.Version
	window  int // QoS 1 messages that may be under way
	buf     []byte
}

// dialLive logs in with MQTT 5, or with 3.1.1 where that is not understood.
func dialLive(ctx context.Context, l Live) (*liveConn, error) {
	c, err := loginLive(ctx, l, packet.V50)
	if err != nil && !errors.Is(err, errRefused) && ctx.Err() == nil {
		var second error
		if c, second = loginLive(ctx, l, packet.V311); second == nil || errors.Is(second, errRefused) {
			return c, second
		}
	}
	return c, err
}

func loginLive(ctx context.Context, l Live, v packet.Version) (*liveConn, error) {
	addr, host, secure, err := l.address()
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{Timeout: liveTimeout}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if secure {
		cfg := l.TLS.Clone()
		if cfg == nil {
			cfg = new(tls.Config)
		}
		if cfg.ServerName == "" {
			cfg.ServerName = host
		}
		nc = tls.Client(nc, cfg)
	}
	c := &liveConn{nc: nc, r: packet.NewReader(nc, 0), version: v, window: 20}
	if err := c.login(ctx, l); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *liveConn) login(ctx context.Context, l Live) error {
	p := &packet.Connect{Version: c.version, CleanStart: true, KeepAlive: 60, ClientID: "hearthmq-import-" + rand.Text()[:8]}
	if l.User != "" {
		p.HasUserName, p.UserName, p.HasPassword, p.Password = true, l.User, l.Password != "", []byte(l.Password)
	}
	if err := c.send(p); err != nil {
		return err
	}
	f, err := c.read(ctx, liveTimeout)
	if err != nil {
		return err
	}
	v := c.version
	if len(f.Body) == 2 { // a broker without MQTT 5 answers in its own words
		v = packet.V311
	}
	var ack packet.Connack
	if err := ack.Decode(v, f); err != nil {
		return err
	}
	switch {
	case ack.Code == packet.UnsupportedProtocolVersion:
		return errors.New("the broker does not know this version of MQTT")
	case ack.Code != packet.Success:
		return fmt.Errorf("%w: %s", errRefused, ack.Code)
	case v != c.version:
		return errors.New("the broker answers with another version of MQTT")
	}
	if ack.Properties.Has(packet.PropReceiveMaximum) {
		c.window = min(c.window, int(ack.Properties.ReceiveMaximum))
	}
	return nil
}

func (c *liveConn) send(list ...packet.Packet) error {
	c.buf = c.buf[:0]
	for _, p := range list {
		c.buf = p.Append(c.buf, c.version)
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(liveTimeout)); err != nil {
		return err
	}
	_, err := c.nc.Write(c.buf)
	return err
}

// read waits for a packet, at most for wait. The frame is valid until the next call.
func (c *liveConn) read(ctx context.Context, wait time.Duration) (packet.Frame, error) {
	if err := ctx.Err(); err != nil {
		return packet.Frame{}, err
	}
	if err := c.nc.SetReadDeadline(time.Now().Add(max(wait, time.Millisecond))); err != nil {
		return packet.Frame{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	f, err := c.r.ReadFrame()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return f, err
}

// close says goodbye, which the other side may not hear any more.
func (c *liveConn) close() {
	_ = c.send(&packet.Disconnect{})
	_ = c.nc.Close()
}
