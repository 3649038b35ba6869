package access_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker/access"
)

var samePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestParseRule(t *testing.T) {
	with := func(r access.Rule, change func(*access.Rule)) access.Rule {
		change(&r)
		return r
	}
	both := access.NewRule(access.Allow, access.ScopeBoth, "a/#")
	tests := []struct {
		in, out string // out "": as in
		want    access.Rule
	}{
		{"allow both a/#", "", both},
		{"  allow\tboth   a/#  ", "allow both a/#", both},
		{"deny publish sensors/%u/%c", "", access.NewRule(access.Deny, access.ScopePublish, "sensors/%u/%c")},
		{"allow subscribe $SYS/#", "", access.NewRule(access.Allow, access.ScopeSubscribe, "$SYS/#")},
		{"allow both a/# qos<=1", "", with(both, func(r *access.Rule) { r.MaxQoS = 1 })},
		{"allow both a/# qos<=2", "allow both a/#", both},
		{"allow both a/# no-retain", "", with(both, func(r *access.Rule) { r.Retain = access.No })},
		{"deny publish a retain", "", with(access.NewRule(access.Deny, access.ScopePublish, "a"), func(r *access.Rule) { r.Retain = access.Yes })},
		{"allow both a/# listener=mqtts", "", with(both, func(r *access.Rule) { r.Listener = "mqtts" })},
		{`allow both a/# listener="my net"`, "", with(both, func(r *access.Rule) { r.Listener = "my net" })},
		{"allow both a/# from=192.168.1.0/24", "", with(both, func(r *access.Rule) { r.Network = netip.MustParsePrefix("192.168.1.0/24") })},
		{"allow both a/# from=192.168.1.9/24", "allow both a/# from=192.168.1.0/24", with(both, func(r *access.Rule) { r.Network = netip.MustParsePrefix("192.168.1.0/24") })},
		{"allow both a/# from=192.168.1.9", "allow both a/# from=192.168.1.9/32", with(both, func(r *access.Rule) { r.Network = netip.MustParsePrefix("192.168.1.9/32") })},
		{"allow both a/# from=::ffff:10.0.0.0/104", "allow both a/# from=10.0.0.0/8", with(both, func(r *access.Rule) { r.Network = netip.MustParsePrefix("10.0.0.0/8") })},
		{"allow both a/# from=fd00::/8 listener=ws qos<=0", "allow both a/# qos<=0 listener=ws from=fd00::/8", with(both, func(r *access.Rule) {
			r.MaxQoS, r.Listener, r.Network = 0, "ws", netip.MustParsePrefix("fd00::/8")
		})},
		{`allow both "living room/#"`, "", access.NewRule(access.Allow, access.ScopeBoth, "living room/#")},
		{`allow both "a/#"`, "allow both a/#", both},
		{`allow both a"b`, "", access.NewRule(access.Allow, access.ScopeBoth, `a"b`)},
		{`allow both a="b`, "", access.NewRule(access.Allow, access.ScopeBoth, `a="b`)},
		{`allow both a\b`, "", access.NewRule(access.Allow, access.ScopeBoth, `a\b`)},
		{`allow both Küche/+/😀`, "", access.NewRule(access.Allow, access.ScopeBoth, "Küche/+/😀")},
		{"allow both qos<=1", "", access.NewRule(access.Allow, access.ScopeBoth, "qos<=1")},
	}
	for _, tt := range tests {
		got, err := access.ParseRule(tt.in)
		if err != nil {
			t.Errorf("ParseRule(%q): %v", tt.in, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got, samePrefix); diff != "" {
			t.Errorf("ParseRule(%q) (-want +got):\n%s", tt.in, diff)
		}
		if tt.out == "" {
			tt.out = tt.in
		}
		if got := got.String(); got != tt.out {
			t.Errorf("ParseRule(%q).String() = %q, want %q", tt.in, got, tt.out)
		}
	}
}

func TestParseRuleProblems(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "a rule looks like"},
		{"permit both a", `starts with allow or deny, not with "permit"`},
		{"allow a", "after allow comes publish, subscribe or both"},
		{"allow both", "a topic filter is needed"},
		{"allow both a/#/b", "# before the last level"},
		{"allow both a+", "wildcard that shares its level"},
		{"allow both $share/g/a", "leave out $share"},
		{"allow both $share", "leave out $share"},
		{"allow both living room", "stands in quotes"},
		{"allow both a qos<=3", "the highest QoS is 0, 1 or 2"},
		{"allow both a qos<=", "the highest QoS is 0, 1 or 2"},
		{"allow both a qos<=0 qos<=1", "once"},
		{"deny both a qos<=1", "belongs to an allow rule"},
		{"allow both a retain", "can't allow retained messages only"},
		{"deny publish a no-retain", "can't deny messages for not being retained"},
		{"deny both a retain", "write deny publish"},
		{"allow subscribe a no-retain", "about publishing"},
		{"allow both a retain no-retain", "once"},
		{"allow both a from=192.168.1", "not a network"},
		{"allow both a from=", "not a condition"},
		{"allow both a listener=", "not a condition"},
		{"allow both a listener=# ", "not the name of a listener"},
		{`allow both "a`, "don't close"},
		{`allow both ""`, "nothing to read"},
		{`allow both "a"b`, "a space is missing"},
		{`allow both "\x00"`, "U+0000"},
		{`allow both "\xff"`, "not valid UTF-8"},
		{"allow both " + strings.Repeat("a", 9000), "at most"},
	}
	for _, tt := range tests {
		r, err := access.ParseRule(tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseRule(%.40q) = %v, %v; want an error with %q", tt.in, r, err, tt.want)
		}
	}
}

func TestZeroRuleIsNotValid(t *testing.T) {
	if err := (access.Rule{}).Validate(); err == nil {
		t.Error("the zero Rule is valid")
	}
	if err := (access.Rule{Filter: "#", MaxQoS: access.AnyQoS}).Validate(); err == nil {
		t.Error("a Rule without effect and scope is valid")
	}
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{
		"allow both sensors/%u/# qos<=1 no-retain listener=mqtts from=192.168.1.0/24", "deny publish a retain",
		`allow both "living room/#" listener="x y"`, `deny subscribe a="b`, "allow both a from=::ffff:10.0.0.0/104", "\"", "allow both \u00a0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := access.ParseRule(s)
		if err != nil {
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatalf("ParseRule(%q) returned %+v, which is not valid: %v", s, r, err)
		}
		text := r.String()
		again, err := access.ParseRule(text)
		if err != nil || again != r {
			t.Fatalf("%q → %+v → %q → %+v, %v", s, r, text, again, err)
		}
	})
}

func TestValidName(t *testing.T) {
	good := []string{"ann", "a b", "Küche", "a/b", "$x", "ann@example.org", "😀", "👩\u200d🚒", strings.Repeat("n", 128), "%u"}
	for _, name := range good {
		if text := access.ValidName(name); text != "" {
			t.Errorf("ValidName(%q) = %q", name, text)
		}
	}
	bad := []string{ // case A1, case A23
		"", " ann", "ann ", "a+b", "#", "a\x00b", "a\nb", "a\x1b[31m", "a\u202eb", "a\u200bb", "\ufeffann", "a\u2028b", "a\u0085b", "\xff", "\u00a0ann",
		strings.Repeat("n", 129),
	}
	for _, name := range bad {
		if access.ValidName(name) == "" {
			t.Errorf("ValidName(%q) has nothing to say", name)
		}
	}
}

func TestProblems(t *testing.T) {
	var err error = access.Problems{"roles": "r", "name": "n"}
	if got := err.Error(); got != "name: n; roles: r" {
		t.Errorf("Error() = %q", got)
	}
	if p, ok := errors.AsType[access.Problems](err); !ok || p["name"] != "n" {
		t.Errorf("AsType = %v, %v", p, ok)
	}
}
