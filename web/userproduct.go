package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// chooseFor lists the products whose rights a user can get.
func (d devices) chooseFor(w http.ResponseWriter, r *http.Request) error {
	user, err := d.changeableUser(r)
	if err != nil {
		return err
	}
	v := ui.ProductsView{ForID: user.ID, For: user.Name}
	for _, t := range access.Templates() {
		v.Products = append(v.Products, ui.ProductView{Path: productPath(user, t), Name: t.Name, About: t.About})
	}
	return d.render(w, r, http.StatusOK, ui.ProductsPage(d.view(r, "Rights for a product", "users", "forms"), v))
}

func productPath(user access.User, t *access.Template) string {
	return userPath(user.ID) + "/product/" + t.ID
}

// changeableUser returns the path's user, or access.ErrNotFound for those that stay as they are.
func (d devices) changeableUser(r *http.Request) (access.User, error) {
	user, err := d.userByID(r)
	if err == nil && (user.System || user.FromSettings) {
		err = access.ErrNotFound
	}
	return user, err
}

func (d devices) askFor(w http.ResponseWriter, r *http.Request) error {
	user, err := d.changeableUser(r)
	if err != nil {
		return err
	}
	t, err := d.template(r)
	if err != nil {
		return err
	}
	_, values := t.Defaults(user.Name)
	host := d.outsideHost(r)
	if loopbackName(host) {
		host = ""
	}
	return d.productPage(w, r, http.StatusOK, d.productForm(r, user, t, values, url.Values{"host": {host}}))
}

func (d devices) productPage(w http.ResponseWriter, r *http.Request, status int, f ui.ProductForm) error {
	return d.render(w, r, status, ui.ProductPage(d.view(r, "Rights for "+f.Product, "users", "forms"), f))
}

func (d devices) productForm(r *http.Request, user access.User, t *access.Template, values map[string]string, form url.Values) ui.ProductForm {
	asked := d.form(r, t, user.Name, values)
	for i := range asked.Ports {
		asked.Ports[i].Selected = asked.Ports[i].Value == form.Get("port")
	}
	return ui.ProductForm{
		UserID: user.ID, User: user.Name, Path: productPath(user, t), Product: t.Name, About: t.About,
		Fields: asked.Fields, NewPassword: form.Get("new-password") == "yes", Ports: asked.Ports,
		Host: ui.FieldView{
			Name: "host", Label: "Address of HearthMQ", Value: strings.TrimSpace(form.Get("host")), Placeholder: "homeassistant.local", Mono: true,
			Hint: "The name or address under which the device finds this machine.", Autocomplete: "off", MaxLength: "253",
		},
	}
}

// giveTo shows the rules of the product that the user lacks, or adds them: only those
// that were shown, and a new password only where one is asked for.
func (d devices) giveTo(w http.ResponseWriter, r *http.Request) error {
	user, err := d.changeableUser(r)
	if err != nil {
		return err
	}
	t, err := d.template(r)
	if err != nil {
		return err
	}
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	given := map[string]string{}
	for _, k := range t.Keys {
		given[k.Key] = strings.TrimSpace(form.Get("key-" + k.Key))
	}
	f := d.productForm(r, user, t, given, form)
	at, ok := d.place(r.Context(), f.Host.Value, form.Get("port"))
	if !ok {
		return badRequest("port %q", form.Get("port"))
	}
	bad := false
	if text := hostProblem(f.Host.Value); text != "" && f.NewPassword {
		f.Host.Problem, bad = text, true
	}
	rules, values, err := t.Fill(user.Name, given)
	if p, wrong := errors.AsType[access.Problems](err); wrong {
		bad = true
		for i := range f.Fields {
			name := strings.TrimPrefix(f.Fields[i].Name, "key-")
			f.Fields[i].Problem = p[name]
			delete(p, name)
		}
		f.Problem = elsewhere(p)[""]
	} else if err != nil {
		return err
	}
	if bad {
		return d.productPage(w, r, http.StatusUnprocessableEntity, f)
	}
	missing := access.MissingRules(user.Rules, rules)
	f.Preview = &ui.ProductPreview{Shown: strings.Join(ruleTexts(missing), "\n"), Have: len(rules) - len(missing)}
	for _, rule := range missing {
		f.Preview.Missing = append(f.Preview.Missing, ruleRow(rule))
	}
	// Browsers end the lines of a form's text with \r\n.
	shown := strings.ReplaceAll(form.Get("shown"), "\r\n", "\n")
	add := form.Get("do") == "add"
	if f.Preview.Changed = add && shown != f.Preview.Shown; !add || f.Preview.Changed {
		return d.productPage(w, r, http.StatusOK, f)
	}
	err = d.cfg.Accounts.AddRules(r.Context(), user.Name, missing)
	if p := problemsOf(err); p != nil {
		f.Problem = firstOf(p["rules"], elsewhere(p)[""])
		return d.productPage(w, r, http.StatusUnprocessableEntity, f)
	}
	if err != nil {
		return err
	}
	if !f.NewPassword {
		return d.redirect(w, r, userPath(user.ID)+"?done=rules-added")
	}
	password, err := d.cfg.Accounts.SetPassword(r.Context(), user.Name, "", true)
	if err != nil {
		return err
	}
	if err := (users(d)).keepOwnLogin(w, r, user); err != nil {
		return err
	}
	user.Rules = slices.Concat(user.Rules, missing)
	return d.donePage(w, r, t, connectedDevice{
		user: user, password: password, at: at, setup: t.Instructions(user.Name, password, values, at), before: true,
	})
}
