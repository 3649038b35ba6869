package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/ui"
)

// limitFields are a user's limits in the words of the form, under the names that
// access.ParseLimits knows.
var limitFields = []struct{ name, label, hint string }{
	{"connections", "Connections at a time", ""},
	{"connects", "New connections a second", "Further ones are refused until it is their turn."},
	{"messages", "Messages a second", "Of each connection. Who is faster is read more slowly; nothing is lost."},
	{"bytes", "Bytes a second", "Of each connection, in the same way."},
	{"packet", "Largest packet in bytes", ""},
	{"subscriptions", "Subscriptions", "Of one client."},
	{"inflight", "Messages under way", "With QoS 1 and 2, not acknowledged yet."},
	{"queued", "Messages that wait", "For a client that is away or slow."},
	{"queued_bytes", "Bytes that wait", ""},
	{"retained", "Retained messages", "That this user's clients published last."},
	{"retained_bytes", "Bytes in retained messages", ""},
	{"levels", "Topic levels", "Of what it publishes and subscribes to, and of its will."},
}

// limitsView is the form as the user is stored.
func limitsView(user access.User) ui.LimitsView {
	values := map[string]string{}
	for _, word := range strings.Fields(access.FormatLimits(user.Limits)) {
		name, value, _ := strings.Cut(word, "=")
		values[name] = value
	}
	v := ui.LimitsView{Networks: access.FormatNetworks(user.Networks), Open: len(values) > 0}
	for _, f := range limitFields {
		v.Fields = append(v.Fields, ui.FieldView{
			Name: "limit-" + f.name, Label: f.label, Hint: f.hint, Value: values[f.name], Placeholder: "no limit", Decimal: true,
			Autocomplete: "off", MaxLength: "24",
		})
	}
	return v
}

// changeLimits saves how much the user may take, and from where.
func (u users) changeLimits(w http.ResponseWriter, r *http.Request) error {
	user, form, err := u.posted(r)
	if err != nil {
		return err
	}
	var c access.UserChange
	if c.Revision, err = revision(form); err != nil {
		return err
	}
	limits, networks, v, bad := readLimits(form, user)
	if c.Limits, c.Networks = &limits, &networks; !bad {
		err = u.cfg.Accounts.ChangeUser(r.Context(), user.Name, c)
	}
	if p := problemsOf(err); p != nil || bad {
		page := u.userView(r, user)
		page.Limits = v
		page.Problem = elsewhere(p)[""]
		return u.userPage(w, r, http.StatusUnprocessableEntity, page)
	}
	if err != nil {
		return err
	}
	return u.redirect(w, r, userPath(user.ID)+"?done=limits-changed")
}

// readLimits reads what was sent for a user, and says in the form what is bad with it.
func readLimits(form url.Values, user access.User) (limits broker.Limits, networks []netip.Prefix, v ui.LimitsView, bad bool) {
	v = limitsView(user)
	v.Networks = form.Get("networks")
	var words []string
	for i := range v.Fields {
		f := &v.Fields[i]
		if f.Value = strings.TrimSpace(form.Get(f.Name)); f.Value == "" {
			continue
		}
		word := strings.TrimPrefix(f.Name, "limit-") + "=" + f.Value
		if _, err := access.ParseLimits(word); err != nil || strings.ContainsAny(f.Value, " ,\t\r\n") { // one limit, not several
			f.Problem, bad, v.Open = "A number above 0, or nothing for no limit.", true, true
			continue
		}
		words = append(words, word)
	}
	limits, _ = access.ParseLimits(strings.Join(words, " ")) // each of them was read
	networks, err := access.ParseNetworks(v.Networks)
	if err != nil {
		v.Problem, bad = err.Error(), true
	}
	return limits, networks, v, bad
}
