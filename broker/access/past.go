package access

import (
	"fmt"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

const (
	maxPast = 500 // clients whose past is remembered
	// pushSpan is within which time after another take-over one is no accident: a device
	// that lost its network comes back once, two with one name push each other out on and on.
	pushSpan = time.Minute
	manyPush = 3
)

// Past is what is remembered of a client beyond its session: why it went, and what became
// of messages for it.
type Past struct {
	ClientID, User string
	Came           time.Time // let in last
	From           string    // from where
	Left           time.Time // its connection ended last; zero: not since the start
	Expired        time.Time // its session ended, kept long enough after that; zero: it did not
	Why            string    // it ended
	Pushed         int       // how often another connection of that name ended its own, one soon after the other
	PushedFrom     string    // where the one was that had to go last
	Lost           string    // why messages for it were dropped last
}

// pastKey is what a client is remembered by.
func pastKey(clientID, user string) string {
	if Assigned(clientID) {
		return assignedPrefix + "\x00" + user // another one at each connection
	}
	return clientID
}

// pastOf returns what is remembered of a client, to be changed. d.mu is held.
func (d *Denials) pastOf(id *broker.Identity) *Past {
	key := clip(pastKey(id.ClientID, id.User))
	p, ok := d.past.get(key)
	if !ok {
		p = new(Past)
		d.past.put(key, p)
	}
	p.ClientID, p.User = clip(id.ClientID), clip(id.User)
	return p
}

func (d *Denials) came(e broker.Connected) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pastOf(e.Identity)
	p.Came, p.From, p.Expired = e.At, remoteText(e.Identity), time.Time{}
}

func (d *Denials) expired(e broker.Expired) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, ok := d.past.get(clip(e.ClientID)); ok {
		p.Expired = e.At
	}
}

func (d *Denials) went(e broker.Disconnected) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pastOf(e.Identity)
	if e.Code == packet.SessionTakenOver {
		if e.At.Sub(p.Left) > pushSpan || p.Pushed == 0 {
			p.Pushed = 0
		}
		p.Pushed++
		p.PushedFrom = remoteText(e.Identity)
	}
	p.Left, p.Why = e.At, clip(e.Reason)
}

func (d *Denials) lost(e broker.Dropped) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, ok := d.past.get(clip(e.ClientID)); ok {
		p.Lost = e.Why
	}
}

// Pasts returns what is remembered of clients, the one that came or went last first.
func (d *Denials) Pasts() []Past {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Past, 0, d.past.len())
	for _, p := range d.past.all() {
		list = append(list, *p)
	}
	return list
}

func remoteText(id *broker.Identity) string {
	if !id.Remote.IsValid() {
		return ""
	}
	return id.Remote.String()
}

// PushedOut reports whether two devices share the Client Identifier and push each other
// out now.
func (p Past) PushedOut(now time.Time) bool {
	return p.Pushed >= manyPush && now.Sub(p.Left) <= 2*pushSpan
}

// pushedOut finds two devices that share one Client Identifier: each connection ends the
// other one, and both come back for ever.
func (w *inquiry) pushedOut(p Past) {
	if !p.PushedOut(time.Now()) {
		return
	}
	f := Finding{
		Cause: PushedOut, ClientID: p.ClientID, User: p.User, Count: uint64(p.Pushed), Last: p.Left,
		Text:   fmt.Sprintf("%s is pushed out again and again: each time something else connects with the same client identifier.", w.name(p.ClientID, p.User, "")),
		Advice: "Two devices or programs have that client identifier, perhaps a copied configuration or a second instance: give each its own.",
	}
	if a, b := hostOf(p.From), hostOf(p.PushedFrom); a != "" && b != "" && a != b {
		f.Text += fmt.Sprintf(" The last two came from %s and %s.", a, b)
	}
	w.add(f)
}

// lookBack tells of clients that were here.
func (w *inquiry) lookBack(sessions []broker.SessionInfo) {
	here, told := map[string]bool{}, map[string]bool{} // users
	for _, s := range sessions {
		here[s.ClientID], told[s.User] = true, true
	}
	for _, p := range w.pasts {
		if !w.concerns(p.ClientID, p.User, p.From) {
			continue
		}
		w.pushedOut(p)
		// Of a user or an address with many clients the last one is enough, where none is here.
		if p.Left.IsZero() || here[p.ClientID] || told[p.User] && !w.is(p.ClientID) || w.cameBackInVain(p) {
			continue
		}
		told[p.User] = true
		w.left(p)
	}
}

// left tells of a client of whom no session is left.
func (w *inquiry) left(p Past) {
	f := Finding{Cause: NotConnected, ClientID: p.ClientID, User: p.User, Last: p.Left}
	f.Text = fmt.Sprintf("%s was here and is not connected now: %s.", w.name(p.ClientID, p.User, p.From), p.Why)
	f.Advice = whyLeft(p.Why)
	if p.Expired.Sub(p.Left) < time.Second {
		f.Advice += " Its session ended with its connection, so nothing waits for it: for that the device turns “clean session” off and subscribes with QoS 1."
	} else {
		f.Text += fmt.Sprintf(" Its session was kept for it until %s and has ended by now, with all that waited.", moment(p.Expired))
		f.Advice += " A session is kept as long as the device asks for (session expiry) and session_expiry_max allows."
	}
	w.add(f)
}

// whyLeft says what to do about the end of a connection.
func whyLeft(why string) string {
	switch why {
	case "client disconnected":
		return "It said goodbye itself, as devices do that sleep: it comes back when it has something to say, or it was switched off."
	case "keep alive timeout":
		return "It did not answer any more: look at its power and its Wi-Fi."
	case "packet is larger than the limit":
		return "It sent a message that is larger than max_packet_size: make that larger, or the message smaller."
	}
	return "Look whether the device is switched on and reaches this machine."
}
