package difftest

import (
	"fmt"
	"slices"
	"strings"
)

// difference is what one client saw in one step with one broker only. Rules take
// out of it what they explain.
type difference struct {
	cell
	at     int // index of the step
	ours   []event
	theirs []event
	order  string // what came in another order, "" when that is the same
}

func (d *difference) empty() bool { return len(d.ours)+len(d.theirs) == 0 && d.order == "" }

func (d *difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "step %d, c%d:\n", d.step, d.client)
	for _, e := range d.ours {
		fmt.Fprintf(&b, "    HearthMQ only:  %s\n", e)
	}
	for _, e := range d.theirs {
		fmt.Fprintf(&b, "    Mosquitto only: %s\n", e)
	}
	if d.order != "" {
		fmt.Fprintf(&b, "    in another order: %s\n", d.order)
	}
	return b.String()
}

// compare returns what differs, in the order of steps.
func compare(s *script, ours, theirs *transcript) []*difference {
	var list []*difference
	for i, st := range s.steps {
		for c := range s.clients {
			at := cell{st.n, c}
			if d := compareCell(ours.events[at], theirs.events[at]); !d.empty() {
				d.cell, d.at = at, i
				list = append(list, d)
			}
		}
	}
	return list
}

func compareCell(ours, theirs []event) *difference {
	d := &difference{theirs: slices.Clone(theirs)}
	var common []event
	for _, e := range ours {
		if i := find(d.theirs, e.String()); i >= 0 {
			d.theirs = slices.Delete(d.theirs, i, i+1)
			common = append(common, e)
		} else {
			d.ours = append(d.ours, e)
		}
	}
	if a, b := sequences(ours, common), sequences(theirs, common); a != b {
		d.order = "\n      HearthMQ " + a + "\n      Mosquitto " + b
	}
	return d
}

func find(list []event, text string) int {
	return slices.IndexFunc(list, func(e event) bool { return e.String() == text })
}

// sequences renders those events of list that are in keep, each sequence by itself.
func sequences(list, keep []event) string {
	keep = slices.Clone(keep)
	var names []string
	in := make(map[string][]string)
	for _, e := range list {
		i := find(keep, e.String())
		if i < 0 {
			continue
		}
		keep = slices.Delete(keep, i, i+1)
		name := e.order()
		if name == "" {
			continue
		}
		if in[name] == nil {
			names = append(names, name)
		}
		in[name] = append(in[name], e.label)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s %q; ", n, in[n])
	}
	return b.String()
}

// sideBySide renders both transcripts.
func sideBySide(s *script, ours, theirs *transcript) string {
	var b strings.Builder
	for i, st := range s.steps {
		if i >= ours.ended {
			break
		}
		fmt.Fprintf(&b, "%s\n", st)
		for c := range s.clients {
			left, right := ours.events[cell{st.n, c}], theirs.events[cell{st.n, c}]
			for j := range max(len(left), len(right)) {
				l, r := "", ""
				if j < len(left) {
					l = left[j].String()
				}
				if j < len(right) {
					r = right[j].String()
				}
				mark := " "
				if l != r {
					mark = "!"
				}
				fmt.Fprintf(&b, "       %s c%d %-60s | %s\n", mark, c, l, r)
			}
		}
	}
	return b.String()
}
