package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"hearthmq/ui"
)

// maxBody bounds what a request may send, in bytes.
const maxBody = 1 << 20

// maxStrange is that for who has not said who it is: a login, or the making of the first
// administrator. Strangers may come on many connections at a time.
const maxStrange = 16 << 10

// requestID gives each request a name of its own. What a client sends as its
// name is not believed.
func requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b [6]byte
		_, _ = rand.Read(b[:]) // never fails
		ctx := context.WithValue(r.Context(), middleware.RequestIDKey, hex.EncodeToString(b[:]))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// headers sets what every answer carries, errors included (case W8). frames is
// who may show the admin in a frame: 'self' behind ingress, 'none' on the direct port (case W24).
func headers(frames string, direct bool) func(http.Handler) http.Handler {
	csp := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors " + frames + "; require-trusted-types-for 'script'"
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Security-Policy", csp)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "same-origin")
			h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			if direct {
				h.Set("Cross-Origin-Opener-Policy", "same-origin")
				h.Set("X-Frame-Options", "DENY")
			}
			next.ServeHTTP(w, r)
		})
	}
}

// accessLog notes each request at Debug. Queries are left out: the set-up link has its token there.
func (s *Server) accessLog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r)
		level := slog.LevelDebug
		if background(r) {
			level -= 4 // one every few seconds for each open page
		}
		s.log.Log(r.Context(), level, "request", "request", middleware.GetReqID(r.Context()), "method", r.Method, "path", r.URL.Path,
			"status", ww.Status(), "bytes", ww.BytesWritten(), "took", time.Since(start), "remote", r.RemoteAddr)
	})
}

// recoverer turns a panic into a 500 and a line in the log.
func (s *Server) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v) // net/http's own way to hang up
			}
			s.log.Error("request panicked", "request", middleware.GetReqID(r.Context()), "method", r.Method,
				"path", r.URL.Path, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
			if !strings.EqualFold(r.Header.Get("Connection"), "Upgrade") {
				s.internalError(w, r)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// bodyTime is how long a request's body may take.
const bodyTime = 30 * time.Second

// bodyLimit bounds how much is read of a request, and for how long (case W23).
func bodyLimit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			// Not every ResponseWriter knows deadlines; those of net/http do, and
			// they start afresh with the connection's next request.
			most, span := int64(maxBody), bodyTime
			switch {
			case isUpload(r):
				most, span = maxUpload, uploadTime
			case r.URL.Path == restorePath, r.URL.Path == apiPath+apiRestorePath: // read by an administrator's request alone
				most, span = maxBackup, backupTime
			}
			token := bearer(r) != "" && strings.HasPrefix(r.URL.Path, apiPath+"/") // looked at before the body is
			if !principalOf(r.Context()).admin && !token {
				most = maxStrange
			}
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(span))
			r.Body = http.MaxBytesReader(w, r.Body, most)
		}
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses changes that another site asks a browser for, and changes
// asked for by something that is no browser: that is what the API is for (case W9).
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, apiPath+"/") {
			writeProblem(w, http.StatusForbidden, "without a token, changes have to come from HearthMQ's own pages")
			return
		}
		s.errorPage(w, r, http.StatusForbidden, ui.ErrorView{
			Icon: "block", Title: "Refused",
			Text: "This came from another site, or from a browser that does not say where it comes from, so nothing was changed. Open the page again and retry.",
			Back: "/", BackLabel: "To the overview",
		})
	})
	check := http.NewCrossOriginProtection()
	check.SetDenyHandler(refuse)
	checked := check.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
		default:
			if strings.HasPrefix(r.URL.Path, apiPath+"/") && (bearer(r) != "" || !principalOf(r.Context()).embedded) {
				// No browser adds a token by itself, and nothing else opens the API there.
				next.ServeHTTP(w, r)
				return
			}
			if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
				refuse(w, r)
				return
			}
		}
		checked.ServeHTTP(w, r)
	})
}

// background reports whether no person waits for the answer: our own modules
// asking for news. Such requests do not keep a login from becoming idle.
func background(r *http.Request) bool {
	return r.URL.Path == "/ws" || strings.HasPrefix(r.URL.Path, "/live/")
}
