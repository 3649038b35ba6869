package dynsec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"unicode/utf8"
)

// fields are the members of a JSON object. Their names are compared without case, as the
// plugin compares them; the exact one goes before.
type fields map[string]any

func (v fields) get(key string) (any, bool) {
	if x, ok := v[key]; ok {
		return x, true
	}
	for k, x := range v {
		if strings.EqualFold(k, key) {
			return x, true
		}
	}
	return nil, false
}

// text returns a text; has is false where there is nothing, ok where it is something else.
func (v fields) text(key string) (s string, has, ok bool) {
	x, has := v.get(key)
	if !has {
		return "", false, true
	}
	s, ok = x.(string)
	return s, has, ok
}

func (v fields) number(key string, otherwise int) int {
	x, _ := v.get(key)
	f, ok := x.(float64)
	if !ok || math.IsNaN(f) {
		return otherwise
	}
	return int(min(max(f, math.MinInt32), math.MaxInt32))
}

func (v fields) flag(key string, otherwise bool) bool {
	x, _ := v.get(key)
	if b, ok := x.(bool); ok {
		return b
	}
	return otherwise
}

func (v fields) list(key string) []any {
	x, _ := v.get(key)
	list, _ := x.([]any) // nil where it is none
	return list
}

func (v fields) object(key string) (fields, bool) {
	x, _ := v.get(key)
	m, ok := x.(map[string]any)
	return m, ok
}

var errNoObject = errors.New("it is not a JSON object")

func parse(text []byte) (fields, error) {
	var x any
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&x); err != nil {
		return nil, err
	}
	m, ok := x.(map[string]any)
	if !ok {
		return nil, errNoObject
	}
	return m, nil
}

// mqttText reports whether a text may be one of MQTT as Mosquitto sees it: UTF-8 without
// control characters and without what Unicode calls no characters.
func mqttText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < 0x20 || 0x7f <= r && r <= 0x9f || 0xfdd0 <= r && r <= 0xfdef || r&0xfffe == 0xfffe {
			return false
		}
	}
	return true
}
