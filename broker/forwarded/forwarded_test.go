package forwarded_test

import (
	"net/netip"
	"strings"
	"testing"

	"hearthmq/broker/forwarded"
)

// case A24: whom a proxy names is believed only of proxies in the trusted networks.
func TestClient(t *testing.T) {
	home := []netip.Prefix{netip.MustParsePrefix("192.168.1.2/32"), netip.MustParsePrefix("fd00:1::/64"), netip.MustParsePrefix("10.9.0.0/16")}
	own := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	for _, tt := range []struct {
		name, peer string
		lines      []string
		trusted    []netip.Prefix
		want       string // "": it must be refused
	}{
		{"nobody is trusted", "192.168.1.2", []string{"203.0.113.5"}, nil, "192.168.1.2"},
		{"an untrusted peer", "192.168.1.3", []string{"203.0.113.5"}, home, "192.168.1.3"},
		{"an untrusted peer that writes nonsense", "192.168.1.3", []string{"nonsense"}, home, "192.168.1.3"},
		{"an untrusted peer that names a trusted one", "192.168.1.3", []string{"192.168.1.2"}, home, "192.168.1.3"},
		{"a trusted proxy without the header", "192.168.1.2", nil, home, "192.168.1.2"},
		{"a trusted proxy with an empty header", "192.168.1.2", []string{"", " , "}, home, "192.168.1.2"},
		{"a trusted proxy", "192.168.1.2", []string{"203.0.113.5"}, home, "203.0.113.5"},
		{"no space", "192.168.1.2", []string{"198.51.100.1,203.0.113.5"}, home, "203.0.113.5"},
		{"an invented beginning", "192.168.1.2", []string{"127.0.0.1, 192.168.1.77, 203.0.113.5"}, home, "203.0.113.5"},
		{"an invented beginning that names a proxy", "192.168.1.2", []string{"10.9.0.1, 203.0.113.5"}, home, "203.0.113.5"},
		{"nonsense at the beginning", "192.168.1.2", []string{"<script>, ,,unknown, 203.0.113.5"}, home, "203.0.113.5"},
		{"a line of the client's, one of the proxy's", "192.168.1.2", []string{"192.168.1.77", "203.0.113.5"}, home, "203.0.113.5"},
		{"nonsense of the client's in a line of its own", "192.168.1.2", []string{"nonsense", "203.0.113.5"}, home, "203.0.113.5"},
		{"two proxies", "192.168.1.2", []string{"198.51.100.9, 203.0.113.5, 10.9.3.4"}, home, "203.0.113.5"},
		{"two proxies with a line each", "192.168.1.2", []string{"203.0.113.5", "10.9.3.4"}, home, "203.0.113.5"},
		{"two proxies, the outer one not trusted", "192.168.1.2", []string{"203.0.113.5, 10.8.3.4"}, home, "10.8.3.4"},
		{"proxies alone: the first of them", "192.168.1.2", []string{"10.9.3.4, 192.168.1.2"}, home, "10.9.3.4"},
		{"IPv6", "fd00:1::2", []string{"2001:db8::7"}, home, "2001:db8::7"},
		{"IPv6 in brackets", "fd00:1::2", []string{"[2001:db8::7]"}, home, "2001:db8::7"},
		{"IPv6 with a port", "fd00:1::2", []string{"[2001:db8::7]:4711"}, home, "2001:db8::7"},
		{"IPv4 with a port", "192.168.1.2", []string{"203.0.113.5:4711"}, home, "203.0.113.5"},
		{"a zone means nothing here", "fd00:1::2", []string{"fe80::1%eth0"}, home, "fe80::1"},
		{"the peer IPv4-mapped", "::ffff:192.168.1.2", []string{"203.0.113.5"}, home, "203.0.113.5"},
		{"the client IPv4-mapped", "192.168.1.2", []string{"::ffff:203.0.113.5"}, home, "203.0.113.5"},
		{"a trusted proxy IPv4-mapped in the list", "192.168.1.2", []string{"203.0.113.5, ::ffff:10.9.0.1"}, home, "203.0.113.5"},
		{"a program on the proxy's machine is not on this one", "192.168.1.2", []string{"127.0.0.1"}, home, "192.168.1.2"},
		{"and can't name another", "192.168.1.2", []string{"203.0.113.5, ::1"}, home, "192.168.1.2"},
		{"the proxy on this machine", "127.0.0.1", []string{"203.0.113.5"}, own, "203.0.113.5"},
		{"another address of this machine through it", "127.0.0.1", []string{"127.0.0.41"}, own, "127.0.0.41"},
		{"this machine through it", "127.0.0.1", []string{"127.0.0.1"}, own, "127.0.0.1"},
		{"two proxies on this machine", "127.0.0.1", []string{"203.0.113.5, 127.0.0.1"}, own, "203.0.113.5"},
		{"a trusted proxy that hides it", "192.168.1.2", []string{"unknown"}, home, ""},
		{"a trusted proxy's nonsense behind an address", "192.168.1.2", []string{"203.0.113.5, 300.1.2.3"}, home, ""},
		{"nonsense of the outer trusted proxy", "192.168.1.2", []string{"_hidden, 10.9.3.4"}, home, ""},
		{"no client's address", "192.168.1.2", []string{"0.0.0.0"}, home, ""},
		{"no client's address either", "fd00:1::2", []string{"ff02::1"}, home, ""},
		{"an open bracket", "fd00:1::2", []string{"[2001:db8::7]:port"}, home, ""},
		{"a long list", "192.168.1.2", []string{strings.Repeat("10.9.3.4,", 900) + "203.0.113.5"}, home, "203.0.113.5"},
		{"a long list of proxies", "192.168.1.2", []string{"203.0.113.5" + strings.Repeat(",10.9.3.4", 900)}, home, "203.0.113.5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := forwarded.Client(netip.MustParseAddr(tt.peer), tt.lines, tt.trusted)
			switch {
			case (err != nil) != (tt.want == ""):
				t.Fatalf("%v, %v, want %q", got, err, tt.want)
			case err == nil && got.Unmap().String() != tt.want:
				t.Errorf("%v, want %s", got, tt.want)
			}
		})
	}
}

// Whatever the header holds: who is not trusted is itself, and nobody becomes this machine.
func FuzzClient(f *testing.F) {
	f.Add("203.0.113.5, 10.9.3.4", "::1")
	f.Add("unknown", ",,")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, one, two string) {
		lines := []string{one, two}
		stranger, proxy := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.0.0.1")
		if got, err := forwarded.Client(stranger, lines, trusted); err != nil || got != stranger {
			t.Errorf("a stranger became %v, %v", got, err)
		}
		got, err := forwarded.Client(proxy, lines, trusted)
		if err == nil && (!got.IsValid() || got.IsLoopback() || got.Is4In6() || got.Zone() != "") {
			t.Errorf("a client with the address %v", got)
		}
		if lines[0] != one || lines[1] != two {
			t.Error("the header was changed")
		}
	})
}
