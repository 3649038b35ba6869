package mosquitto

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Report is what an import comes to, for people.
type Report struct {
	// Over lists what comes over as it is, with how many there are.
	Over []string
	// There lists what is in HearthMQ already and stays as it is.
	There []string
	// Changed means something else from now on.
	Changed []Notice
	// Left stays behind.
	Left []Notice
	// Settings do the same as the configuration that was read. They are for the owner
	// to make: settings live in one place, and that is not the database.
	Settings []Setting
	// Broken is why nothing is imported, empty when something can be.
	Broken []Notice
	// Check is what to look at afterwards.
	Check []string
}

// Setting is one of HearthMQ's settings.
type Setting struct {
	Key, Value string // as in options.json
	From       Notice // where it comes from
}

// sort puts notices into the report's parts.
func (r *Report) sort(list []Notice) {
	for _, n := range list {
		switch n.Level {
		case Same, Harmless:
		case Changed:
			r.Changed = append(r.Changed, n)
		case Broken:
			r.Broken = append(r.Broken, n)
		default:
			r.Left = append(r.Left, n)
		}
	}
	for _, part := range []*[]Notice{&r.Changed, &r.Left, &r.Broken} {
		sortNotices(*part)
		*part = slices.Compact(*part)
	}
}

// OK reports whether there is something that can be imported.
func (r *Report) OK() bool { return len(r.Broken) == 0 }

// WriteTo writes the report as text.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	part := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(&b, "%s\n", title)
		for _, l := range lines {
			fmt.Fprintf(&b, "  - %s\n", l)
		}
		b.WriteByte('\n')
	}
	texts := func(list []Notice) (lines []string) {
		for _, n := range list {
			lines = append(lines, n.String())
		}
		return lines
	}
	if !r.OK() {
		part("Nothing can be imported:", texts(r.Broken))
		part("Also stays behind:", texts(r.Left))
		n, err := io.WriteString(w, b.String())
		return int64(n), err
	}
	over := r.Over
	if len(over) == 0 {
		over = []string{"nothing"}
	}
	part("Comes over as it is:", over)
	part("Is there already and stays as it is:", r.There)
	part("Changes its meaning:", texts(r.Changed))
	part("Stays behind:", texts(r.Left))
	var settings []string
	for _, s := range r.Settings {
		line := s.Key + ": " + s.Value
		if s.From.File != "" {
			line += "   (" + strings.TrimSuffix(Notice{File: s.From.File, Line: s.From.Line}.String(), ": ") + ")"
		}
		settings = append(settings, line)
	}
	part("Settings of HearthMQ that do the same, for you to make:", settings)
	part("To check afterwards:", r.Check)
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// some lists a few names of many.
func some(names []string) string {
	const most = 8
	shown := make([]string, 0, most)
	for _, n := range names[:min(len(names), most)] {
		shown = append(shown, quote(n))
	}
	s := strings.Join(shown, ", ")
	if more := len(names) - most; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
