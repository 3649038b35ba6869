package outbound_test

import (
	"errors"
	"net/netip"
	"testing"

	"hearthmq/outbound"
)

// case W20: this machine, link-local addresses and the Supervisor's network are out of
// bounds, in every notation; the home's own networks are not.
func TestAllowed(t *testing.T) {
	for address, want := range map[string]bool{
		"192.168.1.20": true, "10.0.0.1": true, "172.16.0.1": true, "172.30.31.255": true, "172.30.34.0": true, "fd11::20": true, "2001:db8::1": true,
		"127.0.0.1": false, "127.8.8.8": false, "::1": false, "0.0.0.0": false, "::": false, "0.1.2.3": false, "169.254.169.254": false, "fe80::1": false,
		"172.30.32.2": false, "172.30.33.255": false, "::ffff:172.30.32.2": false, "::ffff:127.0.0.1": false, "fd0c:ac1e:2100::1": false,
		"224.0.0.1": false, "255.255.255.255": false, "ff02::1": false,
	} {
		if got := outbound.Allowed(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// case W20, by name: nothing is asked of a name server, and nothing is connected to.
func TestDialRefuses(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1:80", "[::1]:80", "172.30.32.2:80", "supervisor:80", "SUPERVISOR.:80", "hassio:80", "localhost:80", "x.localhost:80",
		"core-mosquitto.local.hass.io:1883", "2130706433:80", "0x7f000001:80", "127.1:80", "0177.0.0.1:80", "[fe80::1%eth0]:80", "169.254.169.254:80",
	} {
		c, err := outbound.Dial(t.Context(), "tcp", address)
		if !errors.Is(err, outbound.ErrNotAllowed) {
			t.Errorf("%s: %v", address, err)
		}
		if c != nil {
			c.Close()
		}
	}
}
