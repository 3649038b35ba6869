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
// last, or where messages come that look much like those it waits for. heard: it is known
// where they are.
func (w *inquiry) unheard(f *Finding, s broker.SessionInfo, subs []broker.SubscriptionInfo) (heard bool) {
	if w.Topics == nil {
		return false
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
			w.name(f.ClientID, f.User, ""), filters(subs), name, moment(last))
		f.Topic, f.Advice = name, "Only who is subscribed at that moment gets such a message. Wait for the next one, or have the sender retain it."
		if slices.ContainsFunc(subs, func(s broker.SubscriptionInfo) bool { return s.Share != "" }) {
			f.Advice = "A shared subscription ($share) gets each message once, and another member of its group may have it."
		}
		return true
	}
	if s.Mount != "" && w.outside(f, s.Mount, subs) {
		return true
	}
	for _, sub := range subs {
		if near := nearTopic(sub.Filter, w.Topics.Names()); near != "" {
			f.Near = near
			f.Advice = nearAdvice(sub.Filter, near)
			return false
		}
	}
	return false
}

// outside tells of messages that a client could have had without its listener's mount point.
func (w *inquiry) outside(f *Finding, mount string, subs []broker.SubscriptionInfo) bool {
	for _, sub := range subs {
		bare := strings.TrimPrefix(sub.Filter, mount)
		if name, _, _ := w.Topics.Latest(bare); name != "" {
			f.Cause, f.Near = Mounted, name
			f.Text = fmt.Sprintf("%s waits for %s, but it came in by a listener with the mount point %s: that stands in front of each of its topics, so it waits for %s.",
				w.name(f.ClientID, f.User, ""), bare, mount, sub.Filter)
			f.Advice = fmt.Sprintf("Messages come on %s, which it can't see from there. Let it use another port, or take mount_point away from this one.", name)
			return true
		}
	}
	return false
}

func nearAdvice(filter, near string) string {
	switch {
	case strings.HasPrefix(near, filter+"/"):
		return fmt.Sprintf("Messages come below it, on %s: who wants them subscribes to %s/#.", near, filter)
	case below(filter, near):
		return fmt.Sprintf("Messages come on %s, which has more in front: a prefix or base topic in the sender's settings, or the mount point of its listener? Both sides need the same topic.", near)
	case above(filter, near):
		return fmt.Sprintf("Messages come on %s, which has less in front: is there a prefix or base topic in the device's settings that the sender does not have?", near)
	}
	return fmt.Sprintf("Messages come on %s, which looks much like it: is the topic misspelt on one of the two sides? Capitals count, and so does a / at the start.", near)
}

// below reports whether a filter matches a topic without its first levels.
func below(filter, name string) bool {
	if !telling(filter) {
		return false
	}
	for {
		_, rest, more := strings.Cut(name, "/")
		if !more {
			return false
		}
		if topic.Match(filter, rest) {
			return true
		}
		name = rest
	}
}

// above reports whether a filter without its first level matches a topic.
func above(filter, name string) bool {
	_, rest, more := strings.Cut(filter, "/")
	return more && telling(rest) && topic.Match(rest, name)
}

// telling reports whether a filter says enough to find what was meant without its beginning.
func telling(filter string) bool {
	_, levels := beforeWildcard(filter)
	return levels >= 2 && filter[0] != '/'
}

// moment is a point in time for people.
func moment(at time.Time) string { return at.Local().Format("15:04:05 on 2 Jan") }

// nearTopic returns the topic that a filter was probably meant to match: one in other
// capitals or with another slash at the ends, one with a slip in a single level, one
// below it, or one with more or less in front. "" when there is none.
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
// level, 3 it is below or has more or less in front, 4 further.
func slips(filter, name string) int {
	if topic.Match(filter, name) {
		return 4 // that is it
	}
	if d := slipped(filter, name); d < 4 || !below(filter, name) && !above(filter, name) {
		return d
	}
	return 3
}

// slipped is slips for what stands at the same place.
func slipped(filter, name string) int {
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
