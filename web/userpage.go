package web

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

func userPath(id int64) string { return "/users/" + strconv.FormatInt(id, 10) }

func (u users) edit(w http.ResponseWriter, r *http.Request) error {
	user, err := u.userByID(r)
	if err != nil {
		return err
	}
	return u.userPage(w, r, http.StatusOK, u.userView(r, user))
}

func (u users) userPage(w http.ResponseWriter, r *http.Request, status int, v ui.UserView) error {
	user, ok := u.cfg.Directory.User(v.Name)
	if ok {
		learn, err := u.learnView(r.Context(), user)
		if err != nil {
			return err
		}
		learn.Problem = v.Learn.Problem
		v.Learn = learn
	}
	return u.render(w, r, status, ui.UserPage(u.view(r, "User", "users", "forms"), v))
}

// userView is the page of a user as it is stored.
func (u users) userView(_ *http.Request, user access.User) ui.UserView {
	now := time.Now()
	v := ui.UserView{
		UserRow: userRow(user, 0, now), Revision: user.Revision, Kind: passwordWords(user),
		Limits:  limitsView(user),
		Created: since(user.Created, now), RoleChoices: u.roleChoices(user.Roles),
		Rules: editor(user.Rules), Delete: deleteUser(user),
	}
	v.Rules.Action, v.Rules.Revision = userPath(user.ID)+"/rules", user.Revision
	v.Rules.Title, v.Rules.Hint = "Own rules", "They count beside those of the roles. A deny beats an allow; the order never matters."
	for s := range u.cfg.Broker.AllSessions() {
		if s.Connected && s.User == user.Name {
			info := u.clientInfo(s)
			v.Sessions = append(v.Sessions, clientRow(&info, now))
		}
	}
	v.Clients = len(v.Sessions)
	return v
}

func passwordWords(u access.User) string {
	switch {
	case u.System:
		return "system user"
	case u.Kind == access.Generated:
		return "generated password"
	case u.Kind == access.Chosen:
		return "chosen password"
	}
	return "no password"
}

// change saves roles, note and the administrator's mark.
func (u users) change(w http.ResponseWriter, r *http.Request) error {
	user, form, err := u.posted(r)
	if err != nil {
		return err
	}
	roles := slices.Clone(form["roles"])
	c := access.UserChange{Roles: &roles}
	if c.Revision, err = revision(form); err != nil {
		return err
	}
	if !user.FromSettings {
		note, admin := form.Get("note"), form.Get("admin") == "yes"
		c.Note, c.Admin = &note, &admin
	}
	err = u.cfg.Accounts.ChangeUser(r.Context(), user.Name, c)
	if p := problemsOf(err); p != nil {
		v := u.userView(r, user)
		v.RoleChoices, v.Problems = u.roleChoices(roles), elsewhere(p, "roles", "note", "admin")
		if c.Note != nil {
			v.Note, v.Admin = *c.Note, *c.Admin
		}
		return u.userPage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	return u.redirect(w, r, userPath(user.ID)+"?done=user-changed")
}

// changeRules saves the user's own rules.
func (u users) changeRules(w http.ResponseWriter, r *http.Request) error {
	user, form, err := u.posted(r)
	if err != nil {
		return err
	}
	posted := readRules(form)
	c := access.UserChange{}
	if c.Revision, err = revision(form); err != nil {
		return err
	}
	rules, err := posted.rules()
	if err == nil {
		c.Rules = &rules
		err = u.cfg.Accounts.ChangeUser(r.Context(), user.Name, c)
	}
	if p := problemsOf(err); p != nil {
		v := u.userView(r, user)
		posted.refill(&v.Rules, firstOf(p["rules"], elsewhere(p)[""]))
		return u.userPage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	return u.redirect(w, r, userPath(user.ID)+"?done=user-changed")
}

// state disables or enables the user.
func (u users) state(w http.ResponseWriter, r *http.Request) error {
	user, form, err := u.posted(r)
	if err != nil {
		return err
	}
	disabled := form.Get("disabled") == "yes"
	c := access.UserChange{Disabled: &disabled}
	if c.Revision, err = revision(form); err != nil {
		return err
	}
	err = u.cfg.Accounts.ChangeUser(r.Context(), user.Name, c)
	if p := problemsOf(err); p != nil {
		v := u.userView(r, user)
		v.Problem = elsewhere(p)[""]
		return u.userPage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	done := "user-enabled"
	if disabled {
		done = "user-disabled"
	}
	return u.redirect(w, r, userPath(user.ID)+"?done="+done)
}
