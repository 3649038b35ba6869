package addontest

import (
	"encoding/json"
	"io"

	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mode is how the Supervisor, or Core behind it, feels.
type Mode int

const (
	Works    Mode = iota
	Slow          // answers after Delay
	Hangs         // takes requests and never answers
	Fails         // 500 with the envelope
	Garbled       // 200 with half an answer
	NotReady      // of the Supervisor: 400, it is still starting. Of Core: 502
	Gone          // closes every connection at once
)

// Delay is how long an answer takes in mode Slow.
const Delay = 2 * time.Second

// App is one that the Supervisor has installed.
type App struct {
	Slug     string // full: with the repository
	Name     string
	Hostname string
	Token    string
	State    string         // "started"
	Network  map[string]any // "1883/tcp" to a port or nil
	Options  map[string]any
	Version  string

	Provides      []string // services, such as "mqtt"
	Wants         []string // services
	Discovers     []string
	AuthAPI       bool
	HassioAPI     bool
	HomeAssistant bool // homeassistant_api
}

// HearthMQ returns the app as its config.yaml has it installed.
func HearthMQ() *App {
	return &App{
		Slug: "014ce74a_hearthmq", Name: "HearthMQ", Hostname: "014ce74a-hearthmq", Token: "hearthmq-token", State: "started", Version: "0.1.0",
		Network:  map[string]any{"1883/tcp": 1883, "1884/tcp": 1884, "8883/tcp": 8883, "8884/tcp": nil},
		Options:  map[string]any{},
		Provides: []string{"mqtt"}, Discovers: []string{"mqtt"}, AuthAPI: true, HassioAPI: true, HomeAssistant: true,
	}
}

// Mosquitto returns the official app.
func Mosquitto() *App {
	return &App{
		Slug: "core_mosquitto", Name: "Mosquitto broker", Hostname: "core-mosquitto", Token: "mosquitto-token", State: "started", Version: "7.1.0",
		Network:  map[string]any{"1883/tcp": nil},
		Provides: []string{"mqtt"}, Discovers: []string{"mqtt"}, AuthAPI: true,
	}
}

// Zigbee2MQTT returns an app that takes its broker from the service record.
func Zigbee2MQTT() *App {
	return &App{Slug: "45df7312_zigbee2mqtt", Name: "Zigbee2MQTT", Hostname: "45df7312-zigbee2mqtt", Token: "z2m-token", State: "started", Version: "2.12.1-1", Wants: []string{"mqtt"}, HassioAPI: true}
}

// Supervisor is a Supervisor with a Core behind it. Safe for concurrent use.
type Supervisor struct {
	URL  string // as in SUPERVISOR_API
	Core *Core

	mu        sync.Mutex
	apps      []*App
	mode      Mode
	change    chan struct{} // closed when the mode changes
	calls     []string
	service   map[string]any // nil: none
	discovery []Discovery
	users     map[string]string // of Home Assistant: password by name
	logins    map[string]string // the Supervisor's own cache of proven ones
	addresses []string
	restart   func(slug string)
	gone      chan struct{} // closed at the end of the test
	client    *http.Client
}

// Discovery is a message to Core.
type Discovery struct {
	UUID, Service, App string
	Config             map[string]any
}

// New starts a Supervisor that has these apps, on a port of its own, until the test ends.
func New(tb testing.TB, apps ...*App) *Supervisor {
	tb.Helper()
	s := newSupervisor(tb, apps)
	srv := httptest.NewServer(s)
	s.URL, s.client = srv.URL, srv.Client()
	tb.Cleanup(srv.Close)
	tb.Cleanup(s.end)
	return s
}

// NewInMemory is New without the operating system's network: for synctest. The client
// that it returns reaches it.
func NewInMemory(tb testing.TB, apps ...*App) (*Supervisor, *http.Client) {
	tb.Helper()
	s := newSupervisor(tb, apps)
	ln := NewListener("172.30.32.2:80", "172.30.33.5:40000")
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	var served sync.WaitGroup
	served.Go(func() { _ = srv.Serve(ln) }) // until Close
	s.URL = "http://supervisor"
	transport := &http.Transport{DialContext: ln.DialContext}
	s.client = &http.Client{Transport: transport}
	tb.Cleanup(func() {
		s.end()
		transport.CloseIdleConnections()
		_ = srv.Close()
		served.Wait()
	})
	return s, s.client
}

// Client reaches the Supervisor, wherever it is.
func (s *Supervisor) Client() *http.Client { return s.client }

func newSupervisor(tb testing.TB, apps []*App) *Supervisor {
	tb.Helper()
	s := &Supervisor{
		apps: apps, change: make(chan struct{}), gone: make(chan struct{}),
		users: make(map[string]string), logins: make(map[string]string),
		addresses: []string{"192.168.1.20/24"},
	}
	s.Core = &Core{supervisor: s, change: make(chan struct{}), flows: make(map[string]*flow), notifications: make(map[string]Notification)}
	return s
}

func (s *Supervisor) end() { close(s.gone) }

// Environ is what the Supervisor puts into an app's environment.
func (s *Supervisor) Environ(a *App) []string {
	return []string{"SUPERVISOR_TOKEN=" + a.Token, "SUPERVISOR_API=" + s.URL}
}

// SetMode makes the Supervisor work, or not. Calls that hang end with Hangs.
func (s *Supervisor) SetMode(m Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
	close(s.change)
	s.change = make(chan struct{})
}

// Calls returns "METHOD /path" of all requests so far.
func (s *Supervisor) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Install adds an app, or replaces the one with its slug.
func (s *Supervisor) Install(a *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps = slices.DeleteFunc(s.apps, func(x *App) bool { return x.Slug == a.Slug })
	s.apps = append(s.apps, a)
}

// SetToken gives the app another token, as each start does.
func (s *Supervisor) SetToken(slug, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.apps {
		if a.Slug == slug {
			a.Token = token
		}
	}
}

// Reboot forgets what a start of the machine forgets: all service records.
func (s *Supervisor) Reboot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service = nil
}

// ServeHTTP implements http.Handler.
func (s *Supervisor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls = append(s.calls, r.Method+" "+r.URL.Path)
	mode, change := s.mode, s.change
	s.mu.Unlock()
	if !s.feel(w, r, mode, change) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<20)
	if strings.HasPrefix(r.URL.Path, "/core/") {
		s.Core.serve(w, r)
		return
	}
	if r.URL.Path == "/supervisor/ping" {
		ok(w, nil)
		return
	}
	a := s.authenticate(w, r)
	if a == nil {
		return
	}
	s.route(w, r, a)
}

// feel makes the mode felt and reports whether the request is answered as usual.
func (s *Supervisor) feel(w http.ResponseWriter, r *http.Request, m Mode, change <-chan struct{}) bool {
	switch m {
	case Slow:
		timer := time.NewTimer(Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		case <-s.gone:
		}
	case Hangs:
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client goes away
		select {
		case <-r.Context().Done():
		case <-change:
		case <-s.gone:
		}
		panic(http.ErrAbortHandler)
	case Gone:
		panic(http.ErrAbortHandler)
	case Fails:
		fail(w, http.StatusInternalServerError, "An unknown error occurred with the Supervisor", "unknown_error", nil)
		return false
	case Garbled:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"result": "ok", "da`)
		return false
	case NotReady:
		fail(w, http.StatusBadRequest, "System is not ready with state: setup", "", nil)
		return false
	}
	return true
}

// authenticate finds the app whose token it is. It looks where the Supervisor looks.
func (s *Supervisor) authenticate(w http.ResponseWriter, r *http.Request) *App {
	words := strings.Fields(r.Header.Get("Authorization"))
	var last string
	if len(words) > 0 {
		last = words[len(words)-1]
	}
	for _, token := range []string{r.Header.Get("X-Supervisor-Token"), r.Header.Get("X-Hassio-Key"), last} {
		if token == "" {
			continue
		}
		if a := s.appByToken(token); a != nil {
			return a
		}
		plain(w, http.StatusForbidden)
		return nil
	}
	plain(w, http.StatusUnauthorized)
	return nil
}

func (s *Supervisor) appByToken(token string) *App {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.apps {
		if a.Token == token {
			copied := *a
			return &copied
		}
	}
	return nil
}

// ok is the envelope of an answer.
func ok(w http.ResponseWriter, data any) {
	if data == nil {
		data = struct{}{}
	}
	answer(w, http.StatusOK, map[string]any{"result": "ok", "data": data})
}

// fail is the envelope of an error.
func fail(w http.ResponseWriter, status int, message, key string, fields map[string]any) {
	e := map[string]any{"result": "error", "message": message}
	if key != "" {
		e["error_key"] = key
	}
	if fields != nil {
		e["extra_fields"] = fields
	}
	answer(w, status, e)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// plain is an error of aiohttp, which stands in front of the API.
func plain(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	text := http.StatusText(status)
	_, _ = io.WriteString(w, strings.TrimSpace(itoa(status)+": "+text))
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }
