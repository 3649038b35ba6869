package main

import (
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainly is a writer to a terminal that shows what it is given and does nothing else (case
// A23): names, topics and notes come from clients, files and administrators, and an escape
// sequence in one of them could rewrite the lines above. Lines and tabs stay, and no program
// that reads JSON from here sees a difference.
type plainly struct{ io.Writer }

// Write implements io.Writer. What is handed over ends with a whole character.
func (p plainly) Write(b []byte) (int, error) {
	_, err := io.WriteString(p.Writer, escaped(string(b), "\n\t"))
	return len(b), err
}

// visibly is a text in one line, with escapes for what can't be seen or changes how the rest
// of the line is seen.
func visibly(s string) string { return escaped(s, "") }

// escaped leaves the characters in but as they are.
func escaped(s, but string) string {
	hidden := func(r rune) bool {
		const zwnj, zwj = '\u200c', '\u200d' // of Arabic, of Indic scripts, of emoji
		return unicode.IsControl(r) && !strings.ContainsRune(but, r) || unicode.In(r, unicode.Zl, unicode.Zp) ||
			unicode.Is(unicode.Cf, r) && r != zwnj && r != zwj
	}
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if hidden(r) || r == utf8.RuneError && n == 1 {
			q := strconv.Quote(s[:n])
			b = append(b, q[1:len(q)-1]...)
		} else {
			b = append(b, s[:n]...)
		}
		s = s[n:]
	}
	return string(b)
}
