// Package payload makes text for people out of the bytes of a payload. The bytes
// come from anybody: nothing here trusts them, and nothing here is markup.
//
// Packed forms are read by well-kept libraries; it knows no other package of ours
// and is called by feed and web.
package payload

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says how a payload is best looked at.
type Kind string

const (
	Empty  Kind = "empty"
	JSON   Kind = "json" // an object or a list; a lone number or string is Text
	Text   Kind = "text"
	Binary Kind = "binary"
)

// KindOf looks at the whole of b.
func KindOf(b []byte) Kind {
	if len(b) == 0 {
		return Empty
	}
	if t := bytes.TrimLeft(b, " \t\r\n"); len(t) > 0 && (t[0] == '{' || t[0] == '[') && json.Valid(b) {
		return JSON
	}
	if !utf8.Valid(b) || bytes.ContainsFunc(b, strange) {
		return Binary
	}
	return Text
}

// strange reports whether a text would not contain r.
func strange(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f
}

// Preview returns one line of at most max runes that begins like b. White space
// is folded, what can't be seen is made visible, bytes that are no text are
// shown in hexadecimal.
func Preview(b []byte, max int) string {
	head := b
	if len(head) > 4*max {
		head = cutRune(head[:4*max])
	}
	if !utf8.Valid(head) {
		return hexPreview(b, max)
	}
	var s strings.Builder
	n, space := 0, false
	for _, r := range string(head) {
		if r == ' ' || r == '\t' || r == '\n' || r == '\r' {
			space = n > 0
			continue
		}
		if n+1 >= max {
			s.WriteRune('…')
			return s.String()
		}
		if space {
			s.WriteByte(' ')
			n++
			space = false
		}
		s.WriteRune(Visible(r))
		n++
	}
	if len(head) < len(b) {
		s.WriteRune('…')
	}
	return s.String()
}

// cutRune drops a rune that was cut in two at the end of b.
func cutRune(b []byte) []byte {
	for i := 1; i <= utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

func hexPreview(b []byte, max int) string {
	n := min(len(b), (max-3)/2)
	s := "0x" + hex.EncodeToString(b[:n])
	if n < len(b) {
		s += "…"
	}
	return s
}

// Visible returns what to show for r: itself, or a stand-in for characters that
// have no shape of their own or change the order of others (bidi controls).
func Visible(r rune) rune {
	switch {
	case r < ' ':
		return 0x2400 + r // control pictures
	case r == 0x7f:
		return 0x2421
	case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Bidi_Control, r), r == 0x2028, r == 0x2029, r == 0xfeff:
		return utf8.RuneError
	}
	return r
}
