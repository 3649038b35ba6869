package access

import (
	"testing"

	"hearthmq/broker"
)

func TestLimitsText(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		bad        bool
	}{
		{"", "", false},
		{"connections=2,messages=0.5\n retained_bytes=1000000", "connections=2 messages=0.5 retained_bytes=1000000", false},
		{"inflight=65535 packet=4294967295", "packet=4294967295 inflight=65535", false},
		{"connections", "", true},
		{"connections=0", "", true},
		{"connections=-1", "", true},
		{"connections=1.5", "", true},
		{"connections=NaN", "", true},
		{"inflight=65536", "", true},
		{"colour=2", "", true},
	} {
		l, err := ParseLimits(tt.text)
		if (err != nil) != tt.bad {
			t.Errorf("%q: %v", tt.text, err)
		}
		if got := FormatLimits(l); err == nil && got != tt.want {
			t.Errorf("%q became %q, want %q", tt.text, got, tt.want)
		}
	}
}

// The limits of a user come with who logs in, and stand in the audit.
func TestUserLimits(t *testing.T) {
	a, d := open(t, Policy{})
	password := create(t, a, NewUser{Name: "lamp", Generate: true})
	id, err := login(d, here, "lamp", password)
	wantReason(t, err, "")
	if id.Limits != nil {
		t.Errorf("limits %+v of a user without", id.Limits)
	}
	check(t, a.ChangeUser(t.Context(), "lamp", UserChange{Limits: &broker.Limits{Connections: 2, MessageRate: 10}}))
	id, err = login(d, here, "lamp", password)
	wantReason(t, err, "")
	if id.Limits == nil || id.Limits.Connections != 2 || id.Limits.MessageRate != 10 {
		t.Errorf("limits %+v", id.Limits)
	}
	if u, _ := d.User("lamp"); describeUser(u) != "roles: none; limits: connections=2 messages=10" {
		t.Errorf("described as %q", describeUser(u))
	}
}
