package feed

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"hearthmq/broker/topic"
)

// maxFilter bounds the bytes of a filter text, maxRegexpValue those of a name or a value
// that a regular expression looks through. RE2 takes a step at most for each of its
// instructions and each byte; maxRegexpSteps bounds these, by looking at less (case R11).
const (
	maxFilter      = 1024
	maxRegexpValue = 16 << 10
	maxRegexpCode  = 1000 // instructions
	maxRegexpSteps = 1 << 19
)

// filter is what a person looks for: a Topic Filter when the text has a wildcard
// and is a valid one, else a piece of a Topic Name or of a last value. ASCII
// letters match in either case; so do others when the text has some itself. Or it
// is a regular expression (RE2, in either case) for both.
type filter struct {
	text   string
	regexp *regexp.Regexp
	reach  int    // bytes that regexp looks at
	topics string // Topic Filter, or ""
	needle []byte // in lower case
	ascii  bool
	again  []int16 // of a long needle: how much of its beginning each beginning ends with
}

func newFilter(text string) *filter {
	text = strings.TrimSpace(text)
	if len(text) > maxFilter {
		text = string(cutText([]byte(text), maxFilter))
	}
	if text == "" {
		return nil
	}
	f := &filter{text: text}
	if strings.ContainsAny(text, "+#") && topic.ValidFilter(text) == nil && topic.HasWildcard(text) {
		f.topics = text
		return f
	}
	f.needle, f.ascii = []byte(text), true
	for _, c := range f.needle {
		f.ascii = f.ascii && c < 0x80
	}
	if f.ascii {
		for i, c := range f.needle {
			f.needle[i] = lower(c)
		}
		if len(f.needle) > shortNeedle {
			f.again = endings(f.needle)
		}
	} else {
		f.needle = bytes.ToLower(f.needle)
	}
	return f
}

// newRegexp is newFilter for a regular expression.
func newRegexp(text string) (*filter, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if len(text) > maxFilter {
		return nil, fmt.Errorf("it is longer than %d characters", maxFilter)
	}
	parsed, err := syntax.Parse("(?is)"+text, syntax.Perl)
	if err != nil {
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			return nil, errors.New(e.Code.String())
		}
		return nil, err
	}
	size := codeSize(parsed) // before it is compiled, which takes its time, too
	if size > maxRegexpCode {
		return nil, errors.New("it repeats too much")
	}
	re, err := regexp.Compile("(?is)" + text)
	if err != nil {
		return nil, err
	}
	return &filter{text: text, regexp: re, reach: min(maxRegexpValue, maxRegexpSteps/size)}, nil
}

// codeSize is about how many instructions a regular expression takes. Its depth is
// bounded by package syntax.
func codeSize(re *syntax.Regexp) int {
	size := 1
	if re.Op == syntax.OpLiteral {
		size = len(re.Rune)
	}
	for _, sub := range re.Sub {
		size = min(size+codeSize(sub), maxRegexpCode+1)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, maxRegexpCode+1)
}

// matchTopic reports whether the Topic Name alone is a match.
func (f *filter) matchTopic(name string) bool {
	if f.regexp != nil {
		return f.regexp.MatchString(name[:min(len(name), f.reach)])
	}
	if f.topics != "" {
		return topic.Match(f.topics, name)
	}
	return f.contains([]byte(name))
}

// matchValue reports whether the value alone is a match.
func (f *filter) matchValue(value []byte) bool {
	if f.regexp != nil {
		return f.regexp.Match(value[:min(len(value), f.reach)])
	}
	return f.topics == "" && f.contains(value)
}

func (f *filter) contains(b []byte) bool {
	if !f.ascii {
		return bytes.Contains(bytes.ToLower(b), f.needle)
	}
	if f.again != nil {
		return f.containsLong(b)
	}
	first := f.needle[0]
	for len(b) >= len(f.needle) {
		i := indexFold(b[:len(b)-len(f.needle)+1], first)
		if i < 0 {
			return false
		}
		if equalFold(b[i:i+len(f.needle)], f.needle) {
			return true
		}
		b = b[i+1:]
	}
	return false
}

// shortNeedle is up to how many bytes a needle may be compared anew at each place.
const shortNeedle = 16

// endings is the table of Knuth, Morris and Pratt: with it no byte that is looked through is
// looked at twice, whatever needle and value repeat (case R11).
func endings(needle []byte) []int16 {
	table := make([]int16, len(needle))
	for i, k := 1, 0; i < len(needle); i++ {
		for k > 0 && needle[i] != needle[k] {
			k = int(table[k-1])
		}
		if needle[i] == needle[k] {
			k++
		}
		table[i] = int16(k)
	}
	return table
}

func (f *filter) containsLong(b []byte) bool {
	k := 0
	for _, c := range b {
		c = lower(c)
		for k > 0 && c != f.needle[k] {
			k = int(f.again[k-1])
		}
		if c == f.needle[k] {
			if k++; k == len(f.needle) {
				return true
			}
		}
	}
	return false
}

// indexFold finds the lower-case ASCII character c in either case.
func indexFold(b []byte, c byte) int {
	if c < 'a' || c > 'z' {
		return bytes.IndexByte(b, c)
	}
	for i, x := range b {
		if x|0x20 == c {
			return i
		}
	}
	return -1
}

func equalFold(b, lowered []byte) bool {
	for i, c := range lowered {
		if lower(b[i]) != c {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Filter is a filter for those who look through topics themselves: text, Topic
// Filter or regular expression, as in View.Filter. nil matches everything.
type Filter struct{ f *filter }

// NewFilter returns nil for an empty text, and an error for a regular expression
// that is none.
func NewFilter(text string, isRegexp bool) (*Filter, error) {
	f := newFilter(text)
	if isRegexp {
		var err error
		if f, err = newRegexp(text); err != nil {
			return nil, err
		}
	}
	if f == nil {
		return nil, nil
	}
	return &Filter{f}, nil
}

// Match reports whether the name or the value is a match.
func (f *Filter) Match(topicName string, value []byte) bool {
	return f == nil || f.f.matchTopic(topicName) || f.f.matchValue(value)
}
