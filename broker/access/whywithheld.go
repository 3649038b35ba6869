package access

import (
	"fmt"

	"hearthmq/broker"
)

// maxLooked bounds how many retained messages one inquiry looks at.
const maxLooked = 1_000_000

// withheld are retained messages that the client would have got, had not their author
// lost the right to them.
func (w *inquiry) withheld(s broker.SessionInfo, base Finding, sub broker.SubscriptionInfo) (any bool) {
	if sub.Share != "" || sub.RetainHandling == 2 {
		return false // there is none for it anyway
	}
	id := s.Identity
	if id == nil {
		id = &broker.Identity{ClientID: s.ClientID, User: s.User}
	}
	f := base
	var from *broker.Message
	for m := range w.Sessions.Retained(sub.Filter) {
		if w.looked++; w.looked > maxLooked {
			break
		}
		rule, withheld := w.Sessions.Withheld(m)
		if !withheld || !w.Sessions.Authorize(id, broker.Receive, m.Topic).Allow {
			continue
		}
		if f.Count++; from == nil || m.Topic < from.Topic {
			from, f.Rule = m, rule.Text
		}
	}
	if from == nil {
		return false
	}
	f.Cause, f.Topic, f.Last = Withheld, from.Topic, from.Received
	f.Text = fmt.Sprintf("%s waits for %s, but %s may not publish there any more, so what it retained is not handed out: %s.",
		w.name(base.ClientID, base.User, ""), from.Topic, inside(w.name(from.PublisherID, from.PublisherUser, "")), f.Rule)
	f.Advice = "Have somebody publish it who may, or delete it on the page Retained; check_retain_source is the setting."
	w.proposeFor(&f, Denial{Action: "publish", ClientID: from.PublisherID, User: from.PublisherUser, Topic: from.Topic, Rule: f.Rule})
	w.add(f)
	return true
}
