package web

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"hearthmq/ui"
)

// public mounts what is there without a login, on both handlers.
func (s *Server) public(r chi.Router) {
	r.NotFound(s.notFound)
	r.MethodNotAllowed(s.methodNotAllowed)
	r.Method(http.MethodGet, "/healthz", s.Health())
	r.Method(http.MethodGet, "/static/*", ui.Assets())
	r.Get("/metrics", s.metrics)
}

// loginRoutes mounts the way in on the direct port.
func (s *Server) loginRoutes(r chi.Router) {
	r.Get("/login", s.handle(s.loginForm))
	r.Post("/login", s.handle(s.login))
	r.Post("/logout", s.handle(s.logout))
	r.Get("/setup", s.handle(s.setupForm))
	r.Post("/setup", s.handle(s.setup))
}

// pages mounts everything for administrators. User names, Client Identifiers and
// topics never stand in a path: rows have numbers, clients are named in forms.
func (s *Server) pages(r chi.Router) {
	o := overview{s}
	r.Get("/", s.handle(o.show))
	r.Get("/live/overview", s.handle(o.live))

	s.topicsRoutes(r)
	s.retainedRoutes(r)
	s.clientsRoutes(r)

	s.bridgesRoutes(r)
	s.logsRoutes(r)
	s.settingsRoutes(r)
	s.connectRoutes(r)
	s.importRoutes(r)

	u := users{s}
	r.Get("/users", s.handle(u.list))
	r.Post("/users/find", s.handle(u.list))
	r.Get("/users/new", s.handle(u.add))
	r.Post("/users/new", s.handle(u.create))
	r.Post("/users/new/named", s.handle(u.addNamed))
	d := devices{s}
	r.Get("/users/connect", s.handle(d.choose))
	r.Get("/users/connect/{template}", s.handle(d.ask))
	r.Post("/users/connect/{template}", s.handle(d.create))
	r.Get("/users/{id}", s.handle(u.edit))
	r.Post("/users/{id}", s.handle(u.change))
	r.Get("/live/users/{id}/arrival", s.handle(u.arrival))
	r.Post("/users/{id}/rules", s.handle(u.changeRules))
	r.Post("/users/{id}/limits", s.handle(u.changeLimits))
	r.Get("/users/{id}/product", s.handle(d.chooseFor))
	r.Get("/users/{id}/product/{template}", s.handle(d.askFor))
	r.Post("/users/{id}/product/{template}", s.handle(d.giveTo))
	r.Post("/users/{id}/learn", s.handle(u.learn))
	r.Post("/users/{id}/password", s.handle(u.password))
	r.Post("/users/{id}/state", s.handle(u.state))
	r.Get("/users/{id}/delete", s.handle(u.confirmDelete))
	r.Post("/users/{id}/delete", s.handle(u.delete))

	a := rights{s}
	r.Get("/access", s.handle(a.show))
	r.Post("/access/check", s.handle(a.check))
	r.Post("/access/why", s.handle(a.why))
	r.Post("/access/allow", s.handle(a.allowRule))
	r.Get("/access/roles/new", s.handle(a.addRole))
	r.Post("/access/roles/new", s.handle(a.createRole))
	r.Get("/access/roles/{id}", s.handle(a.editRole))
	r.Post("/access/roles/{id}", s.handle(a.changeRole))
	r.Get("/access/roles/{id}/delete", s.handle(a.confirmDeleteRole))
	r.Post("/access/roles/{id}/delete", s.handle(a.deleteRole))
}
