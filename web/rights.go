package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/topic"
	"hearthmq/ui"
)

// rights are the pages under /access: the check, roles, what was denied.
type rights struct{ *Server }

func (a rights) show(w http.ResponseWriter, r *http.Request) error {
	return a.page(w, r, http.StatusOK, ui.CheckForm{Users: a.userChoices("")})
}

func (a rights) page(w http.ResponseWriter, r *http.Request, status int, check ui.CheckForm, notices ...ui.Notice) error {
	v := ui.AccessView{Check: check}
	now := time.Now()
	list, more := fairly(a.cfg.Denials.Recent(), maxDenied)
	for _, n := range list {
		one := a.denialView(n, now)
		if p, ok := a.cfg.Directory.Proposal(n); ok {
			one.Proposal, one.ProposalUser = p.Rule.String(), p.User
		}
		v.Denials = append(v.Denials, one)
	}
	v.MoreDenied = more
	members := map[string]int{}
	for _, u := range a.cfg.Directory.Users() {
		for _, role := range u.Roles {
			members[role]++
		}
	}
	for _, role := range a.cfg.Directory.Roles() {
		v.Roles = append(v.Roles, roleRow(role, members[role.Name]))
	}
	view := a.view(r, "Access", "access")
	view.Notices = append(view.Notices, notices...)
	return a.render(w, r, status, ui.AccessPage(view, v))
}

// anonymousChoice is the value of the choice that stands for clients without a
// user name. No user can be called so: names have no space at the end.
const anonymousChoice = "anonymous "

func (a rights) userChoices(selected string) []ui.OptionView {
	var list []ui.OptionView
	for _, u := range a.cfg.Directory.Users() {
		list = append(list, ui.OptionView{Value: u.Name, Label: u.Name, Selected: u.Name == selected})
	}
	return append(list, ui.OptionView{Value: anonymousChoice, Label: "(anonymous clients)", Selected: selected == anonymousChoice})
}

// check answers "may USER publish to TOPIC?". It is a POST because topics never
// stand in a URL; it changes nothing.
func (a rights) check(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	return a.checked(w, r, form, "")
}

// checked shows a check and its answer; the names of its fields in form have a prefix.
func (a rights) checked(w http.ResponseWriter, r *http.Request, form url.Values, prefix string, notices ...ui.Notice) error {
	get := func(name string) string { return form.Get(prefix + name) }
	f := ui.CheckForm{
		Users: a.userChoices(get("user")), User: get("user"), ClientID: get("client"),
		Action: get("action"), Topic: get("topic"), Listener: get("listener"), From: strings.TrimSpace(get("from")),
	}
	q := access.Question{User: f.User, ClientID: f.ClientID, Name: f.Topic, Action: broker.Publish}
	if q.User == anonymousChoice {
		q.User = ""
	}
	valid := topic.ValidName
	if f.Action == "subscribe" {
		q.Action, valid = broker.Subscribe, topic.ValidFilter
	}
	if a.cfg.Directory.Elsewhere() {
		f.Problem = access.ErrElsewhere.Error() + "."
		return a.page(w, r, http.StatusConflict, f)
	}
	if err := valid(f.Topic); err != nil {
		f.Problem = err.Error()
		if q.Action == broker.Publish && topic.HasWildcard(f.Topic) {
			f.Problem = "A message goes to one topic: + and # are for those who subscribe."
		}
		return a.page(w, r, http.StatusUnprocessableEntity, f)
	}
	if f.From != "" {
		from, err := netip.ParseAddr(f.From)
		if err != nil {
			f.Problem = "The address is not one such as 192.168.1.20."
			return a.page(w, r, http.StatusUnprocessableEntity, f)
		}
		q.Remote = from
	}
	q.Listener = f.Listener
	for s := range a.cfg.Broker.AllSessions() { // what was not said: as the client is connected
		if s.ClientID == q.ClientID && s.Identity != nil && s.User == q.User {
			q.Listener = firstOf(q.Listener, s.Identity.Listener)
			if !q.Remote.IsValid() {
				q.Remote = s.Identity.Remote.Addr()
			}
		}
	}
	f.Answer = a.answer(q)
	return a.page(w, r, http.StatusOK, f, notices...)
}

func (a rights) answer(q access.Question) *ui.AnswerView {
	d := a.cfg.Directory.Check(q)
	who := q.User
	if who == "" {
		who = "An anonymous client"
	}
	verb := "publish to"
	if q.Action == broker.Subscribe {
		verb = "subscribe to"
	}
	v := &ui.AnswerView{Allow: d.Allow, Rule: firstOf(d.Rule.Text, "no rule matches")}
	if d.Allow {
		v.Sentence = who + " may " + verb + " " + q.Name + "."
		v.Details = conditions(q.Action, d)
		return v
	}
	v.Sentence = who + " may not " + verb + " " + q.Name + "."
	u, ok := a.cfg.Directory.User(q.User)
	switch {
	case !ok && q.User != "":
		v.Details = append(v.Details, "There is no such user.")
	case u.Disabled:
		v.Details = append(v.Details, "The user is disabled.")
	default:
		if p, ok := a.cfg.Directory.Propose(q); ok {
			v.Suggest, v.SuggestFor = p.Rule.String(), p.User
		}
	}
	return v
}

// conditions says what comes with a yes.
func conditions(act broker.Action, d broker.Decision) []string {
	var list []string
	if d.Narrowed {
		list = append(list, "Narrowed: only the allowed part of what the filter matches is delivered.")
	}
	if d.MaxQoS < 2 {
		list = append(list, "With QoS 0 only.")
		if d.MaxQoS == 1 {
			list[len(list)-1] = "With QoS 1 at most."
		}
	}
	if act == broker.Publish && d.NoRetain {
		list = append(list, "The message is not retained.")
	}
	if act == broker.Publish && d.RetainLess > 0 {
		list = append(list, fmt.Sprintf("Retained with QoS %d at most.", d.Most(true)))
	}
	return list
}
