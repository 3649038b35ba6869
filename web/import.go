package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/mosquitto"
	"hearthmq/ui"
)

// imports is the page that takes over what a Mosquitto has: files are sent, a dry run
// says what would come of them, and what was looked at is then stored.
type imports struct{ *Server }

// pendingImport is the dry run that was looked at last. It is kept for importTime, in
// memory: passwords are in it.
type pendingImport struct {
	mu    sync.Mutex
	token string
	plan  *mosquitto.Plan
	timer *time.Timer
}

// Limits of what is sent. A home's backup without its history is far smaller.
const (
	maxUpload   = 64 << 20
	maxUploads  = 20
	uploadTime  = 5 * time.Minute
	importTime  = 30 * time.Minute
	importPath  = "/import"
	maxFileName = 200
)

func (s *Server) importRoutes(r chi.Router) {
	i := imports{s}
	r.Get(importPath, s.handle(i.form))
	r.Post(importPath, s.handle(i.look))
	r.Post(importPath+"/apply", s.handle(i.apply))
}

// isUpload reports whether a request may bring more than a form.
func isUpload(r *http.Request) bool {
	return r.Method == http.MethodPost && (r.URL.Path == importPath || r.URL.Path == apiPath+apiImportPath)
}

func (i imports) view(r *http.Request) ui.PageView {
	return i.Server.view(r, "Import from Mosquitto", "settings")
}

func (i imports) form(w http.ResponseWriter, r *http.Request) error {
	return i.render(w, r, http.StatusOK, ui.ImportPage(i.view(r), ""))
}

// look is the dry run.
func (i imports) look(w http.ResponseWriter, r *http.Request) error {
	files, problem, err := uploadsOf(r)
	if err != nil {
		return err
	}
	if problem == "" && len(files) == 0 {
		problem = "choose a file, or paste the app's options"
	}
	if problem != "" {
		return i.render(w, r, http.StatusUnprocessableEntity, ui.ImportPage(i.view(r), problem))
	}
	report, token, err := i.lookImport(r.Context(), files)
	if err != nil {
		return err
	}
	v := importView(report)
	status := http.StatusUnprocessableEntity
	if v.Token = token; token != "" {
		status = http.StatusOK
	}
	return i.render(w, r, status, ui.ImportReportPage(i.view(r), v))
}

// lookImport says what would come of files. token is what has it stored; "" when
// something in them keeps them from being imported.
func (s *Server) lookImport(ctx context.Context, files []mosquitto.Upload) (report *mosquitto.Report, token string, err error) {
	plan := mosquitto.NewPlan(mosquitto.ReadUploads(files), mosquitto.PlanOptions{Now: time.Now()})
	if err := plan.Look(ctx, s.importTarget()); err != nil {
		return nil, "", err
	}
	if plan.Report.OK() {
		token = s.pending.keep(plan)
	}
	return plan.Report, token, nil
}

// importNow stores what a dry run showed, in the name of ctx's person. It fails with
// access.Problems.
func (s *Server) importNow(ctx context.Context, token string) (*mosquitto.Report, mosquitto.Done, error) {
	plan := s.pending.take(token)
	if plan == nil {
		return nil, mosquitto.Done{}, access.Problems{"token": "this was imported already, or too long ago looked at: send the files again"}
	}
	done, err := plan.Apply(ctx, s.importTarget())
	if err != nil {
		return nil, done, err
	}
	s.log.InfoContext(ctx, "imported from Mosquitto", "users", len(done.Accounts.Users), "roles", len(done.Accounts.Roles), "retained", done.Retained, "sessions", done.Sessions, "actor", access.Actor(ctx))
	return plan.Report, done, nil
}

// apply stores what the dry run showed.
func (i imports) apply(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	report, done, err := i.importNow(r.Context(), form.Get("token"))
	if p := problemsOf(err); p != nil {
		return i.render(w, r, http.StatusUnprocessableEntity, ui.ImportPage(i.view(r), strings.Join(slices.Sorted(maps.Values(p)), "; ")))
	}
	if err != nil {
		return err
	}
	v := importView(report)
	v.Done = []string{
		plural(len(done.Accounts.Users), "user", "users"), plural(len(done.Accounts.Roles), "role", "roles"), plural(done.Retained, "retained message", "retained messages"),
		plural(done.Sessions, "session", "sessions"), plural(done.Queued, "message that waits for devices", "messages that wait for devices"),
	}
	return i.render(w, r, http.StatusOK, ui.ImportReportPage(i.view(r), v))
}

// plural writes numbers as the report does.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// importTarget is the running broker.
func (i *Server) importTarget() mosquitto.Target {
	return mosquitto.Target{
		Accounts: i.cfg.Accounts, Directory: i.cfg.Directory,
		Publish: func(ctx context.Context, list []*broker.Message) error {
			_, err := i.cfg.Broker.RestoreRetained(ctx, list, true)
			return err
		},
		AddSessions: i.cfg.Broker.AddSessions, HasSession: i.cfg.Broker.HasSession,
		Retained: func(context.Context) (map[string]bool, error) {
			topics := map[string]bool{}
			for m := range i.cfg.Broker.Retained("#") {
				topics[m.Topic] = true
			}
			return topics, nil
		},
	}
}

// uploadsOf reads the files of a form, and the options that were pasted, as they come:
// nothing is written to disk (case W19). problem is for people.
func uploadsOf(r *http.Request) (list []mosquitto.Upload, problem string, err error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, "", badRequest("upload: %v", err)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return list, "", nil
		}
		if err == nil && len(list) == maxUploads {
			return nil, fmt.Sprintf("at most %d files at a time", maxUploads), nil
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(part) // bounded by bodyLimit
		}
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, fmt.Sprintf("at most %d MB can be sent; for more use the command hearthmq import mosquitto", maxUpload>>20), nil
		}
		if err != nil {
			return nil, "", badRequest("upload: %v", err)
		}
		name := part.FileName()
		if part.FormName() == "options" {
			name = "options pasted"
		}
		if len(data) == 0 || name == "" {
			continue // nothing was chosen
		}
		list = append(list, mosquitto.Upload{Name: name[max(0, len(name)-maxFileName):], Data: data})
	}
}

// keep remembers a plan and returns the token that stands for it.
func (p *pendingImport) keep(plan *mosquitto.Plan) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	token := access.GeneratePassword()
	p.token, p.plan = token, plan
	p.timer = time.AfterFunc(importTime, func() { p.take(token) })
	return token
}

// take hands out the plan once; nil when the token is another's.
func (p *pendingImport) take(token string) *mosquitto.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	if token == "" || token != p.token {
		return nil
	}
	plan := p.plan
	p.token, p.plan = "", nil
	p.timer.Stop()
	return plan
}

// importView is a report as the page shows it.
func importView(r *mosquitto.Report) ui.ImportView {
	texts := func(list []mosquitto.Notice) (lines []string) {
		const most = 200
		for i, n := range list {
			if i == most {
				return append(lines, fmt.Sprintf("%d more", len(list)-most))
			}
			lines = append(lines, n.String())
		}
		return lines
	}
	v := ui.ImportView{Over: r.Over, There: r.There, Changed: texts(r.Changed), Left: texts(r.Left), Broken: texts(r.Broken), Check: r.Check}
	for _, s := range r.Settings {
		v.Settings = append(v.Settings, ui.ImportSetting{Key: s.Key, Value: s.Value})
	}
	return v
}
