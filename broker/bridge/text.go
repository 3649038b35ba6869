package bridge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// String writes the topic as owners of Mosquitto know it: pattern, direction, QoS,
// prefix here and prefix there, what is not needed left out.
func (t Topic) String() string {
	direction := "out"
	switch {
	case t.In && t.Out:
		direction = "both"
	case t.In:
		direction = "in"
	}
	fields := []string{quoted(t.Pattern), direction, strconv.Itoa(int(t.QoS))}
	if t.Local != "" || t.Remote != "" {
		fields = append(fields, quoted(t.Local), quoted(t.Remote))
	}
	return strings.Join(fields, " ")
}

func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\"") {
		return `"` + s + `"`
	}
	return s
}

// ParseTopics reads topics as String writes them, one a line; empty lines are passed
// over. The words "topic" in front and direction, QoS and prefixes behind may be left
// out: out, 0 and none. Errors name the line.
func ParseTopics(text string) ([]Topic, error) {
	var list []Topic
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		t, err := parseTopic(line)
		if err == nil {
			err = t.validate()
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if list = append(list, t); len(list) > MaxTopics {
			return nil, fmt.Errorf("more than %d topics", MaxTopics)
		}
	}
	return list, nil
}

func parseTopic(line string) (t Topic, err error) {
	fields, err := split(line)
	if err != nil {
		return t, err
	}
	if len(fields) > 1 && fields[0] == "topic" {
		fields = fields[1:]
	}
	if len(fields) > 5 {
		return t, errors.New("more than pattern, direction, QoS and two prefixes; put spaces between quotes")
	}
	fields = append(fields, make([]string, 5-len(fields))...)
	t.Pattern, t.Local, t.Remote = fields[0], fields[3], fields[4]
	switch strings.ToLower(fields[1]) {
	case "", "out":
		t.Out = true
	case "in":
		t.In = true
	case "both":
		t.In, t.Out = true, true
	default:
		return t, fmt.Errorf("%q is not in, out or both", fields[1])
	}
	switch fields[2] {
	case "":
	case "0", "1", "2":
		t.QoS = fields[2][0] - '0'
	default:
		return t, fmt.Errorf("%q is not a QoS: 0, 1 or 2", fields[2])
	}
	return t, nil
}

// split cuts a line at spaces that stand outside of quotes.
func split(line string) (fields []string, err error) {
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		if line[0] == '"' {
			inside, rest, ok := strings.Cut(line[1:], `"`)
			if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
				return nil, errors.New("the quotes don't close")
			}
			fields, line = append(fields, inside), rest
			continue
		}
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			i = len(line)
		}
		fields, line = append(fields, line[:i]), line[i:]
	}
	return fields, nil
}
