package difftest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"hearthmq/broker/packet"
)

// theme is what a script is mostly about. Themes keep apart what would make each
// other's differences unreadable, such as overlapping subscriptions (Mosquitto
// sends a copy for each) and full windows (in which each copy takes a place).
type theme struct {
	name        string
	filters     []string
	withhold    bool // acknowledgements and Receive Maximum
	hold        bool // PUBREL
	shared      bool
	crossing    bool // filters that overlap
	odd         bool // what a careful client would not do
	resubscribe bool // the same filter with other options
	weights     [8]int
}

// The actions of weights, in this order.
const (
	doConnect = iota
	doSubscribe
	doUnsubscribe
	doPublish
	doDisconnect
	doDrop
	doAck
	doRelease
)

// maker makes one script.
type maker struct {
	*rand.Rand
	theme
	s       *script
	on      []bool // connected, as far as can be foreseen
	version []packet.Version
}

// topics are few, so that things meet.
func topics() []string {
	return []string{"a", "a/b", "a/c", "a/b/c", "b", "b/c", "/a", "a/", "house/kitchen/lamp", "house/hall/lamp"}
}

func crossing() []string {
	return []string{"#", "+", "a/#", "a/+", "a/b", "+/b", "a/+/c", "+/+", "/#", "/+", "+/", "b/#", "house/+/lamp", "house/#", "a", "b", "+/kitchen/#"}
}

// disjoint filters match no topic twice.
func disjoint() []string { return []string{"a/#", "b/#", "house/+/lamp", "/a"} }

func themes() []theme {
	return []theme{
		{name: "overlap", filters: crossing(), crossing: true, weights: [8]int{4, 4, 2, 10, 2, 2, 0, 0}},
		{name: "wills", filters: crossing(), crossing: true, weights: [8]int{8, 3, 1, 4, 4, 4, 0, 0}},
		{name: "window", filters: disjoint(), withhold: true, weights: [8]int{3, 2, 1, 12, 1, 1, 5, 0}},
		{name: "held", filters: disjoint(), hold: true, weights: [8]int{3, 3, 1, 10, 1, 1, 0, 6}},
		{name: "shared", filters: disjoint(), shared: true, weights: [8]int{3, 5, 2, 10, 2, 1, 0, 0}},
		{name: "resubscribe", filters: disjoint(), resubscribe: true, weights: [8]int{2, 6, 1, 10, 1, 1, 0, 0}},
		{name: "odd", filters: crossing(), crossing: true, odd: true, weights: [8]int{4, 4, 3, 8, 2, 2, 0, 0}},
	}
}

// generate makes the script of a seed.
func generate(seed uint64) *script {
	all := themes()
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 0x6D717474)), theme: all[seed%uint64(len(all))]}
	m.s = &script{seed: seed, theme: m.theme.name, clients: 2 + m.IntN(3)}
	m.on = make([]bool, m.s.clients)
	for range m.s.clients {
		m.version = append(m.version, []packet.Version{packet.V31, packet.V311, packet.V50, packet.V50}[m.IntN(4)])
	}
	for c := range m.s.clients {
		m.add(c, m.connect(c))
		m.add(c, m.subscribe(c))
	}
	for range 10 + m.IntN(30) {
		m.step()
	}
	m.finish()
	return m.s
}

func (m *maker) add(client int, do action) {
	switch do.(type) {
	case *connect:
		m.on[client] = true
	case *disconnect, *drop:
		m.on[client] = false
	}
	m.s.steps = append(m.s.steps, step{n: len(m.s.steps) + 1, client: client, do: do})
}

func (m *maker) one(of int) bool { return m.IntN(of) == 0 }

func pick[T any](m *maker, list ...T) T { return list[m.IntN(len(list))] }

func (m *maker) step() {
	c := m.IntN(m.s.clients)
	if !m.on[c] && !m.one(4) { // rather one that can
		m.add(c, m.connect(c))
		return
	}
	sum := 0
	for _, w := range m.weights {
		sum += w
	}
	n := m.IntN(sum)
	what := 0
	for ; n >= m.weights[what]; what++ {
		n -= m.weights[what]
	}
	if !m.on[c] && what != doConnect {
		return
	}
	switch what {
	case doConnect:
		m.add(c, m.connect(c))
	case doSubscribe:
		m.add(c, m.subscribe(c))
	case doUnsubscribe:
		m.add(c, m.unsubscribe())
	case doPublish:
		m.add(c, m.publish(c))
	case doDisconnect:
		m.add(c, m.disconnect(c))
	case doDrop:
		m.add(c, &drop{})
	case doAck:
		m.add(c, &acknowledge{n: 1 + m.IntN(4), reverse: m.one(3)})
	case doRelease:
		m.add(c, pick[action](m, &release{}, &release{}, &again{}))
	}
}

func (m *maker) connect(c int) action {
	if !m.crossing && m.one(10) {
		m.version[c] = pick(m, packet.V31, packet.V311, packet.V50)
	}
	a := &connect{version: m.version[c], clean: m.one(3), keep: pick[uint16](m, 0, 60, 65535)}
	if a.version == packet.V50 {
		a.expiry = pick[uint32](m, 0, 3600, 3600, 0xFFFFFFFF)
		a.aliases = pick[uint16](m, 0, 0, 1, 5)
		if m.withhold {
			a.window = pick[uint16](m, 0, 1, 2, 3, 5)
		}
	}
	a.withhold = m.withhold && !m.one(3)
	if !m.withhold && m.one(2) {
		a.will = m.will(a.version)
	}
	if m.odd && m.one(6) {
		a.noID = true
	}
	return a
}

func (m *maker) will(v packet.Version) *will {
	w := &will{topic: pick(m, topics()...), qos: byte(m.IntN(3)), retain: m.one(3), empty: m.one(10)}
	if m.odd && m.one(8) {
		w.topic = pick(m, "$SYS/broker/uptime", "$other/a")
	}
	if v == packet.V50 {
		w.delay = pick[uint32](m, 0, 0, 3600)
		w.props = m.props()
	}
	return w
}

// shareOptions are fixed for each group, so that it does not matter which member
// gets a message.
func shareOptions(group string) packet.Subscription {
	return map[string]packet.Subscription{
		"$share/g/a/#":          {Filter: "$share/g/a/#", QoS: 2},
		"$share/h/+/b":          {Filter: "$share/h/+/b", QoS: 1, RetainAsPublished: true},
		"$share/g/house/+/lamp": {Filter: "$share/g/house/+/lamp"},
	}[group]
}

func (m *maker) subscribe(c int) action {
	a := &subscribe{}
	for range 1 + m.IntN(3) {
		s := packet.Subscription{Filter: pick(m, m.filters...), QoS: byte(m.IntN(3))}
		if m.version[c] == packet.V50 {
			s.RetainHandling = pick[byte](m, 0, 0, 1, 2)
			s.NoLocal, s.RetainAsPublished = m.flags(c, s.Filter)
		}
		if m.shared && m.one(2) {
			s = shareOptions(pick(m, "$share/g/a/#", "$share/h/+/b", "$share/g/house/+/lamp"))
			s.RetainAsPublished = s.RetainAsPublished && m.version[c] == packet.V50
		}
		if m.odd && m.one(6) {
			s.Filter = pick(m, "a+", "a/#/b", "$share/g", "$share/g/", "$share//a", "$share/g+/a", "", "$SYS/broker/nothing", "$other/#", "a//+", "$share/g/#")
		}
		if !slices.ContainsFunc(a.subs, func(o packet.Subscription) bool { return o.Filter == s.Filter }) {
			a.subs = append(a.subs, s)
		}
	}
	if m.version[c] == packet.V50 && m.one(2) {
		a.id = pick[uint32](m, 1, 2, 127, 128, 268_435_455)
	}
	return a
}

// flags are the options that Mosquitto keeps from the first SUBSCRIBE: always the
// same ones for a client's filter, but in the theme that is about it.
func (m *maker) flags(c int, filter string) (noLocal, retainAsPublished bool) {
	if m.resubscribe {
		return m.one(3), m.one(3)
	}
	h := fnv.New64a()
	fmt.Fprint(h, m.s.seed, c, filter)
	n := h.Sum64() >> 20
	return n%4 == 0, n/4%3 == 0
}

func (m *maker) unsubscribe() action {
	a := &unsubscribe{}
	for range 1 + m.IntN(3) {
		f := pick(m, m.filters...)
		if m.shared && m.one(2) {
			f = pick(m, "$share/g/a/#", "$share/h/+/b", "$share/g/house/+/lamp")
		}
		if m.odd && m.one(4) {
			f = pick(m, "a+", "$share/g", "", "$share/g/#")
		}
		a.filters = append(a.filters, f)
	}
	return a
}

func (m *maker) publish(c int) action {
	a := &publish{qos: byte(m.IntN(3)), retain: m.one(3)}
	for range pick(m, 1, 1, 1, 2, 5) {
		a.topics = append(a.topics, pick(m, topics()...))
	}
	m.burst(c, a)
	if m.withhold {
		a.retain = false // when retained messages come is the broker's choice, and with a full window it shows
	}
	if a.retain && m.one(3) {
		a.empty = true
	}
	if m.hold && m.one(3) {
		a.qos, a.retain, a.empty, a.hold = 2, false, false, true
	}
	if m.version[c] == packet.V50 {
		if m.one(4) {
			a.alias = pick[uint16](m, 1, 2, 10)
		}
		if m.one(2) {
			a.props = m.props()
		}
	}
	if m.odd && m.one(5) {
		a.topics[0] = pick(m, "$SYS/broker/uptime", "$other/a", "a/+", "#", "$share/g/a", "a\u0001b", "$CONTROL/x")
	}
	return a
}

// burst makes a publish one of many messages: more than a window where the
// brokers' Receive Maximum does not forbid it.
func (m *maker) burst(c int, a *publish) {
	more := window + 5
	switch {
	case m.withhold && m.one(8):
		if m.version[c] == packet.V50 && a.qos > 0 || a.qos == 2 {
			more = window - len(a.topics)
		}
	case m.theme.name == "overlap" && m.version[c] != packet.V50 && m.one(20):
		a.qos = 2
	default:
		return
	}
	a.retain = false
	for range more {
		a.topics = append(a.topics, a.topics[0])
	}
}

func (m *maker) props() props {
	p := props{format: m.one(4)}
	if m.one(4) {
		p.expiry = 1 + m.Uint32N(5)
	}
	if m.one(4) {
		p.content = "text/plain"
	}
	if m.one(4) {
		p.response = "answers/" + fmt.Sprint(m.IntN(3))
	}
	if m.one(4) {
		p.corr = "request 7"
	}
	for range pick(m, 0, 0, 1, 3) {
		p.user = append(p.user, packet.UserProperty{Key: pick(m, "k", "l"), Value: fmt.Sprint(m.IntN(3))})
	}
	return p
}

func (m *maker) disconnect(c int) action {
	a := &disconnect{}
	if m.version[c] == packet.V50 {
		a.withWill = m.one(3)
		if m.one(4) {
			a.expiry = new(pick[uint32](m, 0, 60))
		}
	}
	return a
}

// finish brings out what the brokers still hold: sessions, windows, retained messages.
func (m *maker) finish() {
	for c := range m.s.clients {
		if m.on[c] {
			if m.hold {
				m.add(c, &release{})
			}
			m.add(c, &acknowledge{})
		}
		if m.one(2) {
			m.add(c, pick[action](m, &drop{}, m.disconnect(c)))
		}
	}
	for c := range m.s.clients {
		if !m.on[c] || m.one(4) {
			a := &connect{version: m.version[c]}
			if a.version == packet.V50 {
				a.expiry = 60
			}
			m.add(c, a)
		}
	}
	last := m.s.clients - 1
	m.add(last, &connect{version: packet.V50, clean: true})
	m.add(last, &subscribe{subs: []packet.Subscription{{Filter: "#", QoS: 2, RetainAsPublished: true}}})
}
