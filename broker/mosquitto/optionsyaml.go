package mosquitto

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// The YAML that Home Assistant shows of an app's options: maps and lists by
// indentation or empty ones in braces, plain and quoted texts on one line, comments. A
// text over several lines, anchors, tags and anything else of YAML is refused, since a
// password that is read otherwise than it was meant is worse than none.

var (
	errDeep   = errors.New("values are nested too deep")
	errIndent = errors.New("the indentation does not fit what stands above")
	errColon  = errors.New("a key with a colon and a space is expected")
	errFancy  = errors.New("this is YAML that HearthMQ does not read: write the value in one line, in quotes")
	errQuotes = errors.New("the quotes don't close")
	errTab    = errors.New("a tab can't be used to indent")
)

// yamlLine is a line without its indentation.
type yamlLine struct {
	number, indent int
	text           string
}

type yamlReader struct {
	lines []yamlLine
	at    int
	line  int // for errors
}

// yamlTree reads YAML into nodes.
func yamlTree(n *notices, b []byte) *node {
	y := &yamlReader{}
	for i, raw := range bytes.Split(b, []byte("\n")) {
		s := strings.TrimRight(string(raw), "\r")
		trimmed := strings.TrimLeft(s, " ")
		if trimmed == "" || trimmed[0] == '#' || strings.TrimSpace(trimmed) == "" || i == 0 && trimmed == "---" {
			continue
		}
		if trimmed[0] == '\t' {
			n.add(i+1, Broken, "", "%v", errTab)
			return nil
		}
		if len(trimmed) > maxLine {
			n.add(i+1, Broken, "", "%v", errLongLine)
			return nil
		}
		y.lines = append(y.lines, yamlLine{i + 1, len(s) - len(trimmed), strings.TrimRight(trimmed, " \t")})
	}
	if len(y.lines) == 0 {
		n.add(0, Broken, "", "the file is empty")
		return nil
	}
	root, err := y.block(y.lines[0].indent, 0)
	if err == nil && y.at < len(y.lines) {
		y.line, err = y.lines[y.at].number, errIndent
	}
	if err != nil {
		n.add(y.line, Broken, "", "%v", err)
		return nil
	}
	return root
}

// block reads the map or list whose entries stand at indent.
func (y *yamlReader) block(indent, depth int) (*node, error) {
	first := y.lines[y.at]
	y.line = first.number
	if depth > 8 {
		return nil, errDeep
	}
	v := &node{line: first.number, kind: 'm'}
	if first.text == "-" || strings.HasPrefix(first.text, "- ") {
		v.kind = 'l'
	}
	for y.at < len(y.lines) && y.lines[y.at].indent == indent {
		l := &y.lines[y.at]
		y.line = l.number
		item := l.text == "-" || strings.HasPrefix(l.text, "- ")
		if item != (v.kind == 'l') {
			if v.kind == 'm' { // a list at the indentation of its key ends here
				return nil, errIndent
			}
			return v, nil
		}
		var child *node
		var err error
		if item {
			child, err = y.item(l, indent, depth)
		} else {
			var key string
			key, child, err = y.member(l, indent, depth)
			v.keys = append(v.keys, key)
		}
		if err != nil {
			return nil, err
		}
		v.values = append(v.values, child)
	}
	if y.at < len(y.lines) && y.lines[y.at].indent > indent {
		y.line = y.lines[y.at].number
		return nil, errIndent
	}
	return v, nil
}

// item reads an entry of a list. What stands after the dash may begin a map.
func (y *yamlReader) item(l *yamlLine, indent, depth int) (*node, error) {
	rest := strings.TrimLeft(strings.TrimPrefix(l.text, "-"), " ")
	if rest == "" || rest[0] == '#' {
		y.at++
		if y.at < len(y.lines) && y.lines[y.at].indent > indent {
			return y.block(y.lines[y.at].indent, depth+1)
		}
		return &node{line: l.number, kind: 's'}, nil
	}
	if _, _, ok := yamlKey(rest); ok || rest == "-" || strings.HasPrefix(rest, "- ") {
		l.indent += len(l.text) - len(rest)
		l.text = rest
		return y.block(l.indent, depth+1)
	}
	y.at++
	return yamlScalar(l.number, rest)
}

func (y *yamlReader) member(l *yamlLine, indent, depth int) (key string, v *node, err error) {
	key, rest, ok := yamlKey(l.text)
	if !ok {
		return "", nil, errColon
	}
	y.at++
	if rest != "" && rest[0] != '#' {
		v, err = yamlScalar(l.number, rest)
		return key, v, err
	}
	if y.at < len(y.lines) {
		next := y.lines[y.at]
		isItem := next.text == "-" || strings.HasPrefix(next.text, "- ")
		if next.indent > indent || next.indent == indent && isItem {
			v, err = y.block(next.indent, depth+1)
			return key, v, err
		}
	}
	return key, &node{line: l.number, kind: 's'}, nil
}

// yamlKey cuts "key: value".
func yamlKey(s string) (key, rest string, ok bool) {
	if s[0] == '"' || s[0] == '\'' {
		key, rest, err := yamlQuoted(s)
		if err != nil || !strings.HasPrefix(rest, ":") || len(rest) > 1 && rest[1] != ' ' {
			return "", "", false
		}
		return key, strings.TrimLeft(rest[1:], " "), true
	}
	if strings.ContainsRune("[]{}&*!|>%@`?#", rune(s[0])) {
		return "", "", false
	}
	if key, ok := strings.CutSuffix(s, ":"); ok && !strings.Contains(key, ": ") {
		return key, "", true
	}
	key, rest, ok = strings.Cut(s, ": ")
	return strings.TrimRight(key, " "), strings.TrimLeft(rest, " "), ok
}

// yamlQuoted reads a text in quotes at the start of s.
func yamlQuoted(s string) (text, rest string, err error) {
	if s[0] == '"' {
		q, err := strconv.QuotedPrefix(s) // the escapes of JSON, which are those that Home Assistant writes
		if err == nil {
			text, err = strconv.Unquote(q)
		}
		if err != nil {
			return "", "", errQuotes
		}
		return text, s[len(q):], nil
	}
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			i++
			continue
		}
		return strings.ReplaceAll(s[1:i], "''", "'"), s[i+1:], nil
	}
	return "", "", errQuotes
}

func yamlScalar(line int, s string) (*node, error) {
	v := &node{line: line, kind: 's'}
	switch s[0] {
	case '"', '\'':
		text, rest, err := yamlQuoted(s)
		if err != nil {
			return nil, err
		}
		if rest = strings.TrimLeft(rest, " "); rest != "" && rest[0] != '#' {
			return nil, errFancy
		}
		v.text, v.quoted = text, true
		return v, nil
	}
	s, _, _ = strings.Cut(s, " #")
	s = strings.TrimRight(s, " ")
	switch {
	case s == "[]":
		v.kind = 'l'
		return v, nil
	case s == "{}":
		v.kind = 'm'
		return v, nil
	case strings.ContainsRune("[]{}&*!|>%@`,", rune(s[0])), strings.HasPrefix(s, "? "), strings.Contains(s, ": "), strings.HasSuffix(s, ":"):
		return nil, errFancy
	case s == "null" || s == "~":
		s = ""
	}
	v.text = s
	return v, nil
}
