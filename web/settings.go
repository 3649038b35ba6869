package web

import (
	"net/http"
	"time"

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

// Certificate is one that HearthMQ shows to clients of its encrypted ports.
type Certificate struct {
	Ports   string // "MQTT, encrypted (8883)"
	File    string
	Names   []string // that it is good for
	Issuer  string
	Begins  time.Time
	Ends    time.Time
	Problem string // why it can't be used, "" when it can
	Days    int    // whole days until it ends
	Soon    bool   // it ends within 30 days; less for one with a short life
	Urgent  bool   // within 7
}

// settings are the pages about what HearthMQ was started with, its backups, and who
// may use its admin and its API.
type settings struct{ *Server }

func (s *Server) settingsRoutes(r chi.Router) {
	p := settings{s}
	r.Get("/settings", s.handle(p.show))
	r.Get("/settings/certificates", s.handle(p.certificates))
	p.tokenRoutes(r)
	p.loginRoutes(r)
	p.backupRoutes(r)
}

func (p settings) page(r *http.Request, modules ...string) ui.PageView {
	return p.view(r, "Settings", "settings", modules...)
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
	return p.render(w, r, http.StatusOK, ui.SettingsPage(p.page(r), v))
}

func (p settings) certificates(w http.ResponseWriter, r *http.Request) error {
	var v ui.CertificatesView
	if p.cfg.Certificates != nil {
		now := time.Now()
		for _, c := range p.cfg.Certificates() {
			row := ui.CertificateView{Ports: c.Ports, File: ui.Visible(c.File), Issuer: ui.Visible(c.Issuer), Problem: ui.Sentence(ui.Visible(c.Problem)), Kind: "success", State: "good"}
			for _, name := range c.Names {
				row.Names = append(row.Names, ui.Visible(name))
			}
			switch left := c.Ends.Sub(now); {
			case c.Problem != "":
				row.Kind, row.State = "error", "can't be used"
			case left <= 0:
				row.Kind, row.State = "error", "has ended"
			case c.Begins.After(now):
				row.Kind, row.State = "error", "does not count yet"
			case c.Soon, c.Urgent:
				row.Kind, row.State = "warning", "ends soon"
			}
			if !c.Ends.IsZero() {
				row.Ends = c.Ends.Local().Format("2 Jan 2006")
				if left := c.Ends.Sub(now); left > 0 {
					row.Ends += ", in " + ui.Span(left)
				}
			}
			v.List = append(v.List, row)
		}
	}
	return p.render(w, r, http.StatusOK, ui.CertificatesPage(p.page(r), v))
}
