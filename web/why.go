package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/ui"
)

// maxAbout bounds the name in the question why a device gets nothing, in bytes.
const maxAbout = 512

func (s *Server) explainer() *access.Explainer {
	if e := s.cfg.Explainer; e != nil {
		return e
	}
	return &access.Explainer{Directory: s.cfg.Directory, Denials: s.cfg.Denials, Sessions: s.cfg.Broker, Bans: s.cfg.Bans, Topics: s.cfg.Feed, Ports: func() string { return Ports(s.cfg.Endpoints) }}
}

// Ports is a list of ports in words.
func Ports(all []Endpoint) string {
	words := make([]string, len(all))
	for i, e := range all {
		words[i] = fmt.Sprintf("%d (%s)", e.Port, e.Label)
	}
	return strings.Join(words, ", ")
}

// why answers why a device gets nothing. It is a POST because names of clients never
// stand in a URL; it changes nothing.
func (a rights) why(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	return a.found(w, r, form.Get("about"))
}

// found shows why a device is silent.
func (a rights) found(w http.ResponseWriter, r *http.Request, about string, notices ...ui.Notice) error {
	if about == "" || len(about) > maxAbout {
		return badRequest("about has 1 to %d bytes", maxAbout)
	}
	now, shown, users := time.Now(), map[string]bool{}, map[string]bool{}
	v := ui.WhyView{About: about, Known: a.known()}
	for _, f := range a.explainer().Why(about).Findings {
		one := ui.FindingView{
			Good: f.Cause == access.AllWell, Text: f.Text, Advice: f.Advice, Rule: f.Rule, Count: f.Count,
			Ago: since(f.Last, now), Proposal: f.Proposal, ProposalUser: f.ProposalUser,
		}
		switch f.Cause {
		case access.Cause(broker.UnknownUser):
			if _, there := a.cfg.Directory.User(f.User); !there && access.ValidName(f.User) == "" && !users[f.User] && !a.cfg.Directory.Elsewhere() {
				one.AddUser, users[f.User] = f.User, true
			}
		case access.Cause(broker.Blocked):
			one.Blocked = true
		case access.NothingSent:
			if where := cmp.Or(f.Near, f.Topic); where != "" {
				one.TopicLink = topicLink(where)
			}
		case access.NeverSeen:
			one.Ask = f.Near
		case access.NoRights:
			if user, ok := a.cfg.Directory.User(f.User); ok {
				one.RightsOf = user.ID
			}
		default:
			one.Near = f.Near
		}
		if _, _, err := a.cfg.Broker.Session(f.ClientID); err == nil && !shown[f.ClientID] {
			one.ClientID, shown[f.ClientID] = f.ClientID, true
		}
		if user, ok := a.cfg.Directory.User(f.User); ok && f.Cause != access.AllWell && !users[f.User] && !a.cfg.Directory.Elsewhere() {
			one.UserID, users[f.User] = user.ID, true
		}
		v.Findings = append(v.Findings, one)
	}
	view := a.view(r, "Why is my device silent?", "access")
	view.Notices = append(view.Notices, notices...)
	return a.render(w, r, http.StatusOK, ui.WhyPage(view, v))
}

// maxKnown bounds the names that the browser proposes.
const maxKnown = 200

// known are the names that a question may be about.
func (s *Server) known() []string {
	var names []string
	for _, session := range s.cfg.Broker.Sessions() {
		names = append(names, session.ClientID)
	}
	for _, u := range s.cfg.Directory.Users() {
		names = append(names, u.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), maxKnown)]
}

// allowRule adds the one rule that a check, a denial or a finding proposed, and shows
// what was asked once more: names of clients and topics never stand in a URL that it
// could lead to. user "" is the role of clients without a user name.
func (a rights) allowRule(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	rule, err := access.ParseRule(form.Get("rule"))
	if err != nil {
		return badRequest("rule: %v", err)
	}
	err = a.cfg.Accounts.AddRules(r.Context(), form.Get("user"), []access.Rule{rule})
	if p, ok := errors.AsType[access.Problems](err); ok {
		return badRequest("%v", p)
	}
	if err != nil {
		return err
	}
	done := "rule-added"
	if rule.Scope != access.ScopePublish {
		done = "rule-added-subscribe"
	}
	said, _ := doneText(done)
	notice := ui.Notice{Kind: "success", Text: said}
	switch {
	case form.Get("about") != "":
		return a.found(w, r, form.Get("about"), notice)
	case form.Get("check-topic") != "":
		return a.checked(w, r, form, "check-", notice)
	case form.Get("back") == "/access#denied":
		return a.redirect(w, r, "/access?done="+done+"#denied")
	}
	return a.redirect(w, r, "/access?done="+done)
}
