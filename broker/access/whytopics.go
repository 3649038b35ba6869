package access

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// Topics is what Explainer asks of what was published. *feed.Feed is one.
type Topics interface {
	// Latest returns the topic of those that filter matches on which a message came last,
	// when that was, and whether it is retained; "" where none is known.
	Latest(filter string) (name string, at time.Time, retained bool)
	// Names lists the topics that are known, in no order.
	Names() iter.Seq[string]
}

// maxAskedFilters bounds for how many subscriptions of a client all topics are looked
// through.
const maxAskedFilters = 16

// unheard says more of a client that gets nothing although it may: when a message came
// last, or where messages come that look much like those it waits for.
func (w *inquiry) unheard(f *Finding, subs []broker.SubscriptionInfo) {
	if w.Topics == nil {
		return
	}
	subs = subs[:min(len(subs), maxAskedFilters)]
	var name string
	var last time.Time
	for _, sub := range subs {
		if n, at, retained := w.Topics.Latest(sub.Filter); n != "" && !retained && at.After(last) {
			name, last = n, at
		}
	}
	if name != "" {
		f.Text = fmt.Sprintf("%s is connected and subscribed to %s; the last message there, on %s, came at %s and was not retained.",
			w.name(f.ClientID, f.User, ""), filters(subs), name, last.Local().Format("15:04:05 on 2 Jan"))
		f.Topic, f.Advice = name, "Only who is subscribed at that moment gets such a message. Wait for the next one, or have the sender retain it."
		if slices.ContainsFunc(subs, func(s broker.SubscriptionInfo) bool { return s.Share != "" }) {
			f.Advice = "A shared subscription ($share) gets each message once, and another member of its group may have it."
		}
		return
	}
	for _, sub := range subs {
		if near := nearTopic(sub.Filter, w.Topics.Names()); near != "" {
			f.Near = near
			f.Advice = fmt.Sprintf("Messages come on %s, which looks much like it: is the topic misspelt on one of the two sides? Capitals count, and so does a / at the start.", near)
			if strings.HasPrefix(near, sub.Filter+"/") {
				f.Advice = fmt.Sprintf("Messages come below it, on %s: who wants them subscribes to %s/#.", near, sub.Filter)
			}
			return
		}
	}
}

// nearTopic returns the topic that a filter was probably meant to match: one in other
// capitals or with another slash at the ends, one with a slip in a single level, or one
// below it. "" when there is none.
func nearTopic(filter string, names iter.Seq[string]) (best string) {
	least := 4
	for name := range names {
		if d := slips(filter, name); d < least || d == least && d < 4 && name < best {
			best, least = name, d
		}
	}
	return best
}

// slips is how far a topic is from what a filter matches: 1 capitals and slashes, 2 a
// level, 3 it is below, 4 further.
func slips(filter, name string) int {
	if strings.HasPrefix(name, filter+"/") {
		return 3
	}
	want, has, slipped := strings.Trim(filter, "/"), strings.Trim(name, "/"), false
	for {
		w, wantMore, more := strings.Cut(want, "/")
		if w == "#" {
			break
		}
		h, hasMore, also := strings.Cut(has, "/")
		if w != "+" && !strings.EqualFold(w, h) {
			if slipped || similar(w, []string{h}) == "" {
				return 4
			}
			slipped = true
		}
		if !more && !also {
			break
		}
		if more && !also && wantMore == "#" { // it matches what is above as well
			break
		}
		if !also || !more {
			return 4
		}
		want, has = wantMore, hasMore
	}
	if slipped {
		return 2
	}
	return 1
}

// partsOf lists the filters that allow a session a part of one, and those that deny it
// something of it.
func (d *Directory) partsOf(s broker.SessionInfo, filter string) (allow, deny []string) {
	u, ok := d.User(s.User)
	if !ok {
		return nil, nil
	}
	id := &broker.Identity{User: s.User, ClientID: s.ClientID}
	if s.Identity != nil {
		id = s.Identity
	}
	side := newGrants(u.Name, u.Rules, u.Roles, d.snap.Load().roles).done().set(id).subscribe
	overlapping := func(filters []string) (list []string) {
		for _, f := range filters {
			if topic.Overlaps(f, filter) {
				list = append(list, f)
			}
		}
		return widest(list)
	}
	return overlapping(side.allowFilters), overlapping(side.denyFilters)
}
