package bridge

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"hearthmq/broker/packet"
)

// traffic counts what went over a bridge in one direction, over all its connections.
type traffic struct {
	messages, bytes atomic.Uint64 // PUBLISH packets and their payloads
	dropped         atomic.Uint64 // messages that can't be on the other side
}

// direction passes on what one broker sends to the other: its messages, renamed,
// and its acknowledgements of the messages of the other direction.
type direction struct {
	from, to *link
	names    mapping
	broker   string // identifier of this broker, for loops
	outward  bool
	noRetain bool // RETAIN does not go along
	set      *Settings
	log      *slog.Logger
	count    *traffic
	last     *moment // of the last message of either direction

	subscribing subscribing         // what was asked of from
	own         map[uint16]struct{} // identifiers of messages of the bridge itself
	aliases     map[uint16][]byte   // topics that from gave a Topic Alias

	pub  packet.Publish // reused
	name []byte         // reused
	// dropped are the QoS 2 identifiers of messages that were not passed on: who
	// sent them will release them.
	dropped map[uint16]struct{}
}

// subscribing follows the requests that a bridge has sent to one side.
type subscribing struct {
	mu      sync.Mutex
	filters map[uint16][]string // of the SUBSCRIBEs under way, in the order of each
	done    func(refused []string)
}

// expect notes a SUBSCRIBE; done is called once it is answered.
func (s *subscribing) expect(id uint16, filters []string, done func(refused []string)) {
	s.mu.Lock()
	if s.filters == nil {
		s.filters = make(map[uint16][]string)
	}
	s.filters[id], s.done = filters, done
	s.mu.Unlock()
}

func (s *subscribing) answered(id uint16, codes []packet.ReasonCode) {
	s.mu.Lock()
	filters, done := s.filters[id], s.done
	delete(s.filters, id)
	s.mu.Unlock()
	var refused []string
	for i, c := range codes {
		if c >= 0x80 && i < len(filters) {
			refused = append(refused, filters[i])
		}
	}
	if len(refused) > 0 {
		done(refused)
	}
}

// run passes on until one of the links fails.
func (d *direction) run() error {
	for {
		f, err := d.from.next()
		if err != nil {
			return err
		}
		if err := d.handle(f); err != nil {
			return err
		}
		if d.from.rd.Ready() {
			continue // the rest of what came with it goes out with it
		}
		if err := d.to.flush(); err != nil {
			return fmt.Errorf("pass on: %w", err)
		}
		if err := d.from.flush(); err != nil {
			return err
		}
	}
}

func (d *direction) handle(f packet.Frame) error {
	switch t := f.Type(); t {
	case packet.TypePublish:
		return d.publish(f)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		return d.ack(f)
	case packet.TypeSuback:
		var p packet.Suback
		if err := p.Decode(d.from.version, f); err != nil {
			return err
		}
		d.subscribing.answered(p.PacketID, p.Codes)
	case packet.TypeUnsuback, packet.TypePingresp: // that it came is all there is to know
	case packet.TypePingreq: // not a broker's to ask, but Mosquitto answers
		d.from.put(new(packet.Pingresp))
	case packet.TypeDisconnect:
		var p packet.Disconnect
		if err := p.Decode(d.from.version, f); err != nil {
			return err
		}
		return fmt.Errorf("disconnected: %s", p.Code)
	default:
		return &packet.Error{Code: packet.ProtocolError, Msg: t.String() + " from a broker"}
	}
	return nil
}

// publish passes a message on under its other name.
func (d *direction) publish(f packet.Frame) error {
	p := &d.pub
	if err := p.Decode(d.from.version, f); err != nil {
		return err
	}
	if err := d.resolve(p); err != nil {
		return err
	}
	p.SubscriptionIDs = p.SubscriptionIDs[:0]
	p.Retain = p.Retain && !d.noRetain
	var why string
	if why = d.rename(p); why == "" && d.from.version == packet.V50 {
		why = d.trace(p)
	}
	if why == "" && d.to.most > 0 && packet.PublishSize(d.to.version, p) > int(d.to.most) {
		why = "larger than the other broker takes"
	}
	if why != "" {
		d.drop(p, why)
		return nil
	}
	d.to.put(p)
	d.count.messages.Add(1)
	d.count.bytes.Add(uint64(len(p.Payload)))
	d.last.pass()
	return nil
}

// resolve gives a message with a Topic Alias its topic.
func (d *direction) resolve(p *packet.Publish) error {
	if !p.HasAlias {
		return nil
	}
	p.HasAlias = false
	if d.outward || p.TopicAlias == 0 || p.TopicAlias > d.set.TopicAliases { // [MQTT-3.1.2-26] [MQTT-3.1.2-27]
		return &packet.Error{Code: packet.TopicAliasInvalid, Msg: "Topic Alias above what was offered"}
	}
	if len(p.Topic) > 0 {
		if d.aliases == nil {
			d.aliases = make(map[uint16][]byte)
		}
		d.aliases[p.TopicAlias] = append(d.aliases[p.TopicAlias][:0], p.Topic...)
		return nil
	}
	p.Topic = d.aliases[p.TopicAlias]
	if len(p.Topic) == 0 {
		return &packet.Error{Code: packet.ProtocolError, Msg: "Topic Alias that stands for nothing"}
	}
	return nil
}

func (d *direction) rename(p *packet.Publish) (why string) {
	var ok bool
	if d.name, ok = d.names.name(d.name[:0], p.Topic); !ok {
		return "no topic of the bridge matches"
	}
	p.Topic = d.name
	return ""
}

// trace looks where the message has been, and notes on its way out that it was here.
func (d *direction) trace(p *packet.Publish) (why string) {
	seen := via(p.Properties)
	if loops(seen, d.broker) {
		return "it has been here before"
	}
	if d.outward && d.to.version == packet.V50 && d.set.mark(seen) {
		with, ok := stamp(p.Properties, seen, d.broker)
		if !ok {
			return "it has no room for where it has been"
		}
		p.Properties = with
	}
	return ""
}

// drop acknowledges a message that is not passed on.
func (d *direction) drop(p *packet.Publish, why string) {
	d.count.dropped.Add(1)
	d.log.Debug("bridge drops a message", "topic", string(p.Topic), "reason", why)
	switch p.QoS {
	case 1:
		d.from.put(&packet.Ack{Type: packet.TypePuback, PacketID: p.PacketID})
	case 2:
		if d.dropped == nil {
			d.dropped = make(map[uint16]struct{})
		}
		d.dropped[p.PacketID] = struct{}{}
		d.from.put(&packet.Ack{Type: packet.TypePubrec, PacketID: p.PacketID})
	}
}

// ack passes an acknowledgement on. That of a broker which speaks MQTT 3 has no
// Reason Code; towards one, a refusal ends the message as success does.
func (d *direction) ack(f packet.Frame) error {
	id, code, err := packet.DecodeAck(d.from.version, f)
	if err != nil {
		return err
	}
	if _, ours := d.own[id]; ours {
		delete(d.own, id)
		return nil
	}
	if _, ours := d.dropped[id]; ours && f.Type() == packet.TypePubrel {
		delete(d.dropped, id)
		d.from.put(&packet.Ack{Type: packet.TypePubcomp, PacketID: id})
		return nil
	}
	if code >= 0x80 && f.Type() != packet.TypePubrel && f.Type() != packet.TypePubcomp {
		d.log.Info("a message of a bridge was not accepted", "outward", !d.outward, "reason", code.String())
	}
	d.to.put(&packet.Ack{Type: f.Type(), PacketID: id, Code: code})
	return nil
}
