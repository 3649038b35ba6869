package addon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
)

// ErrWrongLogin says that Home Assistant does not know that name with that password.
var ErrWrongLogin = errors.New("name and password are not those of a user of Home Assistant")

// CheckLogin asks Home Assistant whether it knows a user by name and password; nil
// means yes, ErrWrongLogin no, and any other error that nobody could say.
func (s *Supervisor) CheckLogin(ctx context.Context, name, password string) error {
	body := struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}{name, password}
	err := s.call(ctx, http.MethodPost, "/auth", body, nil)
	// A token that is not ours any more is 403, so that 401 is always the user's.
	if hasStatus(err, http.StatusUnauthorized) {
		return ErrWrongLogin
	}
	return err
}

// SelfInfo is what the Supervisor says of an app: of this one, or of another.
type SelfInfo struct {
	Name            string          `json:"name"`
	Slug            string          `json:"slug"` // full, with the repository
	Hostname        string          `json:"hostname"`
	State           string          `json:"state"`
	Version         string          `json:"version"`
	VersionLatest   string          `json:"version_latest"`
	UpdateAvailable bool            `json:"update_available"`
	Network         map[string]*int `json:"network"` // "1883/tcp" to the port of the host, nil: closed
	IngressURL      string          `json:"ingress_url"`
}

// HostPort returns the port of the host that leads to a port of the app.
func (i *SelfInfo) HostPort(port int) (int, bool) {
	p := i.Network[fmt.Sprintf("%d/tcp", port)]
	if p == nil {
		return 0, false
	}
	return *p, true
}

// Self returns what the Supervisor says of this app.
func (s *Supervisor) Self(ctx context.Context) (*SelfInfo, error) {
	var v SelfInfo
	if err := s.call(ctx, http.MethodGet, "/addons/self/info", nil, &v); err != nil {
		return nil, err
	}
	if v.Slug == "" || v.Hostname == "" {
		return nil, errors.New("the Supervisor does not say who this app is")
	}
	return &v, nil
}

// ErrNoApp says that an app is not installed.
var ErrNoApp = errors.New("the app is not installed")

// App returns what the Supervisor says of another app, or ErrNoApp.
func (s *Supervisor) App(ctx context.Context, slug string) (*SelfInfo, error) {
	var v SelfInfo
	err := s.call(ctx, http.MethodGet, "/addons/"+slug+"/info", nil, &v)
	switch {
	case hasStatus(err, http.StatusNotFound), err == nil && v.State == "unknown": // in no repository, or only there
		return nil, ErrNoApp
	case err != nil:
		return nil, err
	}
	return &v, nil
}

// SetPorts says which ports of the host lead to this app, from its next start on.
func (s *Supervisor) SetPorts(ctx context.Context, ports map[string]*int) error {
	return s.call(ctx, http.MethodPost, "/addons/self/options", map[string]any{"network": ports}, nil)
}

// Restart has this app restarted: the process is told to end soon after.
func (s *Supervisor) Restart(ctx context.Context) error {
	return s.call(ctx, http.MethodPost, "/addons/self/restart", nil, nil)
}

// HostAddress returns the address of the house's network that devices reach this
// machine by: IPv4 before IPv6, the interface of the default route before others.
func (s *Supervisor) HostAddress(ctx context.Context) (netip.Addr, error) {
	type addresses struct {
		Address []string `json:"address"` // with the length of the prefix
	}
	var data struct {
		Interfaces []struct {
			Primary   bool      `json:"primary"`
			Connected bool      `json:"connected"`
			IPv4      addresses `json:"ipv4"`
			IPv6      addresses `json:"ipv6"`
		} `json:"interfaces"`
	}
	if err := s.call(ctx, http.MethodGet, "/network/info", nil, &data); err != nil {
		return netip.Addr{}, err
	}
	var best netip.Addr
	score := 0
	for _, i := range data.Interfaces {
		for _, text := range append(i.IPv4.Address, i.IPv6.Address...) {
			prefix, err := netip.ParsePrefix(text)
			if err != nil || prefix.Addr().IsLinkLocalUnicast() || prefix.Addr().IsLoopback() {
				continue
			}
			n := 1
			if i.Primary {
				n += 4
			}
			if prefix.Addr().Is4() {
				n += 2
			}
			if n > score {
				best, score = prefix.Addr(), n
			}
		}
	}
	if score == 0 {
		return netip.Addr{}, errors.New("the Supervisor names no address of this machine")
	}
	return best, nil
}
