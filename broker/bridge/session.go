package bridge

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// subscribeID is the Packet Identifier of a bridge's own requests to this broker. The
// messages that it passes on bring identifiers from the other end, which count from below.
const (
	subscribeID   = 65535
	unsubscribeID = 65534
)

// Reasons for which a connection is given up that stands.
var (
	errIdle      = errors.New("nothing to carry")
	errPrimary   = errors.New("the first address answers again")
	errForgotten = errors.New("the session here was deleted; both sides begin anew")
	errSilent    = errors.New("the other broker does not answer any more")
)

// attach connects to this broker. The window is that of the other side: what that
// can't take yet stays in the queue.
func (r *runner) attach(ctx context.Context, window uint16) (*link, *packet.Connack, error) {
	ours, theirs := net.Pipe()
	id := &broker.Identity{User: r.set.User, Listener: Listener, System: r.set.User == ""}
	parted := make(chan struct{})
	r.wg.Go(func() {
		defer close(parted)
		r.m.Local.ServeConn(ctx, theirs, broker.ListenerInfo{Name: Listener, Trusted: id})
	})
	l := newLink(ours, packet.V50, 0)
	l.parted = parted
	p := &packet.Connect{ClientID: r.set.localID(), CleanStart: r.set.LocalClean}
	if !r.set.LocalClean {
		p.Properties.SetSessionExpiry(broker.NeverExpires)
	}
	if window > 0 {
		p.Properties.SetReceiveMaximum(window)
	}
	ack, err := l.connect(p)
	if err != nil {
		return nil, nil, errors.Join(inside(err), ours.Close())
	}
	return l, ack, nil
}

// prime makes the local session with its subscriptions before the other side was ever
// reached, so that nothing is missed meanwhile.
func (r *runner) prime(ctx context.Context) error {
	if r.set.LocalClean {
		return nil
	}
	l, ack, err := r.attach(ctx, 1)
	if err != nil {
		return err
	}
	r.fresh = !ack.SessionPresent
	stop := context.AfterFunc(ctx, func() { l.nc.Close() })
	defer stop()
	if err := l.nc.SetReadDeadline(time.Now().Add(replyTimeout)); err != nil {
		return err
	}
	filters := r.set.carried(false)
	r.forgetFilters(l, filters)
	if len(filters) == 0 {
		return l.leave()
	}
	r.subscribe(l, filters, 2) // what is retained goes out once there is a connection
	if err := l.flush(); err != nil {
		return errors.Join(err, l.nc.Close())
	}
	for {
		f, err := l.next()
		if err != nil {
			return errors.Join(inside(err), l.nc.Close())
		}
		if f.Type() == packet.TypeSuback {
			return l.leave() // messages that came as well are sent again
		}
	}
}

// forgetFilters ends local subscriptions that an earlier version of the bridge had.
func (r *runner) forgetFilters(l *link, wanted map[string]byte) {
	_, subs, err := r.m.Local.Session(r.set.localID())
	if err != nil {
		return // a new session has none
	}
	var stale []string
	for _, s := range subs {
		if _, ok := wanted[s.FullFilter()]; !ok {
			stale = append(stale, s.FullFilter())
		}
	}
	if len(stale) > 0 {
		l.put(&packet.Unsubscribe{PacketID: unsubscribeID, Filters: stale})
	}
}

// subscribe puts one SUBSCRIBE for the filters and returns them in its order.
func (r *runner) subscribe(l *link, filters map[string]byte, retainHandling byte) []string {
	order := slices.Sorted(maps.Keys(filters))
	p := &packet.Subscribe{PacketID: subscribeID}
	for _, f := range order {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{
			Filter: f, QoS: filters[f], NoLocal: true, RetainAsPublished: true, RetainHandling: retainHandling,
		})
	}
	l.put(p)
	return order
}

// reach connects to the other side. Where the local session is new, the other one is,
// too; whether what was found there is new can't be told in MQTT 3.1.
func (r *runner) reach(ctx context.Context, address string) (l *link, ack *packet.Connack, begun bool, err error) {
	always := r.set.Clean || r.set.LocalClean
	clean, anew := always, r.fresh && !r.set.LikeMosquitto
	if anew && !clean && r.set.Version < packet.V50 {
		// A Clean Session ends with its connection: this one is there to end the old one.
		l, _, err := r.login(ctx, address, true)
		if err != nil {
			return nil, nil, false, err
		}
		_ = l.leave() // what counts is the answer
	}
	clean = clean || anew && r.set.Version == packet.V50
	if l, ack, err = r.login(ctx, address, clean); err != nil {
		return nil, nil, false, err
	}
	if r.older && clean && !always { // it came to be spoken to in MQTT 3.1.1
		_ = l.leave() // what counts is the answer
		if l, ack, err = r.login(ctx, address, false); err != nil {
			return nil, nil, false, err
		}
	}
	begun = clean || r.fresh || !ack.SessionPresent && r.version() != packet.V31
	r.fresh = false
	return l, ack, begun, nil
}

// version is the one that is spoken with the other side.
func (r *runner) version() packet.Version {
	if r.older {
		return packet.V311
	}
	return r.set.Version
}

// login connects and sends CONNECT, as MQTT 3.1.1 where MQTT 5 is not known, and without
// Mosquitto's mark of a bridge where that is not understood.
func (r *runner) login(ctx context.Context, address string, clean bool) (*link, *packet.Connack, error) {
	r.older, r.private = false, r.marks && r.set.Version < packet.V50
	for {
		l, ack, err := r.tryLogin(ctx, address, clean)
		if errors.Is(err, errOlder) {
			r.log.Warn("a bridge speaks MQTT 3.1.1 with a broker that does not know MQTT 5", "address", address)
			r.older, r.private = true, r.marks
			continue
		}
		refused, ok := errors.AsType[*refusedError](err)
		if ok && r.private && refused.code == packet.UnsupportedProtocolVersion {
			r.private, r.marks = false, false
			continue
		}
		return l, ack, err
	}
}

func (r *runner) tryLogin(ctx context.Context, address string, clean bool) (*link, *packet.Connack, error) {
	nc, err := r.m.reach(ctx, r.set, address)
	if err != nil {
		return nil, nil, err
	}
	r.m.Local.HoldQoS0(r.set.localID(), true)
	l := newLink(nc, r.version(), helloMost)
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	p := connectPacket(r.set)
	p.CleanStart, p.Bridge = clean, r.private
	if r.set.Notify && !r.set.NotifyLocal {
		p.Will = &packet.Will{QoS: 1, Retain: !r.set.DropRetain, Topic: r.set.stateTopic(), Payload: []byte("0")}
	}
	ack, err := l.connect(p)
	if err != nil {
		return nil, nil, errors.Join(err, nc.Close())
	}
	return l, ack, nil
}

// defaultInflight is how many messages the other side may have under way to the
// bridge; this broker takes more from a client.
const defaultInflight = 20

// connectPacket is CONNECT without what depends on the sessions.
func connectPacket(s *Settings) *packet.Connect {
	p := &packet.Connect{
		ClientID: s.ClientID, KeepAlive: uint16(s.KeepAlive / time.Second),
		HasUserName: s.Username != "", UserName: s.Username, HasPassword: s.Password != "", Password: []byte(s.Password),
	}
	p.Properties.SetReceiveMaximum(defaultInflight)
	if s.MaxInflight > 0 {
		p.Properties.SetReceiveMaximum(s.MaxInflight)
	}
	if s.MaxPacket > 0 {
		p.Properties.SetMaximumPacketSize(s.MaxPacket)
	}
	switch {
	case s.SessionExpiry > 0:
		p.Properties.SetSessionExpiry(s.SessionExpiry)
	case !s.Clean && !s.LikeMosquitto:
		p.Properties.SetSessionExpiry(broker.NeverExpires)
	}
	if s.TopicAliases > 0 {
		p.Properties.SetTopicAliasMaximum(s.TopicAliases)
	}
	return p
}

// carry connects both sides and passes on until one of them fails, ctx ends, or the
// bridge has a reason of its own. stood is for how long both were connected.
func (r *runner) carry(ctx context.Context, address string) (stood time.Duration, err error) {
	defer r.m.Local.HoldQoS0(r.set.localID(), false)
	remote, ack, begun, err := r.reach(ctx, address)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if begun {
		if err := r.m.Local.ForgetReceived(ctx, r.set.localID()); err != nil && !errors.Is(err, broker.ErrNotFound) {
			return 0, errors.Join(err, remote.nc.Close())
		}
	}
	window := uint16(0)
	if ack.Properties.Has(packet.PropReceiveMaximum) {
		window = ack.Properties.ReceiveMaximum
	}
	local, here, err := r.attach(ctx, window)
	if err != nil {
		return 0, errors.Join(err, remote.nc.Close())
	}
	if !here.SessionPresent && !r.set.LocalClean && !begun {
		r.fresh = true
		return 0, errors.Join(errForgotten, local.leave(), remote.nc.Close())
	}
	most := here.Properties.MaximumPacketSize // what is larger could not be passed on
	if set := r.set.MaxPacket; set > 0 && (most == 0 || set < most) {
		most = set
	}
	remote.rd.Limit(most)
	began := time.Now()
	err = r.pass(ctx, local, remote, ack)
	return time.Since(began), err
}

// pass runs both directions.
func (r *runner) pass(ctx context.Context, local, remote *link, ack *packet.Connack) error {
	in, out := r.set.mappings()
	r.last = new(moment) // the directions of another connection may still use theirs
	r.last.start()
	outward := &direction{
		from: local, to: remote, names: out, broker: r.m.ID, outward: true, set: r.set, log: r.log, count: &r.out, last: r.last,
		noRetain: r.set.DropRetain || ack.Properties.Has(packet.PropRetainAvailable) && ack.Properties.RetainAvailable == 0,
	}
	inward := &direction{from: remote, to: local, names: in, broker: r.m.ID, set: r.set, log: r.log, count: &r.in, last: r.last}

	ends := make(chan error, 3)
	err := r.askThere(outward, inward, ack)
	if err == nil {
		r.connected(ctx)
		r.wg.Go(func() { ends <- inside(outward.run()) })
		r.wg.Go(func() { ends <- inward.run() })
		err = r.askHere(outward, inward, ack)
	}
	if err == nil {
		keepAlive := r.set.KeepAlive
		if ack.Properties.Has(packet.PropServerKeepAlive) {
			keepAlive = time.Duration(ack.Properties.ServerKeepAlive) * time.Second
		}
		err = r.watch(ctx, remote, keepAlive, ends)
	}
	if ctx.Err() != nil || errors.Is(err, errIdle) || errors.Is(err, errPrimary) {
		r.notifyRemote(remote, "0")
		_ = remote.leave() // it goes either way
	} else {
		_ = remote.nc.Close() // without DISCONNECT: the Will tells the other side
	}
	_ = local.leave()
	return err
}

// mostQoS is the QoS that the other side takes at most.
func mostQoS(ack *packet.Connack) byte {
	if ack.Properties.Has(packet.PropMaximumQoS) {
		return ack.Properties.MaximumQoS
	}
	return 2
}

// askThere tells the other side that the bridge stands and asks for what comes in, a
// request for each topic, in their order: some brokers take no more in one, and so does
// Mosquitto. Neither direction runs yet, so that these come first.
func (r *runner) askThere(outward, inward *direction, ack *packet.Connack) error {
	id := func() (uint16, error) { return r.m.Local.TakePacketID(r.set.localID()) }
	there, most := outward.to, mostQoS(ack)
	if r.set.Notify && !r.set.NotifyLocal {
		p := &packet.Publish{Topic: []byte(r.set.stateTopic()), Payload: []byte("1"), QoS: min(1, most), Retain: !outward.noRetain}
		if p.QoS > 0 {
			n, err := id()
			if err != nil {
				return inside(err)
			}
			p.PacketID, inward.own = n, map[uint16]struct{}{n: {}}
		}
		there.put(p)
	}
	in, out, done := r.set.carried(true), r.set.outOnly(), map[string]bool{}
	stays := r.set.KeepFilters || !ack.SessionPresent && !r.set.LikeMosquitto
	for i := range r.set.Topics {
		f := r.set.Topics[i].remote()
		qos, comes := in[f]
		if _, goes := out[f]; done[f] || !comes && (!goes || stays) {
			continue
		}
		done[f] = true
		n, err := id()
		if err != nil {
			return inside(err)
		}
		if !comes {
			there.put(&packet.Unsubscribe{PacketID: n, Filters: []string{f}})
			continue
		}
		inward.subscribing.expect(n, []string{f}, func(refused []string) { r.refusedFilters("the other broker", refused) })
		there.put(&packet.Subscribe{PacketID: n, Subscriptions: []packet.Subscription{
			{Filter: f, QoS: min(qos, most), NoLocal: true, RetainAsPublished: true},
		}})
	}
	if r.set.KeepFilters || !ack.SessionPresent {
		return there.flush()
	}
	for _, f := range r.stale {
		n, err := id()
		if err != nil {
			return inside(err)
		}
		there.put(&packet.Unsubscribe{PacketID: n, Filters: []string{f}})
	}
	return there.flush()
}

// askHere subscribes on this side to what goes out.
func (r *runner) askHere(outward, inward *direction, ack *packet.Connack) error {
	here := r.set.carried(false)
	for f, qos := range here {
		here[f] = min(qos, mostQoS(ack)) // the local broker lowers it, and its queue knows
	}
	r.forgetFilters(outward.from, here)
	if len(here) > 0 {
		order := r.subscribe(inward.to, here, 0)
		outward.subscribing.expect(subscribeID, order, func(refused []string) { r.refusedFilters("this broker", refused) })
	}
	return inward.to.flush()
}

// outOnly lists what the other side knows by an earlier version of the bridge and is
// not to send.
func (s *Settings) outOnly() map[string]struct{} {
	in := s.carried(true)
	only := map[string]struct{}{}
	for i := range s.Topics {
		if f := s.Topics[i].remote(); !s.Topics[i].In {
			if _, ok := in[f]; !ok {
				only[f] = struct{}{}
			}
		}
	}
	return only
}

// notifyRemote says on the other side whether the bridge stands.
func (r *runner) notifyRemote(l *link, state string) {
	if !r.set.Notify || r.set.NotifyLocal {
		return
	}
	// QoS 0: its Packet Identifier can't collide with those that are passed on.
	l.put(&packet.Publish{Topic: []byte(r.set.stateTopic()), Payload: []byte(state), Retain: !r.set.DropRetain})
}

// watch keeps the connection to the other side alive until something ends it.
func (r *runner) watch(ctx context.Context, remote *link, keepAlive time.Duration, ends <-chan error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	asked := time.Time{}
	primary := time.Now()
	for {
		select {
		case err := <-ends:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			r.measure(now)
			if keepAlive > 0 {
				read, quiet := remote.read.time(), max(now.Sub(remote.wrote.time()), now.Sub(remote.read.time()))
				switch {
				case !asked.IsZero() && read.Before(asked) && now.Sub(asked) > keepAlive/2:
					return errSilent
				case !asked.IsZero() && !read.Before(asked):
					asked = time.Time{}
				}
				if asked.IsZero() && quiet >= keepAlive*3/4 {
					asked = now
					remote.put(new(packet.Pingreq))
					if err := remote.flush(); err != nil {
						return err
					}
				}
			}
			if r.set.Start == Lazy && now.Sub(r.last.time()) > r.set.IdleTimeout && r.queued() == 0 {
				return errIdle
			}
			if r.secondBest() && now.Sub(primary) > max(r.set.RestartMax, primaryPause) {
				primary = now
				if nc, err := r.m.reach(ctx, r.set, r.set.Addresses[0]); err == nil {
					_ = nc.Close() // it answers: that is all there was to know
					return errPrimary
				}
			}
		}
	}
}

// primaryPause is how long a bridge stays with a second address at least.
const primaryPause = time.Minute
