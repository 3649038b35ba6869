package mosquitto

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Level says what a Notice means for the owner.
type Level byte

const (
	// Same comes over as it is.
	Same Level = iota
	// Harmless is not taken over and makes no difference.
	Harmless
	// Changed comes over and means something else from now on.
	Changed
	// Left stays behind.
	Left
	// Unsafe must not be ignored: whoever runs with this file refuses to start.
	Unsafe
	// Broken can't be read; nothing is imported.
	Broken
)

func (l Level) String() string {
	names := [...]string{"same", "harmless", "changed", "left", "unsafe", "broken"}
	if int(l) < len(names) {
		return names[l]
	}
	return "level-" + strconv.Itoa(int(l))
}

// Notice is one thing that the owner should know of. It never holds a password, a
// hash or a payload.
type Notice struct {
	File      string // as it was named to the reader
	Line      int    // from 1; 0: the file as a whole
	Level     Level
	Directive string // the keyword it is about, "" where there is none
	Text      string
}

// String is the notice in one line, as "acl.txt:12: topic: …".
func (n Notice) String() string { return n.prefix() + n.Text }

// at is where the notice is about, without what it says.
func (n Notice) at() string { return strings.TrimSuffix(n.prefix(), ": ") }

func (n Notice) prefix() string {
	var b strings.Builder
	b.WriteString(visible(n.File))
	if n.Line > 0 {
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(n.Line))
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if n.Directive != "" {
		b.WriteString(visible(n.Directive))
		b.WriteString(": ")
	}
	return b.String()
}

// maxNotices bounds what one reader tells: a file that is wrong all through would
// fill the memory with what is wrong with it.
const maxNotices = 10_000

// notices collects what one reader finds.
type notices struct {
	file    string
	list    []Notice
	dropped int
}

func (n *notices) add(line int, level Level, directive, format string, args ...any) {
	if len(n.list) >= maxNotices && level != Broken {
		n.dropped++
		return
	}
	n.list = append(n.list, Notice{File: n.file, Line: line, Level: level, Directive: directive, Text: fmt.Sprintf(format, args...)})
}

// all returns what was collected.
func (n *notices) all() []Notice {
	if n.dropped > 0 {
		n.list = append(n.list, Notice{File: n.file, Level: Left, Text: fmt.Sprintf("%d more things like these", n.dropped)})
		n.dropped = 0
	}
	return n.list
}

// Worst returns the highest level in list, Same when it is empty.
func Worst(list []Notice) Level {
	worst := Same
	for _, n := range list {
		worst = max(worst, n.Level)
	}
	return worst
}

// sortNotices brings notices in the order of files as first seen, then of lines.
func sortNotices(list []Notice) {
	order := map[string]int{}
	for _, n := range list {
		if _, ok := order[n.File]; !ok {
			order[n.File] = len(order)
		}
	}
	slices.SortStableFunc(list, func(a, b Notice) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line))
	})
}

// quote shows a word of a file: short, in quotes, without control characters.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.QuoteToGraphic(s)
}

// visible is s, as quote shows it where something in it can't be seen.
func visible(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return quote(s)
	}
	return s
}

// unknown shows the first word of a line where it is none of those that belong there. Only
// as much of it as can be a keyword: behind a tab or a colon there may stand a password, and
// who gives the wrong file's name has it read as this one.
func unknown(word string) string {
	const most = 32
	rest := strings.TrimLeft(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
	if n := min(len(word)-len(rest), most); n < len(word) {
		word = word[:n] + "…"
	}
	return quote(word)
}

// linesOf lists line numbers for people: "3, 7 and 12".
func linesOf(numbers []int) string {
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	const most = 20
	var words []string
	for i, n := range numbers {
		if i == most {
			words = append(words, fmt.Sprintf("%d more", len(numbers)-most))
			break
		}
		words = append(words, strconv.Itoa(n))
	}
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
