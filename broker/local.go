package broker

import (
	"context"
	"sync"
	"time"

	"hearthmq/broker/topic"
)

// LocalOptions tell how a part of the program takes part without a connection.
type LocalOptions struct {
	// OnMessage is called for each message that a subscription matches, on the
	// publisher's goroutine: it must return at once. The message is valid during
	// the call only. May be nil for those that only publish.
	OnMessage func(m *Message)
}

// LocalClient publishes and subscribes from within the process, with the rights
// of an identity. Its subscriptions are QoS 0: what it is told it has.
type LocalClient struct {
	b    *Broker
	id   *Identity // nil: the broker itself
	opt  LocalOptions
	mu   sync.Mutex
	subs map[string]*subscription
}

// Attach makes a LocalClient for an identity. Close it when it is done.
func (b *Broker) Attach(id *Identity, opt LocalOptions) *LocalClient {
	return &LocalClient{b: b, id: id, opt: opt, subs: make(map[string]*subscription)}
}

func (l *LocalClient) receive(m *Message) {
	if l.opt.OnMessage != nil {
		l.opt.OnMessage(m)
	}
}

// Publish publishes as the client. It fails with a *DeniedError when the rules
// do not allow it, and with the store's error when the message could not be stored
// that should be.
func (l *LocalClient) Publish(ctx context.Context, m *Message) error {
	if err := topic.ValidName(m.Topic); err != nil {
		return err
	}
	if l.id != nil {
		d := l.b.mayPublish(l.id, m.Topic)
		if !d.Permits(m.QoS, m.Retain) {
			l.b.denied(l.id, Publish, m.Topic, d.Rule)
			return &DeniedError{Rule: d.Rule}
		}
	}
	return l.b.publishAs(ctx, m, l.id)
}

// Subscribe has OnMessage called for what the filter matches and the rules allow.
func (l *LocalClient) Subscribe(filter string) error {
	if err := topic.ValidFilter(filter); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.subs[filter] == nil {
		l.subs[filter] = l.b.subs.addLocal(l, Subscription{Filter: filter})
	}
	return nil
}

// Close ends its subscriptions.
func (l *LocalClient) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for filter, n := range l.subs {
		l.b.subs.removeLocal(n)
		delete(l.subs, filter)
	}
}

// DeniedError says that the rules do not allow something, and which decided.
type DeniedError struct{ Rule RuleRef }

func (e *DeniedError) Error() string { return "not allowed: " + e.Rule.Text }

// Publish publishes as the broker itself, without asking the rules. It returns
// once the message is stored where storing is due, or when ctx ends.
func (b *Broker) Publish(ctx context.Context, m *Message) error {
	if err := topic.ValidName(m.Topic); err != nil {
		return err
	}
	return b.publishAs(ctx, m, nil)
}

func (b *Broker) publishAs(ctx context.Context, m *Message, id *Identity) error {
	if m.Received.IsZero() {
		m.Received = time.Now()
	}
	m.Vouched = id.vouches()
	if id != nil {
		m.Publisher, m.PublisherID, m.PublisherUser, m.PublisherAccount = id, id.ClientID, id.User, id.account()
	}
	ticket := b.inject(m)
	return b.journal.wait(ctx, ticket)
}

// inject delivers a message that no connection brought.
func (b *Broker) inject(m *Message) (ticket uint64) {
	held := m.QoS > 0 || m.Retain || b.cfg().UpgradeQoS
	withBatch(func(bt *batch) {
		if held {
			b.journal.open()
		}
		ticket = b.injectWith(bt, m, nil)
		if held {
			b.journal.close()
		}
	})
	b.observe(m)
	return ticket
}

// injectWith is inject without telling the observer. from is the session of a Will's
// publisher, nil where there is none. The gate is held where something may be stored.
func (b *Broker) injectWith(bt *batch, m *Message, from *Session) (ticket uint64) {
	r := b.newRoute(m.Topic, from)
	m.Slot = &r.slot
	_, ticket = b.deliver(bt, &publication{msg: m, route: r, from: from})
	return ticket
}

// publishWill delivers a Will Message, nil: none, unless the right to do so is gone
// (case A7). The gate is held since the will was taken from its session: a power cut
// finds it waiting or published, never neither. No other lock is held. What it returns
// is to be called without the gate.
func (b *Broker) publishWill(bt *batch, id *Identity, w *Will) (tell func()) {
	if w == nil {
		return func() {}
	}
	m := *w.Message
	d := b.mayPublish(id, m.Topic)
	if !d.Allow {
		return func() { b.denied(id, Publish, m.Topic, d.Rule) }
	}
	m.Retain, m.id = m.Retain && !d.NoRetain, 0
	m.QoS = min(m.QoS, d.Most(m.Retain))
	m.Publisher, m.PublisherAccount, m.Received = id, id.account(), bt.now // what is left of an expiry is counted from there
	if w.Expiry > 0 {
		m.Expires = m.Received.Add(time.Duration(w.Expiry) * time.Second)
	}
	b.injectWith(bt, &m, b.sessions.get(id.ClientID)) // No Local counts for Wills, too [MQTT-3.8.3-3]
	return func() { b.observe(&m) }
}
