package access

import (
	"net/netip"
	"testing"

	"hearthmq/broker"
)

func TestNetworksText(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		bad        bool
	}{
		{"", "", false},
		{" 192.168.1.7/24,\n10.0.0.7 fd00::1/8 10.0.0.7", "10.0.0.7 192.168.1.0/24 fd00::/8", false},
		{"::ffff:192.168.1.0/120", "192.168.1.0/24", false},
		{"0.0.0.0/0", "0.0.0.0/0", false},
		{"192.168.1", "", true},
		{"192.168.1.0/33", "", true},
		{"home", "", true},
	} {
		list, err := ParseNetworks(tt.text)
		if got := FormatNetworks(list); (err != nil) != tt.bad || got != tt.want {
			t.Errorf("%q became %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
	many := make([]netip.Prefix, MaxNetworks+1)
	for i := range many {
		many[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)
	}
	if _, err := normalNetworks(many); err == nil {
		t.Error("more than may be were taken")
	}
}

// A user may come from its networks alone, whatever proves who it is; who does not
// prove it learns nothing of that.
func TestUserNetworks(t *testing.T) {
	a, d := open(t, Policy{})
	networks, err := ParseNetworks("192.168.1.0/24 fd00::/8")
	check(t, err)
	password := create(t, a, NewUser{Name: "lamp", Generate: true, Networks: networks})
	certified := func(from netip.AddrPort) error {
		_, err := d.Authenticate(t.Context(), &broker.Credentials{ClientID: "c", TLSName: "lamp", Listener: broker.ListenerInfo{Name: "mqtts"}, Remote: from})
		return err
	}
	for from, want := range map[string]broker.Reason{
		"192.168.1.5:4000":           "",
		"[::ffff:192.168.1.5]:4000":  "",
		"[fd00::7%eth0]:4000":        "",
		"192.168.2.5:4000":           broker.NetworkNotAllowed,
		"127.0.0.1:4000":             broker.NetworkNotAllowed,
		"[2001:db8::1]:4000":         broker.NetworkNotAllowed,
		"[::ffff:192.168.2.5]:40000": broker.NetworkNotAllowed,
	} {
		at := netip.MustParseAddrPort(from)
		_, err := login(d, at, "lamp", password)
		wantReason(t, err, want)
		wantReason(t, certified(at), want)
	}
	_, err = login(d, netip.AddrPort{}, "lamp", password) // a Unix domain socket
	wantReason(t, err, broker.NetworkNotAllowed)
	_, err = login(d, netip.MustParseAddrPort("192.168.2.5:4000"), "lamp", "wrong")
	wantReason(t, err, broker.WrongPassword)

	// Who is connected from elsewhere does not stand any more once that is changed.
	id, err := login(d, here, "lamp", password)
	wantReason(t, err, "")
	if stands, _ := d.Review(id); !stands {
		t.Error("a client from the right network does not stand")
	}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}
	check(t, a.ChangeUser(t.Context(), "lamp", UserChange{Networks: &elsewhere}))
	if stands, reason := d.Review(id); stands || reason != broker.NetworkNotAllowed {
		t.Errorf("a client from the wrong network: %v, %q", stands, reason)
	}
	if u, _ := d.User("lamp"); describeUser(u) != "roles: none; from: 10.0.0.0/8" {
		t.Errorf("described as %q", describeUser(u))
	}
	q := Question{User: "lamp", Action: broker.Publish, Name: "x", Remote: here.Addr()}
	if got := d.Check(q); got.Allow || got.Rule.Text != `user "lamp" may connect from 10.0.0.0/8 only` {
		t.Errorf("check: %+v", got)
	}
	if err := a.ChangeUser(t.Context(), "lamp", UserChange{Networks: &[]netip.Prefix{{}}}); problem(err, "networks") == "" {
		t.Errorf("no network at all: %v", err)
	}
}

func problem(err error, key string) string {
	p, _ := err.(Problems)
	return p[key]
}
