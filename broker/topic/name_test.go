package topic_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	. "hearthmq/broker/topic"
)

func TestValidName(t *testing.T) {
	for name, want := range map[string]error{
		"a":                              nil,
		"/":                              nil,
		"a//b":                           nil,
		"$SYS/x":                         nil,
		"Küche/Licht 1/\U0001F4A1":       nil,
		"\uFEFFa":                        nil, // [MQTT-1.5.4-3]: kept, not stripped
		strings.Repeat("x", MaxBytes):    nil,
		strings.Repeat("/", MaxLevels-1): nil,
		"":                               ErrEmpty,    // [MQTT-4.7.3-1]
		"a/+":                            ErrWildcard, // case P10
		"a/#":                            ErrWildcard,
		"a+b":                            ErrWildcard,
		"a\x00":                          ErrNUL,
		"\xff":                           ErrNotUTF8,
		"a/\xed\xa0\x80":                 ErrNotUTF8, // a surrogate
		"\xc0\xaf":                       ErrNotUTF8, // an overlong '/'
		strings.Repeat("x", MaxBytes+1):  ErrTooLong,
		strings.Repeat("/", MaxLevels):   ErrTooDeep,
		strings.Repeat("/", MaxBytes):    ErrTooDeep, // case P7
	} {
		if err := ValidName(name); !errors.Is(err, want) || err != nil && !strings.HasPrefix(err.Error(), "topic name ") {
			t.Errorf("ValidName(%.20q…) = %v, want %v", name, err, want)
		}
	}
}

func TestValidFilter(t *testing.T) { // case P10
	for filter, want := range map[string]error{
		"a": nil, "#": nil, "+": nil, "/": nil, "+/": nil, "/+": nil, "/#": nil, "a//+": nil,
		"+/tennis/#": nil, "a/+/b/+/#": nil, "$SYS/#": nil, "$share": nil,
		strings.Repeat("+/", MaxLevels-1) + "#": nil,
		"":                                      ErrEmpty,
		"a/#/b":                                 ErrMultiEnd,
		"#/":                                    ErrMultiEnd,
		"##":                                    ErrNotAlone,
		"#a":                                    ErrNotAlone,
		"a#":                                    ErrNotAlone,
		"a/b#":                                  ErrNotAlone,
		"a+":                                    ErrNotAlone,
		"+a/":                                   ErrNotAlone,
		"sport+":                                ErrNotAlone,
		"a/++":                                  ErrNotAlone,
		"a/+#":                                  ErrNotAlone,
		"a\x00/#":                               ErrNUL,
		"\xc3/#":                                ErrNotUTF8,
		strings.Repeat("+/", MaxLevels) + "#":   ErrTooDeep,
		strings.Repeat("+/", 32766) + "+":       ErrTooDeep, // case P7
		strings.Repeat("x", MaxBytes) + "/#":    ErrTooLong,
	} {
		if err := ValidFilter(filter); !errors.Is(err, want) || err != nil && !strings.HasPrefix(err.Error(), "topic filter ") {
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
		{"$share", "", "", true, ErrShareName},
		{"$share/", "", "", true, ErrShareName},
		{"$share//x", "", "", true, ErrShareName},
		{"$share/g#/x", "", "", true, ErrShareName},
		{"$share/+/x", "", "", true, ErrShareName},
		{"$share/#", "", "", true, ErrShareName},
		{"$share/g", "", "", true, ErrShareBare},
		{"$share/g/", "", "", true, ErrShareBare},
	} {
		share, filter, ok, err := ParseShare(c.in)
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
		share, filter, ok, err := ParseShare(s)
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
		if ValidName(s) == nil && (ValidFilter(s) != nil || !utf8.ValidString(s) || HasWildcard(s)) {
			t.Fatalf("%q is a name but no filter", s)
		}
	})
}
