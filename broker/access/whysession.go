package access

import (
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// session looks at one session.
func (w *inquiry) session(s broker.SessionInfo) {
	who := w.name(s.ClientID, s.User, "")
	base := Finding{ClientID: s.ClientID, User: s.User}
	with := func(c Cause, text, advice string) Finding {
		f := base
		f.Cause, f.Text, f.Advice = c, text, advice
		return f
	}
	var past Past
	if i := slices.IndexFunc(w.pasts, func(p Past) bool { return p.ClientID == s.ClientID }); i >= 0 {
		past = w.pasts[i]
	}
	_, subs, err := w.Sessions.Session(s.ClientID)
	if err != nil { // gone meanwhile
		return
	}
	if !s.Connected {
		f := with(NotConnected, fmt.Sprintf("%s is not connected now; its session is kept, %s.", who, waiting(s.Queued)), whyLeft(past.Why))
		if past.Why != "" {
			f.Text = fmt.Sprintf("%s is not connected now: %s. Its session is kept, %s.", who, past.Why, waiting(s.Queued))
		}
		if len(subs) > 0 && !slices.ContainsFunc(subs, func(sub broker.SubscriptionInfo) bool { return sub.QoS > 0 }) {
			f.Advice += " It subscribed with QoS 0: such messages are not kept for who is away, those of QoS 1 are."
		}
		w.add(f)
	}
	refused := w.deniedOf(func(n Denial) bool { return n.ClientID == s.ClientID && n.User == s.User })
	if len(subs) == 0 && !refused {
		w.add(with(NotSubscribed, who+" has not subscribed to anything, so nothing is sent to it.",
			"That is as it should be for a device that only reports. Otherwise look at the topics in the device's settings."))
	}
	if s.Dropped > 0 {
		why, advice := lostAdvice(past.Lost)
		f := with(Dropped, fmt.Sprintf("%s for %s got lost: %s.", number(s.Dropped), inside(who), why), advice)
		if s.DroppedBy != "" && (past.Lost == "" || past.Lost == "queue full") {
			f.Advice = fmt.Sprintf("Look at its connection; the limit is %s, and queue_full says what goes.", s.DroppedBy)
		}
		f.Count = s.Dropped
		w.add(f)
	}
	if s.Slowed > 0 {
		f := with(Slowed, fmt.Sprintf("%s is read more slowly: it sends %s.", who, s.SlowedBy),
			"Nothing is lost, it comes later. Let the device send less, or raise that limit.")
		f.Count = s.Slowed
		w.add(f)
	}
	narrowed, withheld := false, false
	for _, sub := range subs {
		if sub.Narrowed {
			if f, does := w.narrowed(who, base, s, sub); does {
				narrowed = true
				w.add(f)
			}
		}
		w.senders(base, sub.Filter)
		withheld = w.withheld(s, base, sub) || withheld
		w.lowered(base, sub)
	}
	if len(subs) == 0 || !s.Connected || withheld && s.Sent == 0 {
		return
	}
	heard := true
	if s.Sent == 0 {
		f := with(NothingSent, fmt.Sprintf("%s is connected and subscribed to %s; nothing was published there since.", who, filters(subs)),
			"Look on the page Topics whether the topic is written exactly like that: capitals count, and so does a / at the start.")
		if narrowed {
			f.Text = fmt.Sprintf("%s is connected; of what it may have of %s nothing was published since.", who, filters(subs))
		} else {
			heard = w.unheard(&f, s, subs)
		}
		w.add(f)
		w.fromElsewhere(base, subs, heard)
		return
	}
	w.fromElsewhere(base, subs, true)
	w.add(with(AllWell, fmt.Sprintf("%s is connected and got %s.", who, number(s.Sent)), ""))
}

// narrowed tells which part of a subscription is delivered.
func (w *inquiry) narrowed(who string, base Finding, s broker.SessionInfo, sub broker.SubscriptionInfo) (f Finding, does bool) {
	if w.Directory.Elsewhere() {
		return w.judged(who, base, s, sub)
	}
	f = base
	f.Cause, f.Topic, f.Rule = Narrowed, sub.Filter, sub.Rule.Text
	allow, deny := w.Directory.partsOf(s, sub.Filter)
	f.Text = fmt.Sprintf("%s subscribed to %s and may have a part of it only; the rest is not delivered.", who, sub.Filter)
	f.Advice = "Its rules leave some of these topics out."
	if len(allow) > 0 {
		f.Text = fmt.Sprintf("%s subscribed to %s and gets only what its rules allow of it: %s.", who, sub.Filter, some(allow))
	}
	if len(deny) > 0 {
		if slices.ContainsFunc(allow, func(a string) bool { return topic.Covers(a, sub.Filter) }) {
			f.Text = fmt.Sprintf("%s subscribed to %s and gets all of it but %s.", who, sub.Filter, some(deny))
		}
		f.Advice = fmt.Sprintf("Denied on purpose: %s. A deny beats every allow; change it where it is wrong.", some(deny))
	}
	f.propose(w.Directory, Question{User: s.User, ClientID: s.ClientID, Action: broker.Subscribe, Name: sub.Filter})
	return f, true
}

func number(n uint64) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

func waiting(n int) string {
	switch n {
	case 0:
		return "no messages wait for it"
	case 1:
		return "1 message waits for it"
	}
	return fmt.Sprintf("%d messages wait for it", n)
}

// inside is what begins a sentence, in the middle of one.
func inside(who string) string { return strings.ToLower(who[:1]) + who[1:] }

func filters(subs []broker.SubscriptionInfo) string {
	list := make([]string, len(subs))
	for i, s := range subs {
		list[i] = s.FullFilter()
	}
	return some(list)
}

// some lists the first few.
func some(list []string) string {
	const few = 3
	if len(list) > few {
		list = append(slices.Clone(list[:few]), fmt.Sprintf("%d more", len(list)-few))
	}
	return strings.Join(list, ", ")
}
