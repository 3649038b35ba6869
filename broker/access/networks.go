package access

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"hearthmq/broker"
)

// MaxNetworks bounds from how many networks a user may come.
const MaxNetworks = 100

// ParseNetworks reads the networks that a user may come from, as people write them:
// "192.168.1.0/24 fd00::/8 10.0.0.7"; "" means any.
func ParseNetworks(text string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, word := range limitWords(text) {
		p, err := parseNetwork(word)
		if err != nil {
			return nil, fmt.Errorf("%.60q is not a network such as 192.168.1.0/24", word)
		}
		list = append(list, p)
	}
	return normalNetworks(list)
}

// normalNetworks returns networks without host bits, each once, sorted.
func normalNetworks(list []netip.Prefix) ([]netip.Prefix, error) {
	var normal []netip.Prefix
	for _, p := range list {
		r := NewRule(Allow, ScopeBoth, "#")
		r.Network = p
		r, err := r.Normal()
		if err != nil || !p.IsValid() {
			return nil, fmt.Errorf("%v is not a network such as 192.168.1.0/24", p)
		}
		normal = append(normal, r.Network)
	}
	slices.SortFunc(normal, netip.Prefix.Compare)
	normal = slices.Compact(normal)
	if len(normal) > MaxNetworks {
		return nil, fmt.Errorf("at most %d networks, these are %d", MaxNetworks, len(normal))
	}
	return normal, nil
}

// FormatNetworks writes networks as ParseNetworks reads them.
func FormatNetworks(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
		if p.IsSingleIP() {
			words[i] = p.Addr().String()
		}
	}
	return strings.Join(words, " ")
}

// mayComeFrom reports whether the user may connect from an address. A Unix domain
// socket has none, which is in no network.
func (u *User) mayComeFrom(from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	return len(u.Networks) == 0 || slices.ContainsFunc(u.Networks, func(p netip.Prefix) bool { return p.Contains(from) })
}

// keptOut is the refusal of a user who may not come from there, nil: it may. Only who
// has proven to be that user is asked, so nobody else learns of networks.
func (u *User) keptOut(from netip.Addr) *broker.Refusal {
	if u.mayComeFrom(from) {
		return nil
	}
	return broker.Refuse(broker.NetworkNotAllowed, errors.New(u.fromOnly()))
}

// fromOnly says where the user may connect from.
func (u *User) fromOnly() string {
	return fmt.Sprintf("user %q may connect from %s only", u.Name, FormatNetworks(u.Networks))
}
