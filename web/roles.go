package web

import (
	"net/http"
	"slices"
	"strconv"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

func rolePath(id int64) string { return "/access/roles/" + strconv.FormatInt(id, 10) }

func roleRow(role access.Role, users int) ui.RoleRow {
	return ui.RoleRow{
		ID: role.ID, Name: role.Name, Description: role.Description, Builtin: role.Builtin,
		Fixed: role.Builtin && role.Name != access.RoleAnonymous,
		Rules: len(role.Rules), Users: users,
	}
}

// roleByID returns the role of the path's {id}, or access.ErrNotFound.
func (a rights) roleByID(r *http.Request) (access.Role, error) {
	id, err := idOf(r)
	if err != nil {
		return access.Role{}, err
	}
	return a.roleWithID(id)
}

// roleWithID finds a role by the number that stands in paths.
func (s *Server) roleWithID(id int64) (access.Role, error) {
	for _, r := range s.cfg.Directory.Roles() {
		if r.ID == id {
			return r, nil
		}
	}
	return access.Role{}, access.ErrNotFound
}

func (a rights) addRole(w http.ResponseWriter, r *http.Request) error {
	return a.addRolePage(w, r, http.StatusOK, ui.RoleForm{})
}

func (a rights) addRolePage(w http.ResponseWriter, r *http.Request, status int, f ui.RoleForm) error {
	return a.render(w, r, status, ui.NewRolePage(a.view(r, "Add role", "access", "forms"), f))
}

func (a rights) createRole(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	name, description, text := form.Get("name"), form.Get("description"), form.Get("rules")
	rules, err := parseRules(text)
	if err == nil {
		err = a.cfg.Accounts.CreateRole(r.Context(), name, description, rules)
	}
	if p := problemsOf(err); p != nil {
		return a.addRolePage(w, r, http.StatusUnprocessableEntity, ui.RoleForm{
			Name: name, Description: description, Rules: text, Problems: elsewhere(p, "name", "description", "rules"),
		})
	}
	if err != nil {
		return err
	}
	return a.redirect(w, r, "/access?done=role-added")
}

func (a rights) editRole(w http.ResponseWriter, r *http.Request) error {
	role, err := a.roleByID(r)
	if err != nil {
		return err
	}
	return a.rolePage(w, r, http.StatusOK, a.roleView(role))
}

func (a rights) rolePage(w http.ResponseWriter, r *http.Request, status int, v ui.RoleView) error {
	return a.render(w, r, status, ui.RolePage(a.view(r, "Role", "access", "forms"), v))
}

func (a rights) roleView(role access.Role) ui.RoleView {
	v := ui.RoleView{Revision: role.Revision, Rules: editor(role.Rules), Delete: deleteRole(role)}
	for _, u := range a.cfg.Directory.Users() {
		if slices.Contains(u.Roles, role.Name) {
			v.Members = append(v.Members, ui.OptionView{Value: strconv.FormatInt(u.ID, 10), Label: u.Name})
		}
	}
	v.RoleRow = roleRow(role, len(v.Members))
	v.Rules.Action, v.Rules.Revision = rolePath(role.ID), role.Revision
	v.Rules.Title, v.Rules.Hint = "Rules", "A deny beats an allow; the order never matters. Where nothing matches, the answer is no."
	return v
}

// changeRole saves the description, or the rules: the page has a form for each.
func (a rights) changeRole(w http.ResponseWriter, r *http.Request) error {
	role, err := a.roleByID(r)
	if err != nil {
		return err
	}
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	rev, err := revision(form)
	if err != nil {
		return err
	}
	if form.Get("form") == "description" {
		description := form.Get("description")
		err := a.cfg.Accounts.ChangeRole(r.Context(), role.Name, rev, description, role.Rules)
		if p := problemsOf(err); p != nil {
			v := a.roleView(role)
			v.Description, v.Problems = description, elsewhere(p, "description")
			return a.rolePage(w, r, http.StatusUnprocessableEntity, v)
		}
		if err != nil {
			return err
		}
		return a.redirect(w, r, rolePath(role.ID)+"?done=role-changed")
	}
	posted := readRules(form)
	rules, err := posted.rules()
	if err == nil {
		err = a.cfg.Accounts.ChangeRole(r.Context(), role.Name, rev, role.Description, rules)
	}
	if p := problemsOf(err); p != nil {
		v := a.roleView(role)
		posted.refill(&v.Rules, firstOf(p["rules"], elsewhere(p)[""]))
		return a.rolePage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	return a.redirect(w, r, rolePath(role.ID)+"?done=role-changed")
}

func deleteRole(role access.Role) ui.ConfirmView {
	return ui.ConfirmView{
		ID: "delete-role", Title: "Delete the role " + role.Name + "?", Action: rolePath(role.ID) + "/delete", Label: "Delete role",
		Text: "Users that have it lose its rules at once. This can't be undone.",
	}
}

func (a rights) confirmDeleteRole(w http.ResponseWriter, r *http.Request) error {
	role, err := a.roleByID(r)
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, ui.ConfirmPage(a.view(r, "Delete role", "access"), deleteRole(role), rolePath(role.ID)))
}

func (a rights) deleteRole(w http.ResponseWriter, r *http.Request) error {
	role, err := a.roleByID(r)
	if err != nil {
		return err
	}
	err = a.cfg.Accounts.DeleteRole(r.Context(), role.Name)
	if p := problemsOf(err); p != nil {
		v := a.roleView(role)
		v.Problems = elsewhere(p)
		return a.rolePage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	return a.redirect(w, r, "/access?done=role-deleted")
}
