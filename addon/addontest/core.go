package addontest

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Core is Home Assistant Core behind the Supervisor's proxy. Safe for concurrent use.
type Core struct {
	supervisor *Supervisor

	mu       sync.Mutex
	mode     Mode
	change   chan struct{} // closed when the mode changes
	users    []User
	pushed   []Discovery
	commands []string

	connect       func(broker Entry) bool // nil: every broker can be reached
	entry         *Entry                  // nil: MQTT is not set up
	flows         map[string]*flow
	lastFlow      int
	notifications map[string]Notification
}

// User is a user of Home Assistant as config/auth/list shows it.
type User struct {
	ID       string   `json:"id"`
	Username string   `json:"username"`
	Name     string   `json:"name"`
	Owner    bool     `json:"is_owner"`
	Active   bool     `json:"is_active"`
	Local    bool     `json:"local_only"`
	System   bool     `json:"system_generated"`
	Groups   []string `json:"group_ids"`
}

// SetMode makes Core work, or not.
func (c *Core) SetMode(m Mode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mode = m
	close(c.change)
	c.change = make(chan struct{})
}

// SetUsers says who config/auth/list lists.
func (c *Core) SetUsers(users ...User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users = users
}

// Commands returns the types of all WebSocket commands so far.
func (c *Core) Commands() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.commands...)
}

// Pushed returns the discovery messages that Core was told of, oldest first.
func (c *Core) Pushed() []Discovery {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Discovery(nil), c.pushed...)
}

// discovered is the Supervisor's push; it is lost while Core is down.
func (c *Core) discovered(d Discovery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == Works || c.mode == Slow {
		c.pushed = append(c.pushed, d)
		c.discoverMQTT(d)
	}
}

// wait waits as long as Core makes one wait and reports whether it answers.
func (c *Core) wait(ctx context.Context) bool {
	c.mu.Lock()
	mode, change := c.mode, c.change
	c.mu.Unlock()
	switch mode {
	case Works:
		return true
	case Slow:
		timer := time.NewTimer(Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
		case <-c.supervisor.gone:
		}
	case Hangs:
		select {
		case <-change:
		case <-ctx.Done():
		case <-c.supervisor.gone:
		}
	}
	return false
}

// serve is the Supervisor's proxy to Core, which looks at the token itself.
func (c *Core) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/core/websocket" {
		c.socket(w, r)
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if t := r.Header.Get("X-Ha-Access"); t != "" {
		token = t
	}
	path := strings.TrimPrefix(r.URL.Path, "/core/api/")
	a := c.supervisor.appByToken(token)
	switch {
	case a == nil || !a.HomeAssistant:
		plain(w, http.StatusUnauthorized)
	case strings.HasPrefix(path, "hassio/") || strings.HasPrefix(path, "hassio_"):
		plain(w, http.StatusForbidden)
	case !c.wait(r.Context()):
		plain(w, http.StatusBadGateway)
	case path == "" || path == "/core/api":
		answer(w, http.StatusOK, map[string]any{"message": "API running."})
	case path == "config":
		answer(w, http.StatusOK, map[string]any{"version": "2026.8.3", "state": "RUNNING", "components": []string{"mqtt"}})
	case strings.HasPrefix(path, "config/config_entries/flow"):
		c.serveFlow(w, r, strings.Trim(strings.TrimPrefix(path, "config/config_entries/flow"), "/"))
	case path == "services/persistent_notification/create" && r.Method == http.MethodPost:
		c.notify(w, r)
	default:
		plain(w, http.StatusNotFound)
	}
}

// socket is Core's WebSocket API.
func (c *Core) socket(w http.ResponseWriter, r *http.Request) {
	if !c.wait(r.Context()) {
		plain(w, http.StatusBadGateway)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.Close() }()
	done := make(chan struct{})
	defer close(done)
	go func() { // ends with this function
		select {
		case <-c.supervisor.gone:
			_ = ws.Close()
		case <-done:
		}
	}()
	const version = "2026.8.3"
	if ws.WriteJSON(map[string]any{"type": "auth_required", "ha_version": version}) != nil {
		return
	}
	var login struct {
		Type  string `json:"type"`
		Token string `json:"access_token"`
	}
	if ws.ReadJSON(&login) != nil {
		return
	}
	if a := c.supervisor.appByToken(login.Token); login.Type != "auth" || a == nil || !a.HomeAssistant {
		_ = ws.WriteJSON(map[string]any{"type": "auth_invalid", "message": "Invalid access"})
		return
	}
	if ws.WriteJSON(map[string]any{"type": "auth_ok", "ha_version": version}) != nil {
		return
	}
	for {
		var command map[string]any
		if ws.ReadJSON(&command) != nil {
			return
		}
		if ws.WriteJSON(c.command(command)) != nil {
			return
		}
	}
}

func (c *Core) command(m map[string]any) map[string]any {
	kind, _ := m["type"].(string)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commands = append(c.commands, kind)
	refuse := func(code, message string) map[string]any {
		return map[string]any{"id": m["id"], "type": "result", "success": false, "error": map[string]any{"code": code, "message": message}}
	}
	switch {
	case strings.HasPrefix(kind, "supervisor/"), strings.HasPrefix(kind, "hassio/"):
		return refuse("unauthorized", "Command not allowed")
	case c.mode != Works && c.mode != Slow:
		return refuse("unknown_error", "Unknown error")
	case kind == "config/auth/list":
		return map[string]any{"id": m["id"], "type": "result", "success": true, "result": append([]User{}, c.users...)}
	case kind == "config_entries/get":
		return map[string]any{"id": m["id"], "type": "result", "success": true, "result": c.entries(m["domain"])}
	case kind == "config_entries/flow/progress":
		return map[string]any{"id": m["id"], "type": "result", "success": true, "result": c.progress()}
	case kind == "ping":
		return map[string]any{"id": m["id"], "type": "pong"}
	}
	return refuse("unknown_command", "Unknown command.")
}
