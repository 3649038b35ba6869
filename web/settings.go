package web

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"hearthmq/ui"
)

// Setting is one setting of the start for people. It holds no secret.
type Setting struct {
	Key     string
	Group   string // settings of a group follow each other
	Value   string
	Default string
	Origin  string // where it was set; SettingDefault: nowhere
	Meaning string // with `code` in it
}

// SettingDefault is the Origin of a setting that nobody has set.
const SettingDefault = "default"

// settings are the pages about what HearthMQ was started with.
type settings struct{ *Server }

func (s *Server) settingsRoutes(r chi.Router) {
	p := settings{s}
	r.Get("/settings", s.handle(p.show))
}

func (p settings) show(w http.ResponseWriter, r *http.Request) error {
	v := ui.SettingsView{App: principalOf(r.Context()).embedded}
	for _, s := range p.cfg.Settings {
		if n := len(v.Groups); n == 0 || v.Groups[n-1].Title != s.Group {
			v.Groups = append(v.Groups, ui.SettingGroup{Title: s.Group})
		}
		row := ui.SettingRow{Key: s.Key, Value: ui.Visible(s.Value), Default: s.Default, Meaning: s.Meaning}
		if s.Origin != SettingDefault {
			row.Origin = s.Origin
		}
		g := &v.Groups[len(v.Groups)-1]
		g.Rows = append(g.Rows, row)
	}
	return p.render(w, r, http.StatusOK, ui.SettingsPage(p.view(r, "Settings", "settings"), v))
}
