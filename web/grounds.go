package web

import (
	"fmt"
	"time"

	"hearthmq/ui"
)

// longEnough is how long the broker must have run before silence means something.
const longEnough = time.Hour

// lookup says what is known of a topic: at most so many bytes of its last value, and
// whether there is one.
type lookup func(topicName string, most int) (value []byte, known bool)

// grounds are what a judgement of discovery rests on beside the configurations and
// their senders: it notes each answer that it gave.
type grounds struct {
	last  lookup
	early bool   // the broker has not run for long enough
	span  string // for how long it has run, for people; "" when nobody asked
	up    time.Duration
	known map[string]bool // whether there is a value
	off   map[string]bool // whether the value says offline
}

func groundsOf(last lookup, up time.Duration) grounds {
	return grounds{last: last, up: up, early: up < longEnough, known: map[string]bool{}, off: map[string]bool{}}
}

// hold reports whether all answers would be the same now.
func (g *grounds) hold(last lookup, up time.Duration) bool {
	if g.early != (up < longEnough) || g.span != "" && g.span != ui.Span(up) {
		return false
	}
	for name, was := range g.known {
		if _, is := last(name, 0); is != was {
			return false
		}
	}
	for name, was := range g.off {
		if saysOffline(last, name) != was {
			return false
		}
	}
	return true
}

// heard reports whether anything was ever published on a topic.
func (g *grounds) heard(name string) bool {
	is, asked := g.known[name]
	if !asked {
		_, is = g.last(name, 0)
		g.known[name] = is
	}
	return is
}

// offline reports whether an availability topic says so.
func (g *grounds) offline(name string) bool {
	is, asked := g.off[name]
	if !asked {
		is = saysOffline(g.last, name)
		g.off[name] = is
	}
	return is
}

// running is for how long the broker has run.
func (g *grounds) running() string {
	if g.span == "" {
		g.span = ui.Span(g.up)
	}
	return g.span
}

func saysOffline(last lookup, name string) bool {
	value, known := last(name, availabilityBytes)
	return known && offline(value)
}

// judge adds what only the broker's state tells; the sender has been gone for days.
func (e *entity) judge(days int, g *grounds) {
	if days > 0 {
		e.add(reasonOrphan, fmt.Sprintf("Its sender %q is gone for %s", ui.LastLevels(e.msg.PublisherID, 60), ui.Plural(days, "day", "days")))
	}
	for _, name := range e.available {
		if g.offline(name) {
			e.add(reasonNote, "Offline at the moment")
			break
		}
	}
	if len(e.states) == 0 || e.component == "device_automation" || e.component == "tag" || e.component == "event" || g.early {
		return
	}
	for _, name := range e.states {
		if g.heard(name) {
			return
		}
	}
	e.add(reasonSilent, fmt.Sprintf("Nothing came on %s since HearthMQ started %s ago", ui.LastLevels(e.states[0], 80), g.running()))
}
