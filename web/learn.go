package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/ui"
)

// learnView shows what was learnt of a user so far.
func (u users) learnView(ctx context.Context, user access.User) (ui.LearnView, error) {
	v := ui.LearnView{Path: userPath(user.ID)}
	if user.System || user.FromSettings {
		return v, nil
	}
	l, err := u.cfg.Accounts.Learned(ctx, user.Name)
	if errors.Is(err, access.ErrNotFound) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	v.Begun, v.Running, v.Open, v.Cut, v.Publish, v.Subscribe = true, l.Running, l.Open, l.Cut, l.Publish, l.Subscribe
	v.Until = l.Until.Local().Format("2 Jan 2006 15:04")
	for _, r := range l.Rules {
		v.Rules = append(v.Rules, ruleRow(r))
	}
	v.HasRights = u.cfg.Directory.HasRules(user)
	v.Allowed = v.HasRights && !(l.Running && l.Open) && !u.lacks(user, broker.Publish, l.Publish) && !u.lacks(user, broker.Subscribe, l.Subscribe)
	return v, nil
}

// lacks reports whether a rule could allow the user more of what it did.
func (u users) lacks(user access.User, act broker.Action, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, ok := u.cfg.Directory.Propose(access.Question{User: user.Name, Action: act, Name: name})
		return ok
	})
}

// learn begins to watch the user, or does with what was learnt what the button says.
func (u users) learn(w http.ResponseWriter, r *http.Request) error {
	user, form, err := u.posted(r)
	if err != nil {
		return err
	}
	done := ""
	switch form.Get("do") {
	case "":
		span, e := time.ParseDuration(form.Get("for"))
		if e != nil {
			return badRequest("for %q", form.Get("for"))
		}
		done, err = "learning", u.cfg.Accounts.StartLearning(r.Context(), user.Name, span, form.Get("open") == "yes")
	case "add", "replace":
		done, err = "learnt", u.cfg.Accounts.AcceptLearned(r.Context(), user.Name, form.Get("do") == "replace")
	case "look":
		return u.redirect(w, r, userPath(user.ID)+"#learn")
	case "drop":
		done, err = "learning-dropped", u.cfg.Accounts.DropLearning(r.Context(), user.Name)
	default:
		return badRequest("do %q", form.Get("do"))
	}
	if p := problemsOf(err); p != nil {
		v := u.userView(r, user)
		v.Learn.Problem = elsewhere(p)[""]
		return u.userPage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	return u.redirect(w, r, userPath(user.ID)+"?done="+done+map[string]string{"learning": "#learn"}[done])
}
