package web

import "github.com/go-chi/chi/v5"

// pages mounts everything that needs a login.
func (s *Server) pages(r chi.Router) {
	s.topicsRoutes(r)
}
