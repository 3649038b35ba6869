package payload_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"hearthmq/broker/feed/payload"
)

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		in   string
		want payload.Kind
	}{
		{"", payload.Empty}, {"ON", payload.Text}, {"21.5", payload.Text}, {`"x"`, payload.Text},
		{`{"a":1}`, payload.JSON}, {"  [1]", payload.JSON}, {`{"a":`, payload.Text},
		{"\xff\xd8", payload.Binary}, {"a\x00b", payload.Binary}, {"line\r\nline\t", payload.Text}, {"grün 😀", payload.Text},
	} {
		if got := payload.KindOf([]byte(c.in)); got != c.want {
			t.Errorf("%q is %s, want %s", c.in, got, c.want)
		}
	}
}

func TestPreview(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""}, {"ON", "ON"}, {" a \n\t b ", "a b"}, {"\x1b[31mred", "␛[31mred"},
		{"abc\u202etxt", "abc\ufffdtxt"}, {"\xff\xd8\x00", "0xffd800"},
		{strings.Repeat("ü", 30), strings.Repeat("ü", 19) + "…"},
		{strings.Repeat("\xff", 300), "0x" + strings.Repeat("ff", 8) + "…"},
		{"<script>", "<script>"},
		{strings.Repeat(" ", 500), "…"},
	} {
		if got := payload.Preview([]byte(c.in), 20); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzPreview(f *testing.F) {
	f.Add([]byte("äöü\xff"), 5)
	f.Fuzz(func(t *testing.T, b []byte, max int) {
		if max < 8 || max > 1000 {
			return
		}
		s := payload.Preview(b, max)
		if !utf8.ValidString(s) || utf8.RuneCountInString(s) > max+1 {
			t.Errorf("%q in %d runes: %q", b, max, s)
		}
		for _, r := range s {
			if payload.Visible(r) != r {
				t.Errorf("%q is not visible in %q", r, s)
			}
		}
	})
}
