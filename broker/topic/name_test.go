package topic_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"hearthmq/broker/topic"
)

func TestValidName(t *testing.T) { // [MQTT-4.7.3-3]
	for name, want := range map[string]error{
		"a":                                    nil,
		"/":                                    nil,
		"a//b":                                 nil,
		"$SYS/x":                               nil,
		"Küche/Licht 1/\U0001F4A1":             nil,
		"\uFEFFa":                              nil, // [MQTT-1.5.4-3]: kept, not stripped
		strings.Repeat("x", topic.MaxBytes):    nil,
		strings.Repeat("/", topic.MaxLevels-1): nil,
		"":                                     topic.ErrEmpty,    // [MQTT-4.7.3-1]
		"a/+":                                  topic.ErrWildcard, // case P10
		"a/#":                                  topic.ErrWildcard,
		"a+b":                                  topic.ErrWildcard,
		"a\x00":                                topic.ErrNUL,
		"\xff":                                 topic.ErrNotUTF8,
		"a/\xed\xa0\x80":                       topic.ErrNotUTF8, // a surrogate
		"\xc0\xaf":                             topic.ErrNotUTF8, // an overlong '/'
		strings.Repeat("x", topic.MaxBytes+1):  topic.ErrTooLong,
		strings.Repeat("/", topic.MaxLevels):   topic.ErrTooDeep,
		strings.Repeat("/", topic.MaxBytes):    topic.ErrTooDeep, // case P7
	} {
		if err := topic.ValidName(name); !errors.Is(err, want) || err != nil && !strings.HasPrefix(err.Error(), "topic name ") {
			t.Errorf("ValidName(%.20q…) = %v, want %v", name, err, want)
		}
	}
}

func TestValidFilter(t *testing.T) { // case P10
	for filter, want := range map[string]error{
		"a": nil, "#": nil, "+": nil, "/": nil, "+/": nil, "/+": nil, "/#": nil, "a//+": nil,
		"+/tennis/#": nil, "a/+/b/+/#": nil, "$SYS/#": nil, "$share": nil,
		strings.Repeat("+/", topic.MaxLevels-1) + "#": nil,
		"":        topic.ErrEmpty,
		"a/#/b":   topic.ErrMultiEnd,
		"#/":      topic.ErrMultiEnd,
		"##":      topic.ErrNotAlone,
		"#a":      topic.ErrNotAlone,
		"a#":      topic.ErrNotAlone,
		"a/b#":    topic.ErrNotAlone,
		"a+":      topic.ErrNotAlone,
		"+a/":     topic.ErrNotAlone,
		"sport+":  topic.ErrNotAlone,
		"a/++":    topic.ErrNotAlone,
		"a/+#":    topic.ErrNotAlone,
		"a\x00/#": topic.ErrNUL,
		"\xc3/#":  topic.ErrNotUTF8,
		strings.Repeat("+/", topic.MaxLevels) + "#": topic.ErrTooDeep,
		strings.Repeat("+/", 32766) + "+":           topic.ErrTooDeep, // case P7
		strings.Repeat("x", topic.MaxBytes) + "/#":  topic.ErrTooLong,
	} {
		if err := topic.ValidFilter(filter); !errors.Is(err, want) || err != nil && !strings.HasPrefix(err.Error(), "topic filter ") {
			t.Errorf("ValidFilter(%.20q…) = %v, want %v", filter, err, want)
		}
	}
}

func TestParseShare(t *testing.T) { // case P10
	for _, c := range []struct {
		in, share, filter string
		ok                bool
		err               error
	}{
		{"a/b", "", "a/b", false, nil},
		{"$shared/g/a", "", "$shared/g/a", false, nil},
		{"a/$share/g", "", "a/$share/g", false, nil},
		{"$SHARE/g/a", "", "$SHARE/g/a", false, nil},
		{"", "", "", false, nil},
		{"$share/g/a", "g", "a", true, nil},
		{"$share/g//", "g", "/", true, nil},
		{"$share/g/a/+/#", "g", "a/+/#", true, nil},
		{"$share/g/$share/h/a", "g", "$share/h/a", true, nil},
		{"$share/$x/#", "$x", "#", true, nil},
		{"$share", "", "", true, topic.ErrShareName},
		{"$share/", "", "", true, topic.ErrShareName},
		{"$share//x", "", "", true, topic.ErrShareName},
		{"$share/g#/x", "", "", true, topic.ErrShareName},
		{"$share/+/x", "", "", true, topic.ErrShareName},
		{"$share/#", "", "", true, topic.ErrShareName},
		{"$share/g", "", "", true, topic.ErrShareBare},
		{"$share/g/", "", "", true, topic.ErrShareBare},
	} {
		share, filter, ok, err := topic.ParseShare(c.in)
		if share != c.share || filter != c.filter || ok != c.ok || !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
			t.Errorf("ParseShare(%q) = %q, %q, %v, %v", c.in, share, filter, ok, err)
		}
	}
}

func FuzzShare(f *testing.F) {
	for _, s := range []string{"$share/g/a/#", "$share", "$share/", "$share//x", "$share/g", "$share/g/", "$share/g+/x", "a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		share, filter, ok, err := topic.ParseShare(s)
		shared := s == "$share" || strings.HasPrefix(s, "$share/")
		switch {
		case ok != shared:
			t.Fatalf("ParseShare(%q): ok = %v", s, ok)
		case !ok && (filter != s || err != nil):
			t.Fatalf("ParseShare(%q) = %q, %v", s, filter, err)
		case ok && err == nil && ("$share/"+share+"/"+filter != s || share == "" || filter == "" || strings.ContainsAny(share, "/+#")):
			t.Fatalf("ParseShare(%q) = %q, %q", s, share, filter)
		case err != nil && (share != "" || filter != ""):
			t.Fatalf("ParseShare(%q) = %q, %q with %v", s, share, filter, err)
		}
		if topic.ValidName(s) == nil && (topic.ValidFilter(s) != nil || !utf8.ValidString(s) || topic.HasWildcard(s)) {
			t.Fatalf("%q is a name but no filter", s)
		}
	})
}
