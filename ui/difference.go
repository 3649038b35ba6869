package ui

import "strings"

// Part is a piece of a text, and whether the text that it is compared with lacks it.
type Part struct {
	Text  string
	Alone bool
}

// Difference cuts what the audit says of one state into pieces and marks those that the
// other state does not have, so that one rule that came among thirty is seen.
func Difference(text, other string) []Part {
	has := map[string]bool{}
	for _, p := range pieces(other) {
		has[bare(p)] = true
	}
	var parts []Part
	for _, p := range pieces(text) {
		alone := !has[bare(p)]
		if n := len(parts); n > 0 && parts[n-1].Alone == alone {
			parts[n-1].Text += p
			continue
		}
		parts = append(parts, Part{p, alone})
	}
	return parts
}

// pieces splits a list such as "roles: none; rules: allow both a, deny both b" after its
// commas and semicolons.
func pieces(text string) (list []string) {
	for text != "" {
		i := strings.IndexAny(text, ",;") + 1
		if i == 0 || i == len(text) {
			return append(list, text)
		}
		list, text = append(list, text[:i]), text[i:]
	}
	return list
}

// bare is a piece without what depends on its place: the name of the list that it begins.
func bare(piece string) string {
	piece = strings.Trim(piece, " ,;")
	return strings.TrimPrefix(piece, "rules: ")
}
