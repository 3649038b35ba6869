package web

import (
	"io"
	"net/http"
)

// Health answers 200 while all is well, 503 otherwise, without login and
// without details: those are in the log and on the overview (case W25).
func (s *Server) Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		if s.cfg.Healthy != nil {
			if err := s.cfg.Healthy(r.Context()); err != nil {
				s.log.Warn("not healthy", "err", err)
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, "not healthy\n")
				return
			}
		}
		_, _ = io.WriteString(w, "ok\n")
	})
}
