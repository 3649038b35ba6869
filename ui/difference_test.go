package ui

import (
	"fmt"
	"strings"
	"testing"
)

func TestDifference(t *testing.T) {
	for _, tt := range []struct{ text, other, want string }{
		{"roles: none; rules: allow both a, allow both b", "roles: none", "roles: none;[ rules: allow both a, allow both b]"},
		{"roles: none", "roles: none; rules: allow both a", "roles: none"},
		{"roles: none; rules: allow both a, allow both b, allow both c", "roles: none; rules: allow both a, allow both c", "roles: none; rules: allow both a,[ allow both b,] allow both c"},
		{"roles: none; rules: allow both b", "roles: none; rules: allow both a, allow both b", "roles: none; rules: allow both b"},
		{"roles: x, y", "roles: x", "roles: x,[ y]"},
		{"a;", "b", "[a;]"},
		{"", "b", ""},
	} {
		got, whole := "", ""
		for _, p := range Difference(tt.text, tt.other) {
			whole += p.Text
			if p.Alone {
				got += fmt.Sprintf("[%s]", p.Text)
			} else {
				got += p.Text
			}
		}
		if got != tt.want || whole != tt.text {
			t.Errorf("%q against %q: %q, want %q", tt.text, tt.other, got, tt.want)
		}
	}
	if parts := Difference(strings.Repeat(",;", 1000), ""); len(parts) == 0 {
		t.Error("nothing is shown")
	}
}
