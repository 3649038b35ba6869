// Package outbound makes connections to addresses that an owner types into the admin,
// and to no others: not to this machine itself, and not to the network in which Home
// Assistant's Supervisor trusts its apps (case W20). It must not import anything of ours,
// nor HTTP: bridges keep to it as well.
package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"
)

// ErrNotAllowed says that an address is not one to connect to.
var ErrNotAllowed = errors.New("this address is not allowed: it is this machine itself, Home Assistant's own network, or none of the home's")

// dialTimeout bounds the look-up of a name and the connection, each.
const dialTimeout = 10 * time.Second

// inside are the networks that are nobody's business: those of Home Assistant's apps.
var inside = []netip.Prefix{
	netip.MustParsePrefix("172.30.32.0/23"),
	netip.MustParsePrefix("fd0c:ac1e:2100::/48"),
}

// insideNames are names of theirs, wherever they lead.
var insideNames = []string{"localhost", "supervisor", "hassio", "homeassistant", "observer", "local.hass.io"}

// Allowed reports whether an address may be connected to.
func Allowed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(), a.IsInterfaceLocalMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false
	}
	if a.Is4() && a.As4()[0] == 0 { // "this network", which some systems take for themselves
		return false
	}
	for _, p := range inside {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Dial connects by TCP to host:port. A name is looked up once, and what was checked is
// what is connected to, so that a name server can't change its mind in between.
func Dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTimeout}
	for _, a := range addrs {
		var c net.Conn
		if c, err = d.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// resolve returns the addresses of host, of which none may be forbidden.
func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if !Allowed(a) {
			return nil, ErrNotAllowed
		}
		return []netip.Addr{a}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	for _, n := range insideNames {
		if name == n || strings.HasSuffix(name, "."+n) {
			return nil, ErrNotAllowed
		}
	}
	// Digits and hexadecimals alone are an address in a guise that some resolvers know.
	if last := name[strings.LastIndexByte(name, '.')+1:]; strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return nil, ErrNotAllowed
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if !Allowed(a) {
			return nil, ErrNotAllowed
		}
	}
	return addrs, nil
}
