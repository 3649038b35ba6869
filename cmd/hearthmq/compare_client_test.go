package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/packet"
)

// comparedClient runs one client of a comparison and says in words what came back.
type comparedClient struct {
	nc     net.Conn
	frames chan packet.Frame // closed at the end of the connection
	v      packet.Version
	next   uint16
	tls    *tls.Config
}

// patience is how long an answer may take.
const patience = time.Minute

func (c *comparedClient) dial(network, address string) error {
	if c.nc != nil {
		c.nc.Close()
	}
	nc, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return err
	}
	if c.tls != nil {
		nc = tls.Client(nc, c.tls)
	}
	c.nc, c.frames = nc, make(chan packet.Frame, 1000)
	frames := c.frames
	go func() { // ends with the connection
		defer close(frames)
		r := packet.NewReader(nc, 0)
		for {
			f, err := r.ReadFrame()
			if err != nil {
				return
			}
			f.Raw, f.Body = slices.Clone(f.Raw), slices.Clone(f.Body)
			frames <- f
		}
	}()
	return nil
}

var errGone = errors.New("closed")

func (c *comparedClient) send(p packet.Packet) error {
	if c.nc == nil {
		return errGone
	}
	_, err := c.nc.Write(p.Append(nil, c.v))
	return err
}

// get is the next packet; errGone at the end of the connection.
func (c *comparedClient) get() (packet.Packet, error) {
	select {
	case f, ok := <-c.frames:
		if !ok {
			return nil, errGone
		}
		return packet.Decode(c.v, f)
	case <-time.After(patience):
		return nil, errors.New("nothing came")
	}
}

// step carries out one line of a script: verb and arguments. It returns what can be
// compared.
func (c *comparedClient) step(network, address string, words []string) string {
	said, err := c.act(network, address, words)
	if err != nil {
		if !errors.Is(err, errGone) && !errors.Is(err, net.ErrClosed) {
			if _, ok := errors.AsType[*net.OpError](err); !ok {
				return "error: " + err.Error()
			}
		}
		return strings.TrimSpace(said + " closed")
	}
	return said
}

func (c *comparedClient) act(network, address string, words []string) (string, error) {
	arg := func(key string) (string, bool) {
		for _, w := range words[1:] {
			if v, ok := strings.CutPrefix(w, key+"="); ok {
				return v, true
			}
		}
		return "", false
	}
	has := func(w string) bool { return slices.Contains(words[1:], w) }
	switch words[0] {
	case "connect":
		return c.connect(network, address, arg, has)
	case "close":
		return "", c.nc.Close()
	case "sub":
		c.next++
		qos := byte(0)
		if v, ok := arg("qos"); ok {
			qos = v[0] - '0'
		}
		if err := c.send(&packet.Subscribe{PacketID: c.next, Subscriptions: []packet.Subscription{{Filter: words[1], QoS: qos}}}); err != nil {
			return "", err
		}
		return c.until(packet.TypeSuback)
	case "pub":
		return c.publish(words[1], arg, has)
	case "await": // so many messages, whenever they come
		n := 0
		fmt.Sscan(words[1], &n)
		var said []string
		for range n {
			text, err := c.until(packet.TypePublish)
			if said = append(said, text); err != nil {
				return strings.Join(said, ", "), err
			}
		}
		return strings.Join(said, ", "), nil
	case "recv":
		if err := c.send(&packet.Pingreq{}); err != nil {
			return "", err
		}
		return c.until(packet.TypePingresp)
	}
	return "", fmt.Errorf("no such verb: %s", words[0])
}

func (c *comparedClient) connect(network, address string, arg func(string) (string, bool), has func(string) bool) (string, error) {
	c.v = packet.V311
	if v, ok := arg("v"); ok {
		c.v = map[string]packet.Version{"3": packet.V31, "4": packet.V311, "5": packet.V50}[v]
	}
	if err := c.dial(network, address); err != nil {
		return "", err
	}
	p := packet.Connect{Version: c.v, CleanStart: !has("keep"), KeepAlive: 60}
	p.ClientID, _ = arg("id")
	p.UserName, p.HasUserName = arg("user")
	if word, ok := arg("pass"); ok {
		p.Password, p.HasPassword = []byte(word), true
	}
	if v, ok := arg("keepalive"); ok {
		fmt.Sscan(v, &p.KeepAlive)
	}
	if name, ok := arg("will"); ok {
		p.Will = &packet.Will{Topic: name, Payload: []byte("gone")}
	}
	if c.v == packet.V50 && has("keep") {
		p.Properties.SetSessionExpiry(3600)
	}
	if err := c.send(&p); err != nil {
		return "", err
	}
	return c.until(packet.TypeConnack)
}

func (c *comparedClient) publish(topic string, arg func(string) (string, bool), has func(string) bool) (string, error) {
	p := packet.Publish{Topic: []byte(topic), Retain: has("retain"), Payload: []byte("x")}
	if v, ok := arg("payload"); ok {
		p.Payload = []byte(v)
	}
	if v, ok := arg("size"); ok {
		n := 0
		fmt.Sscan(v, &n)
		p.Payload = []byte(strings.Repeat("x", n))
	}
	if has("empty") {
		p.Payload = nil
	}
	wait := packet.TypePingresp
	if v, ok := arg("qos"); ok && v != "0" {
		c.next++
		p.QoS, p.PacketID = v[0]-'0', c.next
		wait = packet.TypePuback
		if p.QoS == 2 {
			wait = packet.TypePubcomp
		}
	}
	if err := c.send(&p); err != nil {
		return "", err
	}
	if wait == packet.TypePingresp {
		if err := c.send(&packet.Pingreq{}); err != nil {
			return "", err
		}
	}
	return c.until(wait)
}

// until reads and answers packets up to one of a type, and says what they were.
func (c *comparedClient) until(last packet.Type) (string, error) {
	var said []string
	for {
		p, err := c.get()
		if err != nil {
			return strings.Join(said, ", "), err
		}
		if text := c.describe(p); text != "" {
			said = append(said, text)
		}
		switch x := p.(type) {
		case *packet.Publish:
			t := map[byte]packet.Type{1: packet.TypePuback, 2: packet.TypePubrec}[x.QoS]
			if x.QoS > 0 {
				if err := c.send(&packet.Ack{Type: t, PacketID: x.PacketID}); err != nil {
					return strings.Join(said, ", "), err
				}
			}
		case *packet.Ack:
			reply, failed := packet.TypePubrel, x.Code.Failed()
			if x.Type == packet.TypePubrel {
				reply = packet.TypePubcomp
			}
			if x.Type == packet.TypePubrec && failed && last == packet.TypePubcomp {
				return strings.Join(said, ", "), nil
			}
			if x.Type == packet.TypePubrec || x.Type == packet.TypePubrel {
				if err := c.send(&packet.Ack{Type: reply, PacketID: x.PacketID}); err != nil {
					return strings.Join(said, ", "), err
				}
			}
		case *packet.Disconnect:
			continue
		}
		if p.Kind() == last {
			return strings.Join(said, ", "), nil
		}
	}
}

func (c *comparedClient) describe(p packet.Packet) string {
	switch x := p.(type) {
	case *packet.Connack:
		if c.v != packet.V50 {
			return fmt.Sprintf("CONNACK %d present=%v", x.ReturnCode, x.SessionPresent)
		}
		pr := &x.Properties
		text := fmt.Sprintf("CONNACK %#x present=%v receive-maximum=%d aliases=%d packet=%d", byte(x.Code), x.SessionPresent, pr.ReceiveMaximum, pr.TopicAliasMaximum, pr.MaximumPacketSize)
		if pr.Has(packet.PropMaximumQoS) {
			text += fmt.Sprintf(" qos=%d", pr.MaximumQoS)
		}
		if pr.Has(packet.PropRetainAvailable) {
			text += fmt.Sprintf(" retain=%d", pr.RetainAvailable)
		}
		if pr.Has(packet.PropServerKeepAlive) {
			text += fmt.Sprintf(" keepalive=%d", pr.ServerKeepAlive)
		}
		if pr.AssignedClientID != "" {
			text += " assigned=" + pr.AssignedClientID[:min(5, len(pr.AssignedClientID))]
		}
		return text
	case *packet.Suback:
		return fmt.Sprintf("SUBACK %v", bytesOfCodes(x.Codes))
	case *packet.Publish:
		payload := string(x.Payload)
		if strings.HasPrefix(string(x.Topic), "$SYS/") {
			payload = "…"
		}
		return fmt.Sprintf("%s=%.40s q%d r%v", x.Topic, payload, x.QoS, x.Retain)
	case *packet.Ack:
		if x.Type == packet.TypePubrel {
			return ""
		}
		return fmt.Sprintf("%s %#x", x.Type, byte(x.Code))
	case *packet.Disconnect:
		return fmt.Sprintf("DISCONNECT %#x", byte(x.Code))
	case *packet.Pingresp:
		return ""
	}
	return p.Kind().String()
}

func bytesOfCodes(codes []packet.ReasonCode) []byte {
	var b []byte
	for _, c := range codes {
		b = append(b, byte(c))
	}
	return b
}

// play runs a script against a broker and returns a line for each step. Steps are lines
// "client verb …"; "ports" are what stands for its listeners.
func play(tb testing.TB, script string, at func(client string) (network, address string, t *tls.Config), special func(words []string) bool) []string {
	tb.Helper()
	clients := map[string]*comparedClient{}
	defer func() {
		for _, c := range clients {
			if c.nc != nil {
				c.nc.Close()
			}
		}
	}()
	var said []string
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) == 0 || special(words) {
			continue
		}
		c := clients[words[0]]
		network, address, t := at(words[0])
		if c == nil {
			c = &comparedClient{}
			clients[words[0]] = c
		}
		c.tls = t
		said = append(said, strings.TrimSpace(line)+" → "+c.step(network, address, words[1:]))
	}
	return said
}

func writeFile(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
