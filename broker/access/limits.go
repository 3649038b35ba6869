package access

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"hearthmq/broker"
)

// limitField is one limit of a user in the text that people write:
//
//	connections=2 messages=10 retained=100
type limitField struct {
	name string
	of   func(*broker.Limits) any // a pointer
}

var limitFields = []limitField{
	{"connections", func(l *broker.Limits) any { return &l.Connections }},
	{"connects", func(l *broker.Limits) any { return &l.ConnectRate }},
	{"messages", func(l *broker.Limits) any { return &l.MessageRate }},
	{"bytes", func(l *broker.Limits) any { return &l.ByteRate }},
	{"packet", func(l *broker.Limits) any { return &l.PacketSize }},
	{"inflight", func(l *broker.Limits) any { return &l.Inflight }},
	{"queued", func(l *broker.Limits) any { return &l.QueuedMessages }},
	{"queued_bytes", func(l *broker.Limits) any { return &l.QueuedBytes }},
	{"subscriptions", func(l *broker.Limits) any { return &l.Subscriptions }},
	{"retained", func(l *broker.Limits) any { return &l.RetainedMessages }},
	{"retained_bytes", func(l *broker.Limits) any { return &l.RetainedBytes }},
	{"levels", func(l *broker.Limits) any { return &l.TopicLevels }},
}

// ParseLimits reads the limits of a user; "" means none. connects, messages and bytes
// are per second and may have a fraction.
func ParseLimits(text string) (broker.Limits, error) {
	var l broker.Limits
	for _, word := range limitWords(text) {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return l, fmt.Errorf("%.40q is not a limit such as connections=2", word)
		}
		if err := setLimit(&l, name, value); err != nil {
			return l, err
		}
	}
	return l, nil
}

// limitWords splits a list whose words stand apart by spaces, commas or lines.
func limitWords(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' || r == '\r' })
}

func setLimit(l *broker.Limits, name, value string) error {
	for _, f := range limitFields {
		if f.name != name {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		most := float64(math.MaxUint32)
		rate := false
		switch f.of(l).(type) {
		case *uint16:
			most = math.MaxUint16
		case *float64:
			rate = true
		case *int64:
			most = 1 << 50
		}
		if err != nil || !(n > 0) || n > most || !rate && n != math.Trunc(n) {
			return fmt.Errorf("%s must be a number above 0, not %.40q", name, value)
		}
		switch p := f.of(l).(type) {
		case *int:
			*p = int(n)
		case *int64:
			*p = int64(n)
		case *uint16:
			*p = uint16(n)
		case *uint32:
			*p = uint32(n)
		case *float64:
			*p = n
		}
		return nil
	}
	names := make([]string, len(limitFields))
	for i, f := range limitFields {
		names[i] = f.name
	}
	return fmt.Errorf("%.40q is no limit; there are %s", name, strings.Join(names, ", "))
}

// checkLimits puts under the key "limits" what is wrong with limits that no text was read for.
func checkLimits(l broker.Limits, p Problems) {
	got, err := ParseLimits(FormatLimits(l))
	switch {
	case err != nil:
		p["limits"] = err.Error()
	case got != l: // a negative number that FormatLimits took for none
		p["limits"] = "limits are numbers above 0"
	}
}

// FormatLimits writes limits as ParseLimits reads them.
func FormatLimits(l broker.Limits) string {
	var words []string
	for _, f := range limitFields {
		value := ""
		switch p := f.of(&l).(type) {
		case *int:
			value = strconv.Itoa(*p)
		case *int64:
			value = strconv.FormatInt(*p, 10)
		case *uint16:
			value = strconv.Itoa(int(*p))
		case *uint32:
			value = strconv.FormatUint(uint64(*p), 10)
		case *float64:
			value = strconv.FormatFloat(*p, 'f', -1, 64)
		}
		if value != "0" {
			words = append(words, f.name+"="+value)
		}
	}
	return strings.Join(words, " ")
}
