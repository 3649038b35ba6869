package addontest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// route answers what an app asks.
func (s *Supervisor) route(w http.ResponseWriter, r *http.Request, a *App) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	switch {
	case path == "services" || path == "discovery" || strings.HasPrefix(path, "services/") || strings.HasPrefix(path, "discovery/"):
		s.registry(w, r, a, path)
	case path == "auth":
		s.auth(w, r, a)
	case path == "addons/self/options/config":
		ok(w, a.Options)
	case path == "addons/self/options" && r.Method == http.MethodPost:
		s.setOptions(w, r, a)
	case path == "addons/self/restart" && r.Method == http.MethodPost:
		s.mu.Lock()
		restart := s.restart
		s.mu.Unlock()
		ok(w, nil)
		if restart != nil {
			restart(a.Slug)
		}
	case strings.HasPrefix(path, "addons/") && strings.HasSuffix(path, "/info"):
		s.appInfo(w, a, strings.TrimSuffix(strings.TrimPrefix(path, "addons/"), "/info"))
	case path == "info":
		ok(w, map[string]any{"supervisor": "2026.08.0", "homeassistant": "2026.8.3", "hassos": "18.2", "arch": "amd64", "machine": "generic-x86-64", "state": "running", "timezone": "Europe/Vienna", "channel": "stable"})
	case !a.HassioAPI:
		plain(w, http.StatusForbidden)
	case path == "supervisor/info":
		ok(w, map[string]any{"version": "2026.08.0", "arch": "amd64", "timezone": "Europe/Vienna", "channel": "stable"})
	case path == "network/info":
		s.networkInfo(w)
	case path == "addons" || strings.HasPrefix(path, "store") || path == "auth/list": // need another role
		plain(w, http.StatusForbidden)
	default:
		plain(w, http.StatusNotFound)
	}
}

// registry answers for services and discovery.
func (s *Supervisor) registry(w http.ResponseWriter, r *http.Request, a *App, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	provides, uses := slices.Contains(a.Provides, "mqtt"), slices.Contains(a.Wants, "mqtt")
	switch {
	case path == "services":
		ok(w, map[string]any{"services": []any{
			map[string]any{"slug": "mqtt", "available": s.service != nil, "providers": s.providers()},
			map[string]any{"slug": "mysql", "available": false, "providers": []string{}},
		}})
	case strings.HasPrefix(path, "services/") && path != "services/mqtt":
		fail(w, http.StatusNotFound, "Service does not exist", "", nil)
	case path == "services/mqtt" && !provides && !uses:
		fail(w, http.StatusForbidden, "No access to mqtt service!", "", nil)
	case path == "services/mqtt" && r.Method == http.MethodGet:
		if s.service == nil {
			fail(w, http.StatusBadRequest, "Service not enabled", "", nil)
			return
		}
		ok(w, s.service)
	case path == "services/mqtt" && r.Method == http.MethodPost:
		s.setService(w, r, a)
	case path == "services/mqtt" && r.Method == http.MethodDelete:
		switch {
		case !provides:
			fail(w, http.StatusForbidden, "No access to mqtt service!", "", nil)
		case s.service == nil:
			fail(w, http.StatusNotFound, "Service mqtt is not provided", "service_not_provided_error", map[string]any{"service": "mqtt"})
		default: // whoever's it is
			s.service = nil
			ok(w, nil)
		}
	case path == "discovery" && r.Method == http.MethodPost:
		s.discover(w, r, a)
	case strings.HasPrefix(path, "discovery/") && r.Method == http.MethodDelete:
		s.undiscover(w, a, strings.TrimPrefix(path, "discovery/"))
	default:
		plain(w, http.StatusForbidden) // GET /discovery is for Core alone
	}
}

// providers lists the apps that could. mu is held.
func (s *Supervisor) providers() []string {
	all := []string{}
	for _, a := range s.apps {
		if slices.Contains(a.Provides, "mqtt") {
			all = append(all, a.Slug)
		}
	}
	return all
}

// setService stores a record as strictly as the Supervisor's schema does. mu is held.
func (s *Supervisor) setService(w http.ResponseWriter, r *http.Request, a *App) {
	v, good := object(w, r)
	if !good {
		return
	}
	record := map[string]any{"ssl": false}
	for key, value := range v {
		_, text := value.(string)
		number, numeric := value.(float64)
		_, truth := value.(bool)
		switch {
		case key == "host" && text, key == "username" && text, key == "password" && text, key == "ssl" && truth:
		case key == "port" && numeric && number >= 1 && number <= 65535:
		case key == "protocol" && (value == "3.1" || value == "3.1.1"):
		case slices.Contains([]string{"host", "port", "username", "password", "ssl", "protocol"}, key):
			fail(w, http.StatusBadRequest, "value is not allowed for dictionary value @ data['"+key+"']. Got "+string(mustJSON(value)), "", nil)
			return
		default:
			fail(w, http.StatusBadRequest, "extra keys not allowed @ data['"+key+"']. Got "+string(mustJSON(value)), "", nil)
			return
		}
		record[key] = value
	}
	if record["host"] == nil || record["port"] == nil {
		fail(w, http.StatusBadRequest, "required key not provided @ data['host']. Got None", "", nil)
		return
	}
	if s.service != nil {
		owner := s.service["addon"]
		fail(w, http.StatusConflict, "Service mqtt is already provided", "service_already_provided_error", map[string]any{"service": "mqtt", "app": owner})
		return
	}
	record["addon"] = a.Slug
	s.service = record
	ok(w, nil)
}

// discover stores a message to Core: one for each app and service. mu is held.
func (s *Supervisor) discover(w http.ResponseWriter, r *http.Request, a *App) {
	v, good := object(w, r)
	if !good {
		return
	}
	service, _ := v["service"].(string)
	config, isObject := v["config"].(map[string]any)
	if !isObject || len(v) != 2 {
		fail(w, http.StatusBadRequest, "expected dict for dictionary value @ data['config']. Got None", "", nil)
		return
	}
	if !slices.Contains(a.Discovers, service) {
		fail(w, http.StatusForbidden, "Apps must list services they provide via discovery in their config!", "", nil)
		return
	}
	for i, d := range s.discovery {
		if d.App == a.Slug && d.Service == service {
			if !reflect.DeepEqual(d.Config, config) {
				s.discovery[i].Config = config
				s.Core.discovered(s.discovery[i])
			}
			ok(w, map[string]any{"uuid": d.UUID})
			return
		}
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	d := Discovery{UUID: hex.EncodeToString(id), Service: service, App: a.Slug, Config: config}
	s.discovery = append(s.discovery, d)
	s.Core.discovered(d)
	ok(w, map[string]any{"uuid": d.UUID})
}

// undiscover deletes a message of the app's own. mu is held.
func (s *Supervisor) undiscover(w http.ResponseWriter, a *App, uuid string) {
	i := slices.IndexFunc(s.discovery, func(d Discovery) bool { return d.UUID == uuid })
	switch {
	case i < 0:
		fail(w, http.StatusNotFound, "Discovery message not found", "", nil)
	case s.discovery[i].App != a.Slug:
		fail(w, http.StatusForbidden, "Can't remove discovery message", "", nil)
	default:
		s.discovery = slices.Delete(s.discovery, i, i+1)
		ok(w, nil)
	}
}

// appInfo answers for an app, "self" or another, whose options it does not tell.
func (s *Supervisor) appInfo(w http.ResponseWriter, asks *App, slug string) {
	self := slug == "self" || slug == asks.Slug
	if slug == "self" {
		slug = asks.Slug
	}
	if !self && !asks.HassioAPI {
		plain(w, http.StatusForbidden)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.apps, func(a *App) bool { return a.Slug == slug })
	if i < 0 {
		fail(w, http.StatusNotFound, "App "+slug+" does not exist", "", nil)
		return
	}
	a := s.apps[i]
	options := map[string]any{}
	if self {
		options = maps.Clone(a.Options)
	}
	ok(w, map[string]any{
		"name": a.Name, "slug": a.Slug, "hostname": a.Hostname, "dns": []string{a.Hostname + ".local.hass.io"}, "state": a.State,
		"version": a.Version, "version_latest": a.Version, "update_available": false, "network": a.Network, "options": options,
		"ip_address": "172.30.33.5", "ingress": true, "ingress_entry": "/api/hassio_ingress/" + IngressToken,
		"ingress_url": "/api/hassio_ingress/" + IngressToken + "/", "ingress_port": 8099, "boot": "auto", "rating": 8,
	})
}

func (s *Supervisor) networkInfo(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ok(w, map[string]any{
		"interfaces": []any{
			map[string]any{"interface": "wlan0", "type": "wireless", "enabled": true, "connected": true, "primary": false, "ipv4": map[string]any{"method": "auto", "address": []string{"10.9.9.9/8"}, "gateway": nil}, "ipv6": map[string]any{"address": []string{}}},
			map[string]any{"interface": "end0", "type": "ethernet", "enabled": true, "connected": true, "primary": true, "ipv4": map[string]any{"method": "auto", "address": s.addresses, "gateway": "192.168.1.1"}, "ipv6": map[string]any{"address": []string{"fe80::1/64", "fd11::20/64"}}},
		},
		"docker": map[string]any{"interface": "hassio", "address": "172.30.32.0/23", "gateway": "172.30.32.1", "dns": "172.30.32.3"},
	})
}

func (s *Supervisor) setOptions(w http.ResponseWriter, r *http.Request, a *App) {
	v, good := object(w, r)
	if !good {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.apps {
		if x.Slug != a.Slug {
			continue
		}
		if options, isObject := v["options"].(map[string]any); isObject {
			x.Options = options
		}
		if network, isObject := v["network"].(map[string]any); isObject {
			x.Network = network
		}
	}
	ok(w, nil)
}

// object reads a JSON object.
func object(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	text, err := io.ReadAll(r.Body)
	var v map[string]any
	if err != nil || json.Unmarshal(text, &v) != nil {
		fail(w, http.StatusBadRequest, "Invalid json", "", nil)
		return nil, false
	}
	return v, true
}

func mustJSON(v any) []byte {
	b, _ := json.Marshal(v) // it was JSON before
	return b
}

// OnRestart says what happens when an app asks to be restarted.
func (s *Supervisor) OnRestart(restart func(slug string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restart = restart
}

// SetState changes the state of an app, such as "stopped".
func (s *Supervisor) SetState(slug, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.apps {
		if a.Slug == slug {
			a.State = state
		}
	}
}

// Service returns the record that stands, nil when there is none.
func (s *Supervisor) Service() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.service)
}

// SetService puts a record in place, whatever stood there.
func (s *Supervisor) SetService(record map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service = record
}

// Discoveries returns the messages to Core.
func (s *Supervisor) Discoveries() []Discovery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.discovery)
}

// ForgetDiscoveries deletes all messages, as the end of their app does.
func (s *Supervisor) ForgetDiscoveries() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discovery = nil
}
