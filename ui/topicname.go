package ui

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// shown is Visible for a name that has to be something.
func shown(name string) string {
	if name == "" {
		return "(empty)"
	}
	return Visible(name)
}

// Visible makes what can't be seen in a line of text visible, and leaves no way to
// turn the order of what is around it. format.js does the same in the browser.
func Visible(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ':
			return 0x2400 + r
		case r == 0x7f:
			return 0x2421
		case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Bidi_Control, r), r == 0x2028, r == 0x2029, r == 0xfeff:
			return utf8.RuneError
		}
		return r
	}, name)
}

// VisibleLines is Visible for a text of several lines.
func VisibleLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		parts := strings.Split(line, "\t")
		for j, part := range parts {
			parts[j] = Visible(part)
		}
		lines[i] = strings.Join(parts, "\t")
	}
	return strings.Join(lines, "\n")
}

// Clip is the beginning of a name, at most n bytes of it, and a sign where that is not all.
func Clip(name string, n int) string {
	if len(name) <= n {
		return name
	}
	return strings.ToValidUTF8(name[:n], "") + "…"
}

// LastLevels is the end of a topic, at most n bytes of it, from a "/" on where
// there is one.
func LastLevels(name string, n int) string {
	if len(name) <= n {
		return name
	}
	end := name[len(name)-n:]
	if _, after, ok := strings.Cut(end, "/"); ok && after != "" {
		return after
	}
	return strings.ToValidUTF8(end, "")
}
