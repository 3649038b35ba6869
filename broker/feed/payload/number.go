package payload

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// maxNumberBytes is how long a payload may be to be looked into for a number.
const maxNumberBytes = 256 << 10

// Number finds a number in a payload: at path in JSON (and what can be decoded to
// it), or with an empty path the payload itself. Switches count as 0 and 1.
func Number(topicName string, b []byte, path []string) (float64, bool) {
	if len(b) == 0 || len(b) > maxNumberBytes {
		return 0, false
	}
	if len(path) == 0 {
		return numberOf(string(bytes.TrimSpace(b)))
	}
	d := json.NewDecoder(bytes.NewReader(Readable(topicName, b)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return 0, false
	}
	for _, key := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(at) {
				return 0, false
			}
			v = at[i]
		default:
			return 0, false
		}
	}
	switch v := v.(type) {
	case json.Number:
		return numberOf(v.String())
	case string:
		return numberOf(strings.TrimSpace(v))
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func numberOf(s string) (float64, bool) {
	if len(s) == 0 || len(s) > 40 {
		return 0, false
	}
	switch strings.ToLower(s) {
	case "on", "true", "online", "open", "yes":
		return 1, true
	case "off", "false", "offline", "closed", "no":
		return 0, true
	}
	if c := s[0]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return 0, false // "inf", "nan"
	}
	s, _, _ = strings.Cut(s, " ") // "21.5 °C"
	if strings.ContainsAny(s, "xXpP_") {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}
