package broker

import (
	"context"
	"math"
	"runtime"
	"strconv"
	"time"
)

// sysTree publishes the broker's figures under $SYS/broker with the names that
// Mosquitto gave them, spaces and all, because dashboards and exporters know
// them. A topic is published when its text changes.
type sysTree struct {
	b     *Broker
	last  map[string]string
	loads []load
	at    time.Time
	heap  uint64 // the most there was
}

// sysValue is one topic with a plain figure.
type sysValue struct {
	name string
	of   func(*Stats) uint64
}

var sysValues = []sysValue{
	{"clients/total", func(s *Stats) uint64 { return uint64(s.Sessions) }},
	{"clients/maximum", func(s *Stats) uint64 { return uint64(s.MaxSessions) }},
	{"clients/connected", func(s *Stats) uint64 { return uint64(s.Clients) }},
	{"clients/active", func(s *Stats) uint64 { return uint64(s.Clients) }},
	{"clients/disconnected", func(s *Stats) uint64 { return uint64(s.Sessions - s.Clients) }},
	{"clients/inactive", func(s *Stats) uint64 { return uint64(s.Sessions - s.Clients) }},
	{"clients/expired", func(s *Stats) uint64 { return s.ExpiredSessions }},
	{"messages/stored", func(s *Stats) uint64 { return uint64(s.Retained + s.QueuedMessages) }},
	{"store/messages/count", func(s *Stats) uint64 { return uint64(s.Retained + s.QueuedMessages) }},
	{"store/messages/bytes", func(s *Stats) uint64 { return uint64(s.RetainedBytes + s.QueuedBytes) }},
	{"subscriptions/count", func(s *Stats) uint64 { return uint64(s.Subscriptions - s.SharedSubs) }},
	{"shared_subscriptions/count", func(s *Stats) uint64 { return uint64(s.SharedSubs) }},
	{"retained messages/count", func(s *Stats) uint64 { return uint64(s.Retained) }},
	{"messages/received", func(s *Stats) uint64 { return s.PacketsReceived }},
	{"messages/sent", func(s *Stats) uint64 { return s.PacketsSent }},
	{"bytes/received", func(s *Stats) uint64 { return s.BytesReceived }},
	{"bytes/sent", func(s *Stats) uint64 { return s.BytesSent }},
	{"publish/bytes/received", func(s *Stats) uint64 { return s.PublishBytesReceived }},
	{"publish/bytes/sent", func(s *Stats) uint64 { return s.PublishBytesSent }},
	{"publish/messages/received", func(s *Stats) uint64 { return s.PublishReceived }},
	{"publish/messages/sent", func(s *Stats) uint64 { return s.PublishSent }},
	{"publish/messages/dropped", func(s *Stats) uint64 { return s.PublishDropped }},
	{"packet/out/count", func(s *Stats) uint64 { return s.PacketsWaiting }},
	{"packet/out/bytes", func(s *Stats) uint64 { return s.BytesWaiting }},
	// Ours: what the disk costs.
	{"store/commits", func(s *Stats) uint64 { return s.Store.Commits }},
	{"store/commit/microseconds", func(s *Stats) uint64 { return uint64(s.Store.Cost.Microseconds()) }},
	{"store/window/milliseconds", func(s *Stats) uint64 { return uint64(s.Store.Window.Milliseconds()) }},
	{"store/bytes/written", func(s *Stats) uint64 { return uint64(s.Store.Written) }},
	{"store/bytes/day", func(s *Stats) uint64 { return uint64(s.Store.LastDay) }},
	{"store/bytes/left", func(s *Stats) uint64 { return uint64(max(s.Store.Left, 0)) }},
	{"connections/socket/count", func(s *Stats) uint64 { return s.SocketsAccepted }},
}

// sysLoads are figures whose growth per minute is shown as moving averages.
var sysLoads = []sysValue{
	{"messages/received", func(s *Stats) uint64 { return s.PacketsReceived }},
	{"messages/sent", func(s *Stats) uint64 { return s.PacketsSent }},
	{"publish/received", func(s *Stats) uint64 { return s.PublishReceived }},
	{"publish/sent", func(s *Stats) uint64 { return s.PublishSent }},
	{"publish/dropped", func(s *Stats) uint64 { return s.PublishDropped }},
	{"bytes/received", func(s *Stats) uint64 { return s.BytesReceived }},
	{"bytes/sent", func(s *Stats) uint64 { return s.BytesSent }},
	{"connections", func(s *Stats) uint64 { return s.ConnectsAccepted }},
	{"sockets", func(s *Stats) uint64 { return s.SocketsAccepted }},
}

// loadSpans are the averages of each of them, in minutes.
var loadSpans = [...]int{1, 5, 15}

// load is the exponential moving averages of one figure, per minute.
type load struct {
	last uint64
	avg  [len(loadSpans)]float64
}

// add takes the figure after some time.
func (l *load) add(v uint64, passed time.Duration) {
	rate := float64(v-l.last) / passed.Minutes()
	l.last = v
	for i, span := range loadSpans {
		k := math.Exp(-passed.Minutes() / float64(span))
		l.avg[i] = l.avg[i]*k + rate*(1-k)
	}
}

// runSys publishes until the broker is shut down.
func (b *Broker) runSys() {
	t := &sysTree{b: b, last: make(map[string]string), loads: make([]load, len(sysLoads)), at: b.started}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-timer.C:
		}
		if cfg := b.cfg(); cfg.SysInterval >= 0 {
			t.publish("version", cfg.Version)
			t.update(b.Stats())
		}
		timer.Reset(b.cfg().sysPause())
	}
}

func (t *sysTree) update(s Stats) {
	t.publish("uptime", strconv.Itoa(int(s.Now.Sub(s.Started)/time.Second))+" seconds")
	for _, v := range sysValues {
		t.publish(v.name, strconv.FormatUint(v.of(&s), 10))
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.heap = max(t.heap, mem.HeapAlloc)
	t.publish("heap/current", strconv.FormatUint(mem.HeapAlloc, 10))
	t.publish("heap/maximum", strconv.FormatUint(t.heap, 10))
	if passed := s.Now.Sub(t.at); passed > 0 {
		t.at = s.Now
		for i, v := range sysLoads {
			t.loads[i].add(v.of(&s), passed)
		}
	}
	for i, v := range sysLoads {
		for k, span := range loadSpans {
			t.publish("load/"+v.name+"/"+strconv.Itoa(span)+"min", strconv.FormatFloat(t.loads[i].avg[k], 'f', 2, 64))
		}
	}
}

// SetSys sets $SYS/broker/name to what another part of the program knows; "" takes it
// away. Where nothing is published below $SYS, this is neither.
func (b *Broker) SetSys(name, text string) {
	if b.cfg().SysInterval < 0 {
		return
	}
	name = "$SYS/broker/" + name
	known := ""
	for m := range b.Retained(name) {
		known = string(m.Payload)
	}
	if known != text {
		// It can't fail: the name is valid and nothing waits for the store.
		_ = b.Publish(context.Background(), NewMessage(name, []byte(text), 2, true))
	}
}

// publish sets $SYS/broker/name when its text is new.
func (t *sysTree) publish(name, text string) {
	if t.last[name] == text {
		return
	}
	t.last[name] = text
	// It can't fail: the name is valid and nothing waits for the store.
	_ = t.b.Publish(context.Background(), NewMessage("$SYS/broker/"+name, []byte(text), 2, true))
}
