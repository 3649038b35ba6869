package addon

import (
	"cmp"
	"slices"
	"strings"
)

// Problem is one setting that is wrong.
type Problem struct {
	Key  string // as it stands in options.json, "" for the file as a whole
	Text string // what is wrong, one line
}

func (p Problem) String() string {
	if p.Key == "" {
		return p.Text
	}
	return p.Key + ": " + p.Text
}

// Problems are all settings that are wrong, so that an owner mends them at one go.
type Problems []Problem

// Error has one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		lines[i] = x.String()
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(key, text string) { *p = append(*p, Problem{Key: key, Text: text}) }

// err returns the problems by key, or nil when there are none.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int { return cmp.Compare(a.Key, b.Key) })
	return p
}
