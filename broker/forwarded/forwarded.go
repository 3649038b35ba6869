// Package forwarded finds the address of a client that comes through HTTP proxies, from
// what they say in X-Forwarded-For. MQTT over WebSocket (broker/listen) and the admin's
// direct port (web) ask it, so that both follow one rule. It imports nothing of ours.
package forwarded

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Header is the name of the header, in the form of net/http's keys.
const Header = "X-Forwarded-For"

// Client returns the address of the client behind a connection from peer. lines are the
// values of X-Forwarded-For in the order in which they came: a proxy that finds one may
// add to it or write a line of its own behind it.
//
// Only proxies in the trusted networks are believed. Each names whom it was connected
// from, so the list is read from its end: what the last trusted proxy says is the client.
// All before that the client may have made up. A peer that is not trusted is the client
// itself, and so is a trusted one that names nobody.
//
// The error says that a trusted proxy's word can't be read. Whom it speaks for is then not
// known, and it must not be taken for the proxy itself, whose address may open doors.
func Client(peer netip.Addr, lines []string, trusted []netip.Prefix) (netip.Addr, error) {
	client := peer.Unmap().WithZone("")
	for client.IsValid() && Trusted(client, trusted) {
		var name string
		if name, lines = last(lines); name == "" {
			break
		}
		before, err := address(name)
		if err != nil {
			return netip.Addr{}, err
		}
		if before.IsLoopback() && !client.IsLoopback() && !Trusted(before, trusted) {
			break // a program on the proxy's own machine, not on this one
		}
		client = before
	}
	if client == peer.Unmap().WithZone("") {
		return peer, nil
	}
	return client, nil
}

// last takes the last address off the lines; "" when there is none left.
func last(lines []string) (name string, rest []string) {
	for n := len(lines); n > 0; n = len(lines) {
		before, behind, several := cutLast(lines[n-1])
		rest = lines[:n-1]
		if several {
			rest = append(rest[:len(rest):len(rest)], before)
		}
		if name = strings.TrimSpace(behind); name != "" {
			return name, rest
		}
		lines = rest
	}
	return "", nil
}

func cutLast(line string) (before, behind string, several bool) {
	if i := strings.LastIndexByte(line, ','); i >= 0 {
		return line[:i], line[i+1:], true
	}
	return "", line, false
}

var errNoClient = errors.New("no address that a client can have")

// address reads one address. Some proxies add the port.
func address(name string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"))
	if err != nil {
		with, portErr := netip.ParseAddrPort(name)
		if portErr != nil {
			return netip.Addr{}, fmt.Errorf("read %s: %w", Header, err)
		}
		a = with.Addr()
	}
	a = a.Unmap().WithZone("")
	if a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, fmt.Errorf("read %s: %s: %w", Header, a, errNoClient)
	}
	return a, nil
}

// Trusted reports whether an address is that of a proxy in one of the networks.
func Trusted(a netip.Addr, networks []netip.Prefix) bool {
	a = a.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
