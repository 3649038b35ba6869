package web

import (
	"log/slog"
	"net/http"
	"time"
)

// HTTPServer returns a server for one of the handlers with the limits that a
// server in the open needs (case W23). There is no time limit for answers:
// WebSockets last, and pages are small. HTTP/2 comes with TLS alone.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
