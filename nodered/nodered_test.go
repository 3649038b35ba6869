package nodered_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hearthmq/nodered"
	"hearthmq/outbound"
)

// editor is as much of Node-RED as its admin API shows.
type editor struct {
	*httptest.Server
	login     bool // adminAuth is on
	basic     bool // a proxy in front wants a name and password
	conflicts int  // so many changes collide with somebody else's
	flows     []map[string]any
	deployed  string // kind of deployment
}

func newEditor(t *testing.T) *editor {
	t.Helper()
	e := &editor{}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux.HandleFunc("GET /auth/login", func(w http.ResponseWriter, _ *http.Request) {
		if e.login {
			reply(w, map[string]any{"type": "credentials", "prompts": []any{}})
			return
		}
		reply(w, map[string]any{})
	})
	mux.HandleFunc("POST /auth/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("username") != "anna" || r.FormValue("password") != "secret" || r.FormValue("client_id") != "node-red-admin" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		reply(w, map[string]any{"access_token": "the-token", "expires_in": 1000, "token_type": "Bearer"})
	})
	allowed := func(w http.ResponseWriter, r *http.Request) bool {
		if e.login && r.Header.Get("Authorization") != "Bearer the-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return false
		}
		return true
	}
	mux.HandleFunc("GET /flows", func(w http.ResponseWriter, r *http.Request) {
		if allowed(w, r) && r.Header.Get("Node-RED-API-Version") == "v2" {
			reply(w, map[string]any{"rev": "r1", "flows": e.flows})
		}
	})
	mux.HandleFunc("POST /flows", func(w http.ResponseWriter, r *http.Request) {
		if !allowed(w, r) {
			return
		}
		if e.conflicts > 0 {
			e.conflicts--
			w.WriteHeader(http.StatusConflict)
			return
		}
		var v struct {
			Rev   string
			Flows []map[string]any
		}
		if json.NewDecoder(r.Body).Decode(&v) != nil || v.Rev != "r1" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		e.flows, e.deployed = v.Flows, r.Header.Get("Node-RED-Deployment-Type")
		w.WriteHeader(http.StatusOK)
		reply(w, map[string]any{"rev": "r2"})
	})
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); e.basic && (user != "anna" || password != "secret") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

var ours = nodered.Broker{Host: "014ce74a-hearthmq", Port: 1883, User: "node-red", Password: "pw"}

func (e *editor) admin(user, password string) nodered.Admin {
	return nodered.Admin{URL: e.URL, User: user, Password: password, Client: e.Client()}
}

func (e *editor) brokers() (list []map[string]any) {
	for _, n := range e.flows {
		if n["type"] == "mqtt-broker" {
			list = append(list, n)
		}
	}
	return list
}

// The broker comes in once, however often it is sent, and what was there stays as it was.
func TestDeploy(t *testing.T) {
	for _, tt := range []struct {
		name           string
		prepare        func(e *editor)
		user, password string
	}{
		{"open", func(*editor) {}, "", ""},
		{"with a login", func(e *editor) { e.login = true }, "anna", "secret"},
		{"behind a proxy with a login", func(e *editor) { e.basic = true }, "anna", "secret"},
		{"while somebody else deploys", func(e *editor) { e.conflicts = 2 }, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEditor(t)
			tt.prepare(e)
			e.flows = []map[string]any{{"id": "f1", "type": "function", "big": json.Number("12345678901234567890")}}
			for _, password := range []string{"first", "second"} {
				b := ours
				b.Password = password
				if err := nodered.Deploy(t.Context(), e.admin(tt.user, tt.password), b); err != nil {
					t.Fatal(err)
				}
				list := e.brokers()
				if len(list) != 1 || list[0]["credentials"].(map[string]any)["password"] != password || list[0]["broker"] != ours.Host || list[0]["port"] != "1883" {
					t.Errorf("brokers %v", list)
				}
			}
			if len(e.flows) != 7 || e.flows[0]["id"] != "f1" || e.deployed != "nodes" {
				t.Errorf("%d nodes, %v, deployed by %q", len(e.flows), e.flows[0], e.deployed)
			}
			for _, n := range e.flows {
				if kind, _ := n["type"].(string); strings.HasPrefix(kind, "mqtt ") && (n["broker"] != e.brokers()[0]["id"] || n["z"] == nil) {
					t.Errorf("node %v", n)
				}
			}
		})
	}
}

// case W20: what is no Node-RED, or not allowed, is refused in words that tell nothing of
// what is there.
func TestDeployFails(t *testing.T) {
	secret := "a banner that nobody may see"
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, secret) }))
	defer other.Close()
	asked := false
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer inner.Close()
	redirect := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusTemporaryRedirect))
	defer redirect.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	e := newEditor(t)
	e.login = true
	client := e.Client()
	for _, tt := range []struct {
		name  string
		admin nodered.Admin
		want  error
	}{
		{"no address", nodered.Admin{URL: "node-red"}, nodered.ErrAddress},
		{"another protocol", nodered.Admin{URL: "file:///etc/passwd"}, nodered.ErrAddress},
		{"credentials in the address", nodered.Admin{URL: "http://a:b@192.168.1.20:1880"}, nodered.ErrAddress},
		{"this machine", nodered.Admin{URL: inner.URL}, outbound.ErrNotAllowed},
		{"the Supervisor", nodered.Admin{URL: "http://supervisor/"}, outbound.ErrNotAllowed},
		{"the Supervisor's address", nodered.Admin{URL: "http://172.30.32.2/"}, outbound.ErrNotAllowed},
		{"cloud metadata", nodered.Admin{URL: "http://169.254.169.254/"}, outbound.ErrNotAllowed},
		{"a decimal address", nodered.Admin{URL: "http://2130706433/"}, outbound.ErrNotAllowed},
		{"something else", nodered.Admin{URL: other.URL, Client: client}, nodered.ErrNotEditor},
		{"it leads elsewhere", nodered.Admin{URL: redirect.URL, Client: client}, nodered.ErrNotEditor},
		{"nobody there", nodered.Admin{URL: gone.URL, Client: client}, nodered.ErrNoAnswer},
		{"no password", e.admin("", ""), nodered.ErrLogin},
		{"wrong password", e.admin("anna", "wrong"), nodered.ErrLogin},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := nodered.Deploy(t.Context(), tt.admin, ours)
			if !errors.Is(err, tt.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	if asked {
		t.Error("a redirect was followed, or this machine was asked")
	}
}

func TestFlow(t *testing.T) {
	text, err := nodered.Flow(ours)
	if err != nil {
		t.Fatal(err)
	}
	var nodes []map[string]any
	if err := json.Unmarshal([]byte(text), &nodes); err != nil || len(nodes) != 5 {
		t.Fatalf("%v: %s", err, text)
	}
	if c := nodes[0]["credentials"].(map[string]any); nodes[0]["type"] != "mqtt-broker" || c["user"] != "node-red" || c["password"] != "pw" || nodes[0]["protocolVersion"] != "4" {
		t.Errorf("%v", nodes[0])
	}
}
