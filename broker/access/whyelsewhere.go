package access

import (
	"fmt"
	"net/netip"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// Carrier is a bridge as far as it explains silence.
type Carrier struct {
	Name    string
	Brings  []string // filters of what it brings in, as they are called here
	Problem string   // why it does not stand, for people; "": it does
}

// closed are the ports that a device may try in vain.
func (w *inquiry) closed() {
	if w.Closed == nil {
		return
	}
	for _, why := range w.Closed() {
		w.add(Finding{
			Cause: PortClosed, Text: "A port is closed that should be open, so nothing gets in there: " + why + ".",
			Advice: "Put that right, or set the device to another port. HearthMQ tries to open it once a minute." + w.ports(),
		})
	}
}

// carriers are bridges whose name was asked for and that don't stand.
func (w *inquiry) carriers() {
	for _, c := range w.bridges() {
		if c.Problem != "" && w.is(c.Name) {
			w.add(Finding{
				Cause: NotCarried, Text: fmt.Sprintf("The bridge %q is not connected: %s.", c.Name, c.Problem),
				Advice: "Nothing comes or goes by it. See the page Bridges.",
			})
		}
	}
}

func (w *inquiry) bridges() []Carrier {
	if w.Carriers == nil {
		return nil
	}
	if w.carried == nil {
		w.carried = w.Carriers()
	}
	return w.carried
}

// fromElsewhere tells of bridges that should bring what a client waits for, and, where
// nothing of it is known here, of those that don't.
func (w *inquiry) fromElsewhere(base Finding, subs []broker.SubscriptionInfo, heard bool) {
	for _, c := range w.bridges() {
		if len(c.Brings) == 0 {
			continue
		}
		var wanted, missed []string
		for _, sub := range subs {
			if overlaps(c.Brings, sub.Filter) {
				wanted = append(wanted, sub.FullFilter())
			} else {
				missed = append(missed, sub.FullFilter())
			}
		}
		f, who := base, w.name(base.ClientID, base.User, "")
		switch {
		case len(wanted) > 0 && c.Problem != "":
			f.Cause, f.Topic = NotCarried, wanted[0]
			f.Text = fmt.Sprintf("%s waits for %s. The bridge %q brings in some of that, but it is not connected: %s.", who, some(wanted), c.Name, c.Problem)
			f.Advice = "What is published at the other broker meanwhile may not come. See the page Bridges."
			w.add(f)
		case len(missed) > 0 && !heard:
			f.Cause, f.Topic = LeftOut, missed[0]
			f.Text = fmt.Sprintf("%s waits for %s. If that is published at another broker: the bridge %q brings in %s only.", who, some(missed), c.Name, some(c.Brings))
			f.Advice = "Add the topic to the bridge on the page Bridges, direction in."
			w.add(f)
		}
	}
}

func overlaps(filters []string, filter string) bool {
	for _, f := range filters {
		if topic.Overlaps(f, filter) {
			return true
		}
	}
	return false
}

// lowered tells of a subscription that the rules allow with QoS 0 only, which they may have
// done since it was granted more.
func (w *inquiry) lowered(base Finding, sub broker.SubscriptionInfo) {
	if sub.MaxQoS > 0 || sub.Rule.Text == "" {
		return
	}
	f := base
	f.Cause, f.Topic, f.Rule = QoSLowered, sub.Filter, sub.Rule.Text
	f.Text = fmt.Sprintf("%s may have %s with QoS 0 only, so nothing of it is kept while it is away: %s.", w.name(base.ClientID, base.User, ""), sub.Filter, sub.Rule.Text)
	f.Advice = "Take qos<=0 out of the rule, if the device asks for more."
	w.add(f)
}

// judged is narrowed where each message is judged for itself: whether the subscription
// lacks anything shows with a topic.
func (w *inquiry) judged(who string, f Finding, s broker.SessionInfo, sub broker.SubscriptionInfo) (Finding, bool) {
	name := sub.Filter
	if topic.HasWildcard(name) {
		if w.Topics == nil {
			return f, false
		}
		if name, _, _ = w.Topics.Latest(sub.Filter); name == "" {
			return f, false
		}
	}
	d := w.Sessions.Authorize(s.Identity, broker.Receive, name)
	if d.Allow {
		return f, false
	}
	f.Cause, f.Topic, f.Rule = Narrowed, name, d.Rule.Text
	f.Text = fmt.Sprintf("%s subscribed to %s, but may not read %s: %s.", who, sub.FullFilter(), name, d.Rule.Text)
	f.Advice = w.onPurpose(Denial{Action: "receive", Topic: name, Rule: d.Rule.Text})
	return f, true
}

// Reason is Why in plain words: what nothing allows may be allowed to those that come in
// by another port or from another network.
func (d *Directory) Reason(n Denial) string {
	id, act, name, ok := d.cameIn(n)
	if !ok || n.Rule != textNoRule {
		return n.Why()
	}
	here, there := d.Authorize(id, act, name), d.AuthorizeAnywhere(id, act, name)
	if here.Allow || !there.Allow {
		return n.Why()
	}
	came := "it came in by " + n.Listener
	if strings.Contains(there.Rule.Text, " from=") && id.Remote.IsValid() {
		came += " from " + id.Remote.Addr().Unmap().String()
	}
	return fmt.Sprintf("the rule %s does not hold for it, as %s", there.Rule.Text, came)
}

// cameIn is who was denied something, by the way it came in; ok is false where no rules
// of a user's say anything of it.
func (d *Directory) cameIn(n Denial) (id *broker.Identity, act broker.Action, name string, ok bool) {
	a := d.snap.Load().accounts[n.User]
	if d.policy.Elsewhere || n.Action == "connect" || n.User != "" && (a == nil || a.System) {
		return nil, act, "", false
	}
	id, act, name = &broker.Identity{User: n.User, ClientID: n.ClientID, Listener: n.Listener}, broker.Publish, n.Topic
	if at, err := netip.ParseAddrPort(n.Remote); err == nil {
		id.Remote = at
	}
	if n.Action != "publish" {
		act = broker.Subscribe
		if _, rest, shared, err := topic.ParseShare(name); shared && err == nil {
			name = rest
		}
	}
	return id, act, name, true
}

// AllowedNow reports whether rules allow by now, whatever the QoS, what they denied.
func (d *Directory) AllowedNow(n Denial) bool {
	if n.Rule != textNoRule && n.RuleID == 0 {
		return false // or it was a limit
	}
	id, act, name, ok := d.cameIn(n)
	if !ok {
		return false
	}
	now := d.Authorize(id, act, name)
	return now.Permits(2, true) && !now.Narrowed
}
