package web

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	"rsc.io/qr"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// devices is the wizard that connects a product: which one, a few questions, and a
// page with all that has to be set there.
type devices struct{ *Server }

func devicePath(id string) string { return "/users/connect/" + id }

func (d devices) choose(w http.ResponseWriter, r *http.Request) error {
	var v ui.ProductsView
	for _, t := range access.Templates() {
		v.Products = append(v.Products, ui.ProductView{Path: devicePath(t.ID), Name: t.Name, About: t.About})
	}
	return d.render(w, r, http.StatusOK, ui.ProductsPage(d.view(r, "Connect a device", "users", "forms"), v))
}

// template returns the template of the path's {template}, or access.ErrNotFound.
func (d devices) template(r *http.Request) (*access.Template, error) {
	return access.FindTemplate(chi.URLParam(r, "template"))
}

func (d devices) ask(w http.ResponseWriter, r *http.Request) error {
	t, err := d.template(r)
	if err != nil {
		return err
	}
	name, values := t.Defaults("")
	if _, ok := t.NamedBy(); ok {
		name = ""
	}
	f := d.form(r, t, name, values)
	if host := d.outsideHost(r); !loopbackName(host) {
		f.Host = host
	}
	return d.askPage(w, r, http.StatusOK, f)
}

func (d devices) askPage(w http.ResponseWriter, r *http.Request, status int, f ui.DeviceForm) error {
	return d.render(w, r, status, ui.DevicePage(d.view(r, "Connect "+f.Product, "users", "forms"), f))
}

func (d devices) form(r *http.Request, t *access.Template, name string, values map[string]string) ui.DeviceForm {
	f := ui.DeviceForm{Path: devicePath(t.ID), Product: t.Name, About: t.About, Name: name, Rules: templateRules(t, name, values)}
	if k, ok := t.NamedBy(); ok {
		f.NameFrom = k.Label
	}
	for _, k := range t.Keys {
		f.Fields = append(f.Fields, ui.FieldView{
			Name: "key-" + k.Key, Label: k.Label, Hint: k.Hint, Value: values[k.Key], Required: true, Mono: true,
			Autocomplete: "off", MaxLength: strconv.Itoa(access.MaxNameBytes),
		})
		if last := &f.Fields[len(f.Fields)-1]; k.OfUser() { // it follows a name that is changed
			last.Required, last.Placeholder = false, "the same as the user name"
			if last.Value == name {
				last.Value = ""
			}
		}
	}
	for _, e := range d.outside(r.Context()) {
		if !e.WebSocket {
			f.Ports = append(f.Ports, portChoice(e))
		}
	}
	return f
}

// templateRules are a template's rules with what its fields say now; a script keeps
// them so while somebody types.
func templateRules(t *access.Template, name string, values map[string]string) []ui.RuleRow {
	fill := []string{"{user}", name}
	for _, k := range t.Keys {
		fill = append(fill, "{"+k.Key+"}", cmp.Or(values[k.Key], name))
	}
	var rows []ui.RuleRow
	for _, text := range t.Rules {
		r, err := access.ParseRule(text)
		if err != nil { // no template has such a rule
			continue
		}
		row := ruleRow(r)
		row.Template, row.Filter = row.Filter, strings.NewReplacer(fill...).Replace(row.Filter)
		rows = append(rows, row)
	}
	return rows
}

func portChoice(e Endpoint) ui.OptionView {
	o := ui.OptionView{Value: strconv.Itoa(e.Port), Label: strconv.Itoa(e.Port)}
	if e.TLS {
		o.Label += " (encrypted)"
	}
	return o
}

// maxHost bounds the name under which a device finds the broker, in bytes.
const maxHost = 253

func (d devices) create(w http.ResponseWriter, r *http.Request) error {
	t, err := d.template(r)
	if err != nil {
		return err
	}
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	n := newDevice{name: strings.TrimSpace(form.Get("name")), host: strings.TrimSpace(form.Get("host")), port: form.Get("port"), values: map[string]string{}}
	for _, k := range t.Keys {
		n.values[k.Key] = strings.TrimSpace(form.Get("key-" + k.Key))
	}
	made, err := d.connectDevice(r.Context(), t, n)
	p := problemsOf(err)
	switch {
	case p["port"] != "":
		return badRequest("port %q", n.port)
	case p != nil:
		return d.again(w, r, t, n, p)
	case err != nil:
		return err
	}
	return d.donePage(w, r, t, made)
}

// hostProblem says what keeps a text from being the address of this machine.
func hostProblem(host string) string {
	if host == "" || len(host) > maxHost || strings.ContainsAny(host, " /@\"'\\<>{};") {
		return "The name or address of this machine, for example homeassistant.local."
	}
	return ""
}

// newDevice is what is said of a device that is to be connected.
type newDevice struct {
	name, host, port string            // port "": nobody chose
	values           map[string]string // by the keys of the template
}

// connectedDevice has a user, whose password it alone knows.
type connectedDevice struct {
	user     access.User
	password string
	at       access.Place
	setup    access.Instructions
	before   bool // the user was there before
}

// connectDevice makes a user for a device. What is wrong with n are access.Problems with
// the keys name, host, port, and those of the template with "key-" in front.
func (s *Server) connectDevice(ctx context.Context, t *access.Template, n newDevice) (made connectedDevice, err error) {
	problems := access.Problems{}
	at, ok := s.place(ctx, n.host, n.port)
	if !ok {
		problems["port"] = "no port that devices connect to"
	}
	if text := hostProblem(n.host); text != "" {
		problems["host"] = text
	}
	by, named := t.NamedBy()
	if named = named && n.name == ""; named {
		n.name = t.UserName(n.values)
	}
	rules, values, err := t.Fill(n.name, n.values)
	fill, wrong := errors.AsType[access.Problems](err)
	if err != nil && !wrong {
		return made, err
	}
	if text := access.ValidName(n.name); text != "" && !(named && fill[by.Key] != "") {
		problems["name"] = text
		for _, k := range t.Keys {
			if k.OfUser() && n.values[k.Key] == "" {
				delete(fill, k.Key) // it is the name's problem
			}
		}
	}
	for key, text := range fill {
		problems["key-"+key] = text
	}
	if len(problems) > 0 {
		return made, problems
	}
	made.at = at
	made.user, made.password, err = s.cfg.Accounts.CreateUser(ctx, access.NewUser{Name: n.name, Generate: true, Note: t.Name, Rules: rules})
	if err != nil {
		return made, err
	}
	made.setup = t.Instructions(made.user.Name, made.password, values, at)
	return made, nil
}

// again shows the form with what is wrong with it.
func (d devices) again(w http.ResponseWriter, r *http.Request, t *access.Template, n newDevice, p access.Problems) error {
	f := d.form(r, t, n.name, n.values)
	shown := []string{"name", "host"}
	for i := range f.Fields {
		f.Fields[i].Problem = p[f.Fields[i].Name]
		if strings.Contains(f.Fields[i].Problem, f.Fields[i].Hint) {
			f.Fields[i].Hint = "" // it is said already
		}
		shown = append(shown, f.Fields[i].Name)
	}
	for i := range f.Ports {
		f.Ports[i].Selected = f.Ports[i].Value == n.port
	}
	f.Host, f.Problems = n.host, elsewhere(p, shown...)
	return d.askPage(w, r, http.StatusUnprocessableEntity, f)
}

// place is the endpoint with that port; without one, for nobody chose, the first.
func (s *Server) place(ctx context.Context, host, port string) (access.Place, bool) {
	for _, e := range s.outside(ctx) {
		if !e.WebSocket && (port == "" || port == strconv.Itoa(e.Port)) {
			return access.Place{Host: host, Port: e.Port, TLS: e.TLS}, true
		}
	}
	return access.Place{Host: host, Port: 1883}, port == ""
}

// donePage is the answer to the POST itself, as secretPage is: it holds the password.
func (d devices) donePage(w http.ResponseWriter, r *http.Request, t *access.Template, made connectedDevice) error {
	user, in, password, at := made.user, made.setup, made.password, made.at
	v := ui.ConnectedView{
		ID: user.ID, Product: t.Name, Name: user.Name, Password: password, Host: at.Host, Port: strconv.Itoa(at.Port), Encrypted: at.TLS, Notes: in.Notes,
		Before: made.before,
	}
	for _, rule := range user.Rules {
		v.Rules = append(v.Rules, ruleRow(rule))
	}
	for i, b := range in.Blocks {
		block := ui.BlockView{ID: fmt.Sprintf("block-%d", i), Title: b.Title, Text: b.Text}
		for j, f := range b.Fields {
			block.Fields = append(block.Fields, ui.CopyView{ID: fmt.Sprintf("field-%d-%d", i, j), Label: f[0], Value: f[1]})
		}
		v.Blocks = append(v.Blocks, block)
	}
	code, err := qr.Encode(in.QR, qr.M)
	if err != nil {
		return fmt.Errorf("QR code: %w", err)
	}
	code.Scale = 4
	v.Code, v.CodeFor = "data:image/png;base64,"+base64.StdEncoding.EncodeToString(code.PNG()), "Address, user name and password, for apps that read them from a code."
	if t.QR != nil {
		v.CodeFor = "Scan it with the camera of the phone: " + t.Name + " takes over everything."
	}
	return d.render(w, r, http.StatusOK, ui.ConnectedPage(d.view(r, "Connect "+t.Name, "users", "arrival"), v))
}
