package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
	"hearthmq/broker/packet"
	"hearthmq/ui"
)

// Bridges is what the pages about bridges need; *bridge.Book is one.
type Bridges interface {
	List(ctx context.Context) ([]bridge.Settings, error)
	Get(ctx context.Context, name string) (bridge.Settings, error)
	Add(ctx context.Context, s bridge.Settings) error
	Change(ctx context.Context, s bridge.Settings) error
	Delete(ctx context.Context, name string) error
	Test(ctx context.Context, s bridge.Settings) error
	Statuses() []bridge.Status
	// Fixed says that a file prescribes the bridges: they can only be looked at.
	Fixed() bool
}

// bridges are the pages about connections to other brokers. The names of bridges are
// the owner's own and harmless (letters, digits, dots, hyphens), so they may stand in paths.
type bridges struct{ *Server }

func (s *Server) bridgesRoutes(r chi.Router) {
	b := bridges{s}
	r.Get("/bridges", s.handle(b.list))
	r.Get("/live/bridges", s.handle(b.live))
	r.Get("/bridges/new", s.handle(b.add))
	r.Post("/bridges/new", s.handle(b.create))
	r.Get("/bridges/edit/{name}", s.handle(b.edit))
	r.Post("/bridges/edit/{name}", s.handle(b.change))
	r.Post("/bridges/edit/{name}/state", s.handle(b.state))
	r.Get("/bridges/edit/{name}/delete", s.handle(b.confirmDelete))
	r.Post("/bridges/edit/{name}/delete", s.handle(b.delete))
}

func bridgePath(name string) string { return "/bridges/edit/" + name }

func (b bridges) list(w http.ResponseWriter, r *http.Request) error {
	v, err := b.rows(r.Context())
	if err != nil {
		return err
	}
	return b.render(w, r, http.StatusOK, ui.BridgesPage(b.view(r, "Bridges", "bridges", "bridges-page"), v))
}

func (b bridges) live(w http.ResponseWriter, r *http.Request) error {
	v, err := b.rows(r.Context())
	if err != nil {
		return err
	}
	return b.renderJSON(w, map[string]any{"bridges": v.Bridges})
}

func (b bridges) rows(ctx context.Context) (ui.BridgesView, error) {
	v := ui.BridgesView{Fixed: b.cfg.Bridges.Fixed()}
	list, err := b.cfg.Bridges.List(ctx)
	if err != nil {
		return v, err
	}
	states := map[string]bridge.Status{}
	for _, st := range b.cfg.Bridges.Statuses() {
		states[st.Name] = st
	}
	for _, s := range list {
		v.Bridges = append(v.Bridges, bridgeRow(s, states[s.Name], time.Now()))
	}
	return v, nil
}

func bridgeRow(s bridge.Settings, st bridge.Status, now time.Time) ui.BridgeRow {
	row := ui.BridgeRow{
		Name: s.Name, To: s.Addresses[0], Topics: ui.Plural(len(s.Topics), "topic", "topics"), On: st.State == bridge.Connected, Problem: st.LastError,
		Traffic: fmt.Sprintf("%s in, %s out", ui.Count(st.In), ui.Count(st.Out)),
	}
	if st.Address != "" {
		row.To = st.Address
	}
	switch st.State {
	case bridge.Connected:
		row.State = "Connected " + ui.Ago(st.Since, now)
		row.Traffic = fmt.Sprintf("%s/s in, %s/s out", ui.Rate(st.InRate), ui.Rate(st.OutRate))
	case bridge.Connecting:
		row.State = "Connecting"
	case bridge.Waiting:
		row.State = fmt.Sprintf("Tries again in %d s", max(int(st.Next.Sub(now).Round(time.Second).Seconds()), 0))
	case bridge.Resting:
		row.State = "Rests until there is something to carry"
	case bridge.Ended:
		row.State = "Ended " + ui.Ago(st.Since, now)
	case bridge.Off, "":
		row.State = "Disabled"
	case bridge.Stopped:
		row.State = "Stopped"
	}
	if st.Backlog > 0 {
		row.Waiting = ui.Plural(st.Backlog, "message", "messages") + " waiting"
	}
	if st.Dropped > 0 {
		row.Waiting = strings.TrimPrefix(row.Waiting+", "+ui.Count(st.Dropped)+" dropped", ", ")
	}
	if len(st.Refused) > 0 {
		row.Problem = "not granted: " + strings.Join(st.Refused[:min(len(st.Refused), 5)], ", ")
	}
	return row
}

func (b bridges) add(w http.ResponseWriter, r *http.Request) error {
	return b.form(w, r, http.StatusOK, b.formView(newBridge(), ""))
}

// newBridge is what a bridge starts from that nobody has said anything of.
func newBridge() bridge.Settings {
	s := bridge.Defaults()
	s.ClientID = "hearthmq-" + strings.ToLower(rand.Text()[:6])
	return s
}

func (b bridges) edit(w http.ResponseWriter, r *http.Request) error {
	s, err := b.stored(r)
	if err != nil {
		return err
	}
	return b.form(w, r, http.StatusOK, b.formView(s, s.Name))
}

func (b bridges) form(w http.ResponseWriter, r *http.Request, status int, f ui.BridgeForm) error {
	title := "Add bridge"
	if f.Stored != "" {
		title = f.Stored
	}
	return b.render(w, r, status, ui.BridgeFormPage(b.view(r, title, "bridges", "forms", "bridge-form"), f))
}

func (b bridges) formView(s bridge.Settings, stored string) ui.BridgeForm {
	topics := make([]string, len(s.Topics))
	for i, t := range s.Topics {
		topics[i] = t.String()
	}
	f := ui.BridgeForm{
		Stored: stored, Revision: s.Revision, Fixed: b.cfg.Bridges.Fixed(), Disabled: s.Disabled,
		Name: s.Name, Addresses: strings.Join(s.Addresses, "\n"), Topics: strings.Join(topics, "\n"), ClientID: s.ClientID,
		Username: s.Username, HasPassword: s.HasPassword, TLS: s.TLS.On, AnyName: s.TLS.AnyName,
		CAFile: s.TLS.CAFile, CertFile: s.TLS.CertFile, KeyFile: s.TLS.KeyFile, DropRetain: s.DropRetain, NotifyThere: s.Notify && !s.NotifyLocal,
		Versions: []ui.OptionView{
			{Value: "5", Label: "MQTT 5", Selected: s.Version == packet.V50},
			{Value: "4", Label: "MQTT 3.1.1", Selected: s.Version == packet.V311},
			{Value: "3", Label: "MQTT 3.1", Selected: s.Version == packet.V31},
		},
		Starts: []ui.OptionView{
			{Value: string(bridge.Automatic), Label: "Always connected", Selected: s.Start == bridge.Automatic},
			{Value: string(bridge.Lazy), Label: "Only while messages wait", Selected: s.Start == bridge.Lazy},
			{Value: string(bridge.Once), Label: "Once, and not again", Selected: s.Start == bridge.Once},
		},
		Users: []ui.OptionView{{Value: "", Label: "All that its topics allow", Selected: s.User == ""}},
	}
	for _, u := range b.cfg.Directory.Users() {
		f.Users = append(f.Users, ui.OptionView{Value: u.Name, Label: "What " + u.Name + " may", Selected: s.User == u.Name})
	}
	return f
}

// stored returns the bridge of the path.
func (b bridges) stored(r *http.Request) (bridge.Settings, error) {
	s, err := b.cfg.Bridges.Get(r.Context(), chi.URLParam(r, "name"))
	if errors.Is(err, bridge.ErrNotFound) {
		err = access.ErrNotFound
	}
	return s, err
}

func (b bridges) create(w http.ResponseWriter, r *http.Request) error {
	s := bridge.Defaults()
	form, problems, err := b.read(r, &s)
	if err != nil {
		return err
	}
	s.Name = strings.TrimSpace(form.Get("name"))
	if form.Get("do") == "test" {
		return b.test(w, r, s, "", form, problems)
	}
	return b.save(w, r, s, "", form, problems, b.cfg.Bridges.Add, "bridge-added")
}

func (b bridges) change(w http.ResponseWriter, r *http.Request) error {
	s, err := b.stored(r)
	if err != nil {
		return err
	}
	form, problems, err := b.read(r, &s)
	if err != nil {
		return err
	}
	if form.Get("do") == "test" {
		return b.test(w, r, s, s.Name, form, problems)
	}
	if s.Revision, err = revision(form); err != nil {
		return err
	}
	return b.save(w, r, s, s.Name, form, problems, b.cfg.Bridges.Change, "bridge-changed")
}

// read puts the form's values into s. What can't be read is a problem of its field.
func (b bridges) read(r *http.Request, s *bridge.Settings) (url.Values, map[string]string, error) {
	if b.cfg.Bridges.Fixed() {
		return nil, nil, badRequest("the bridges are prescribed by a file")
	}
	form, err := parseForm(r)
	if err != nil {
		return nil, nil, err
	}
	s.TLS.On = form.Get("tls") == "yes"
	s.TLS.AnyName = form.Get("any_name") == "yes"
	s.TLS.CAFile, s.TLS.CertFile, s.TLS.KeyFile = strings.TrimSpace(form.Get("ca_file")), strings.TrimSpace(form.Get("cert_file")), strings.TrimSpace(form.Get("key_file"))
	if v, err := strconv.ParseUint(form.Get("version"), 10, 8); err == nil {
		s.Version = packet.Version(v)
	}
	s.ClientID, s.Username = strings.TrimSpace(form.Get("client_id")), form.Get("username")
	s.Password = form.Get("password")
	s.HasPassword = s.HasPassword && s.Username != ""
	s.Start = bridge.Start(form.Get("start"))
	problems := b.setBridge(s, strings.Fields(form.Get("addresses")), form.Get("topics"), form.Get("local_user"))
	s.DropRetain = form.Get("drop_retain") == "yes"
	s.Notify, s.NotifyLocal = true, form.Get("notify_there") != "yes"
	return form, problems, nil
}

// setBridge gives a bridge what has to be read first, and says what can't be, by field.
// Whether it is encrypted is known by then.
func (s *Server) setBridge(to *bridge.Settings, addresses []string, topics, user string) map[string]string {
	problems := map[string]string{}
	to.Addresses = nil
	for _, a := range addresses {
		to.Addresses = append(to.Addresses, withPort(a, to.TLS.On))
	}
	var err error
	if to.Topics, err = bridge.ParseTopics(topics); err != nil {
		problems["topics"] = err.Error()
	}
	if to.User = user; user != "" {
		if _, ok := s.cfg.Directory.User(user); !ok {
			problems["local_user"] = "there is no such user"
		}
	}
	return problems
}

// withPort adds the usual port where there is none.
func withPort(a string, tls bool) string {
	if _, _, err := net.SplitHostPort(a); err == nil {
		return a
	}
	port := "1883"
	if tls {
		port = "8883"
	}
	return net.JoinHostPort(strings.Trim(a, "[]"), port)
}

func (b bridges) save(w http.ResponseWriter, r *http.Request, s bridge.Settings, stored string, form url.Values, problems map[string]string,
	store func(context.Context, bridge.Settings) error, done string,
) error {
	if len(problems) == 0 {
		err := store(r.Context(), s)
		if err == nil {
			return b.redirect(w, r, "/bridges?done="+done)
		}
		if errors.Is(err, bridge.ErrConflict) {
			return access.ErrConflict
		}
		p, ok := errors.AsType[bridge.Problems](err)
		if !ok {
			return err
		}
		problems = p
	}
	return b.form(w, r, http.StatusUnprocessableEntity, b.again(s, stored, form, problems))
}

// again is the form as it was sent, with what is wrong.
func (b bridges) again(s bridge.Settings, stored string, form url.Values, problems map[string]string) ui.BridgeForm {
	f := b.formView(s, stored)
	f.Addresses, f.Topics = form.Get("addresses"), form.Get("topics")
	f.Problems = elsewhere(problems, "name", "addresses", "topics", "client_id", "password", "tls", "local_user")
	return f
}

func (b bridges) test(w http.ResponseWriter, r *http.Request, s bridge.Settings, stored string, form url.Values, problems map[string]string) error {
	if s.Name == "" {
		s.Name = "test"
	}
	if len(problems) == 0 {
		err := b.cfg.Bridges.Test(r.Context(), s)
		p, ok := errors.AsType[bridge.Problems](err)
		switch {
		case ok:
			problems = p
		default:
			s.Name = form.Get("name")
			f := b.again(s, stored, form, nil)
			f.Tested, f.TestError = true, ""
			if err != nil {
				f.TestError = err.Error()
			}
			return b.form(w, r, http.StatusOK, f)
		}
	}
	s.Name = form.Get("name")
	return b.form(w, r, http.StatusUnprocessableEntity, b.again(s, stored, form, problems))
}

// state switches a bridge on or off.
func (b bridges) state(w http.ResponseWriter, r *http.Request) error {
	s, err := b.stored(r)
	if err != nil {
		return err
	}
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	if s.Revision, err = revision(form); err != nil {
		return err
	}
	s.Disabled = form.Get("disabled") == "yes"
	err = b.cfg.Bridges.Change(r.Context(), s)
	if errors.Is(err, bridge.ErrConflict) {
		return access.ErrConflict
	}
	if err != nil {
		return err
	}
	return b.redirect(w, r, "/bridges?done=bridge-changed")
}

func deleteBridge(name string) ui.ConfirmView {
	return ui.ConfirmView{
		ID: "delete-bridge", Title: "Delete " + name + "?", Action: bridgePath(name) + "/delete", Label: "Delete bridge",
		Text: "It is disconnected, and messages that wait for it are dropped. This can't be undone.",
	}
}

func (b bridges) confirmDelete(w http.ResponseWriter, r *http.Request) error {
	s, err := b.stored(r)
	if err != nil {
		return err
	}
	return b.render(w, r, http.StatusOK, ui.ConfirmPage(b.view(r, "Delete bridge", "bridges"), deleteBridge(s.Name), bridgePath(s.Name)))
}

func (b bridges) delete(w http.ResponseWriter, r *http.Request) error {
	s, err := b.stored(r)
	if err != nil {
		return err
	}
	if err := b.cfg.Bridges.Delete(r.Context(), s.Name); err != nil {
		return err
	}
	return b.redirect(w, r, "/bridges?done=bridge-deleted")
}

// noBridges is what there is without a Bridges.
type noBridges struct{}

func (noBridges) List(context.Context) ([]bridge.Settings, error) { return nil, nil }
func (noBridges) Get(context.Context, string) (bridge.Settings, error) {
	return bridge.Settings{}, bridge.ErrNotFound
}
func (noBridges) Add(context.Context, bridge.Settings) error    { return bridge.ErrNotFound }
func (noBridges) Change(context.Context, bridge.Settings) error { return bridge.ErrNotFound }
func (noBridges) Delete(context.Context, string) error          { return bridge.ErrNotFound }
func (noBridges) Test(context.Context, bridge.Settings) error   { return bridge.ErrNotFound }
func (noBridges) Statuses() []bridge.Status                     { return nil }
func (noBridges) Fixed() bool                                   { return true }
