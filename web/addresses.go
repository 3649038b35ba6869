package web

import (
	"context"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Bounds of looking up names.
const (
	nameTime  = 2 * time.Second  // for one address
	nameAge   = 10 * time.Minute // until it is looked up again
	maxNames  = 2000             // that are remembered
	nameLooks = 4                // at the same time
)

// addressNames finds names for the addresses of a home's devices, as the router knows
// them. Nobody waits for it: a name appears when it was found. Safe for concurrent use.
type addressNames struct {
	lookup func(ctx context.Context, addr string) ([]string, error)

	mu      sync.Mutex
	known   map[netip.Addr]addressName
	looking int
}

type addressName struct {
	name    string
	at      time.Time
	pending bool
}

// Addresses of Home Assistant's own network, as its Supervisor gives them.
var homeNetwork = map[netip.Addr]string{
	netip.MustParseAddr("172.30.32.1"): "Home Assistant, or an app in the host's network",
	netip.MustParseAddr("172.30.32.2"): "Supervisor",
}

func newAddressNames() *addressNames {
	return &addressNames{lookup: net.DefaultResolver.LookupAddr, known: make(map[netip.Addr]addressName)}
}

// of returns the name of an address as far as it is known, and looks for it otherwise.
// Only addresses of homes are looked up: what comes from outside is nobody's business.
func (a *addressNames) of(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	switch {
	case !addr.IsValid():
		return ""
	case addr.IsLoopback():
		return "this machine"
	case homeNetwork[addr] != "":
		return homeNetwork[addr]
	case !addr.IsPrivate() && !addr.IsLinkLocalUnicast():
		return ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n, ok := a.known[addr]
	if ok && (n.pending || time.Since(n.at) < nameAge) || a.looking >= nameLooks {
		return n.name
	}
	if len(a.known) >= maxNames && !ok {
		clear(a.known)
	}
	n.pending = true
	a.known[addr] = n
	a.looking++
	go a.find(addr) // ends after nameTime
	return n.name
}

func (a *addressNames) find(addr netip.Addr) {
	ctx, cancel := context.WithTimeout(context.Background(), nameTime)
	defer cancel()
	names, err := a.lookup(ctx, addr.String())
	name := ""
	if err == nil && len(names) > 0 {
		name = shortHost(names[0])
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known[addr] = addressName{name: name, at: time.Now()}
	a.looking--
}

// appRepository is in front of the names of Home Assistant's apps.
var appRepository = regexp.MustCompile(`^(?:[0-9a-f]{8}|core|local)-`)

// shortHost is the part of a host's name that people know: its first label, for apps
// of Home Assistant without their repository. A name service may say anything.
func shortHost(name string) string {
	first, rest, _ := strings.Cut(strings.TrimSuffix(name, "."), ".")
	if rest == "local.hass.io" {
		first = appRepository.ReplaceAllString(first, "")
	}
	return clipText(first, 63)
}
