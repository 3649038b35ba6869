package addon_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"hearthmq/addon"
	"hearthmq/broker"
)

// case A25: of all that can come back from /auth one answer alone lets somebody in, and one
// alone says that the password is wrong. With any other who was known is, others are told
// to come back.
func TestHomeAssistantAnswers(t *testing.T) {
	const ok = `{"result":"ok","data":{}}`
	text := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	json := func(status int, body string) http.HandlerFunc { return text(status, "application/json", body) }
	for _, tt := range []struct {
		name         string
		answer       http.HandlerFunc
		known, other broker.Reason
	}{
		{"200", json(200, ok), "", ""},
		{"401", text(401, "text/plain", "401: Unauthorized"), broker.WrongPassword, broker.WrongPassword},
		{"401 that says ok", json(401, ok), broker.WrongPassword, broker.WrongPassword},
		{"200 that says no", json(200, `{"result":"error","message":"no"}`), "", broker.BackendUnavailable},
		{"200 without a word", json(200, ""), "", broker.BackendUnavailable},
		{"200 with nothing", json(200, "null"), "", broker.BackendUnavailable},
		{"200 with another answer", json(200, "true"), "", broker.BackendUnavailable},
		{"200 with a list", json(200, "["+ok+"]"), "", broker.BackendUnavailable},
		{"200 with more than an answer", json(200, ok+ok), "", broker.BackendUnavailable},
		{"200 with a page", text(200, "text/html", "<p>ok</p>"), "", broker.BackendUnavailable},
		{"200 that is too long", json(200, ok+strings.Repeat(" ", 8<<20)), "", broker.BackendUnavailable},
		{"200 that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, ok)
		}, "", broker.BackendUnavailable},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "", broker.BackendUnavailable},
		{"302 to where all is well", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) }, "", broker.BackendUnavailable},
		{"302 that says ok", json(302, ok), "", broker.BackendUnavailable},
		{"307 to where all is well", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect) }, "", broker.BackendUnavailable},
		{"400", json(400, `{"result":"error"}`), "", broker.BackendUnavailable},
		{"403", text(403, "text/plain", "403: Forbidden"), "", broker.BackendUnavailable},
		{"404", text(404, "text/plain", "404: Not Found"), "", broker.BackendUnavailable},
		{"429", text(429, "text/plain", ""), "", broker.BackendUnavailable},
		{"500", json(500, `{"result":"error","error_key":"auth_home_assistant_api_validation_error"}`), "", broker.BackendUnavailable},
		{"500 that says ok", json(500, ok), "", broker.BackendUnavailable},
		{"502", text(502, "text/html", ""), "", broker.BackendUnavailable},
		{"503", text(503, "text/plain", ""), "", broker.BackendUnavailable},
		{"cut off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", broker.BackendUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var trouble, down atomic.Bool
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if down.Load() {
					w.WriteHeader(500)
					return
				}
				if trouble.Load() && r.URL.Path == "/auth" {
					tt.answer(w, r)
					return
				}
				json(200, ok)(w, r)
			}))
			defer srv.Close()
			a := addon.NewHomeAssistantLogin(addon.HomeAssistantLoginConfig{
				Check: addon.NewSupervisor(addon.SupervisorConfig{URL: srv.URL, Token: "t"}).CheckLogin,
				Roles: []string{"everything"}, Log: slog.New(slog.DiscardHandler),
			})
			if got := login(t, a, "anna", "right"); got != "" {
				t.Fatalf("while all is well: %q", got)
			}
			trouble.Store(true)
			if got := login(t, a, "bert", "right"); got != tt.other {
				t.Errorf("who is not known: %q, want %q", got, tt.other)
			}
			if got := login(t, a, "anna", "another"); got != tt.other {
				t.Errorf("another password: %q, want %q", got, tt.other)
			}
			a.Age()
			if got := login(t, a, "anna", "right"); got != tt.known {
				t.Errorf("who is known: %q, want %q", got, tt.known)
			}
			if got := login(t, a, "anna", "right"); got != tt.known {
				t.Errorf("who is known, again: %q, want %q", got, tt.known)
			}
			a.Age() // what was wrong once is not right when nobody can say
			down.Store(true)
			last := broker.Reason("")
			if tt.known != "" {
				last = broker.BackendUnavailable
			}
			if got := login(t, a, "anna", "right"); got != last {
				t.Errorf("who was known, and Home Assistant is down: %q, want %q", got, last)
			}
		})
	}
}
