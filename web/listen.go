package web

import (
	"log/slog"
	"net/http"
	"time"
)

// HTTPServer returns a server for one of the handlers with the limits that a
// server in the open needs (case W23). There is no time limit for answers:
// WebSockets last, and pages are small. It speaks HTTP/1.1, over TLS too: released
// binaries are built without HTTP/2.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnState:         noteState,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
