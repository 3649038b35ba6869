package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// users are the pages about users: list, add, delete. userpage.go has the page of one.
type users struct{ *Server }

// usersRows is how many users a page shows.
const usersRows = 100

// list shows the users. A POST narrows them down and changes nothing: what is looked
// for stays out of URLs.
func (u users) list(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	v := ui.UsersView{Text: strings.TrimSpace(form.Get("text"))}
	all := u.cfg.Directory.Users()
	v.Any = len(all)
	if v.Text != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(x access.User) bool { return !userMatches(x, v.Text) })
	}
	v.All = len(all)
	v.Page = min(days(form.Get("page")), max(0, (len(all)-1)/usersRows))
	v.First = v.Page * usersRows
	connected := u.connectedByUser()
	u.fileUsers(&v, connected)
	now := time.Now()
	for _, user := range all[v.First:min(len(all), v.First+usersRows)] {
		v.Users = append(v.Users, userRow(user, connected[user.Name], now))
	}
	return u.render(w, r, http.StatusOK, ui.UsersPage(u.view(r, "Users", "users"), v))
}

// fileUsers adds those of Mosquitto's files to the first page of the list.
func (u users) fileUsers(v *ui.UsersView, connected map[string]int) {
	if u.cfg.FileUsers == nil {
		return
	}
	list := u.cfg.FileUsers()
	v.Files = len(list)
	for _, f := range list {
		if !strings.Contains(strings.ToLower(f.Name+"\n"+f.Place), strings.ToLower(v.Text)) {
			continue
		}
		if len(v.FileUsers) == usersRows {
			v.MoreFiles++
			continue
		}
		v.FileUsers = append(v.FileUsers, ui.FileUser{
			Name: f.Name, Place: f.Place, Listeners: strings.Join(f.Listeners, ", "), Rules: f.Rules, NoRules: f.NoRules, Clients: connected[f.Name],
		})
	}
}

// userMatches finds a piece of a name, a note or a role in either case.
func userMatches(u access.User, text string) bool {
	all := strings.ToLower(u.Name + "\n" + u.Note + "\n" + strings.Join(u.Roles, "\n"))
	return strings.Contains(all, strings.ToLower(text))
}

func userRow(u access.User, clients int, now time.Time) ui.UserRow {
	return ui.UserRow{
		ID: u.ID, Name: u.Name, Note: u.Note, Roles: u.Roles, OwnRules: len(u.Rules),
		Admin: u.Admin, Disabled: u.Disabled, System: u.System, FromSettings: u.FromSettings,
		Clients: clients, Changed: since(u.Changed, now),
	}
}

// since is how long ago something was, "" when nobody knows: users of the settings have no dates.
func since(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ui.Ago(t, now)
}

// connectedByUser counts the connected clients of each user.
func (s *Server) connectedByUser() map[string]int {
	n := map[string]int{}
	for session := range s.cfg.Broker.AllSessions() {
		if session.Connected {
			n[session.User]++
		}
	}
	return n
}

// userByID returns the user of the path's {id}, or access.ErrNotFound.
func (s *Server) userByID(r *http.Request) (access.User, error) {
	id, err := idOf(r)
	if err != nil {
		return access.User{}, err
	}
	return s.userWithID(id)
}

// roleChoices lists all roles as check boxes.
func (s *Server) roleChoices(selected []string) []ui.OptionView {
	var list []ui.OptionView
	for _, role := range s.cfg.Directory.Roles() {
		has := slices.Contains(selected, role.Name)
		if role.Name == access.RoleAnonymous && !has {
			continue // meant for those without a user
		}
		list = append(list, ui.OptionView{
			Value: role.Name, Label: role.Name, Hint: role.Description, Selected: has,
		})
	}
	return list
}

func (u users) add(w http.ResponseWriter, r *http.Request) error {
	return u.addPage(w, r, http.StatusOK, ui.UserForm{Roles: u.roleChoices(nil), Limits: limitsView(access.User{})})
}

// addNamed asks for a user whose name somebody tried to log in with. It is a POST
// because such names never stand in a URL; it changes nothing.
func (u users) addNamed(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	return u.addPage(w, r, http.StatusOK, ui.UserForm{Name: form.Get("name"), Roles: u.roleChoices(nil), Limits: limitsView(access.User{})})
}

func (u users) addPage(w http.ResponseWriter, r *http.Request, status int, f ui.UserForm) error {
	return u.render(w, r, status, ui.NewUserPage(u.view(r, "Add user", "users", "forms"), f))
}

func (u users) create(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	n := access.NewUser{
		Name: form.Get("name"), Note: form.Get("note"), Roles: form["roles"],
		Admin: form.Get("admin") == "yes", Generate: form.Get("password-kind") != "choose",
	}
	if !n.Generate {
		n.Password = form.Get("password")
	}
	limits, networks, v, bad := readLimits(form, access.User{})
	n.Limits, n.Networks = limits, networks
	var user access.User
	generated := ""
	if bad {
		err = u.cfg.Accounts.CheckNewUser(n) // all that is wrong is said at once
	} else {
		user, generated, err = u.cfg.Accounts.CreateUser(r.Context(), n)
	}
	if p := problemsOf(err); p != nil || bad {
		return u.addPage(w, r, http.StatusUnprocessableEntity, ui.UserForm{
			Name: n.Name, Note: n.Note, Choose: !n.Generate, Admin: n.Admin,
			Roles: u.roleChoices(n.Roles), Limits: v, Problems: elsewhere(p, "name", "password", "roles", "note"),
		})
	}
	if err != nil {
		return err
	}
	if generated != "" {
		return u.secretPage(w, r, user, generated, true)
	}
	return u.redirect(w, r, "/users?done=user-added")
}

// secretPage is the answer to the POST itself: the password is in no URL and in
// no store, so there is no page to redirect to.
func (u users) secretPage(w http.ResponseWriter, r *http.Request, user access.User, password string, isNew bool) error {
	title := "New password"
	if isNew {
		title = "User added"
	}
	return u.render(w, r, http.StatusOK, ui.SecretPage(u.view(r, title, "users", "arrival"), ui.SecretView{
		ID: user.ID, Name: user.Name, Password: password, New: isNew, Host: hostOf(r), Local: loopbackName(hostOf(r)), Endpoints: u.endpoints(), NoRights: !u.cfg.Directory.HasRules(user),
	}))
}

func (u users) password(w http.ResponseWriter, r *http.Request) error {
	user, form, err := u.posted(r)
	if err != nil {
		return err
	}
	generate := form.Get("password-kind") != "choose"
	password := ""
	if !generate {
		password = form.Get("password")
	}
	generated, err := u.cfg.Accounts.SetPassword(r.Context(), user.Name, password, generate)
	if p := problemsOf(err); p != nil {
		v := u.userView(r, user)
		v.Password = ui.PasswordView{Choose: !generate, Problems: elsewhere(p, "password")}
		return u.userPage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	if err := u.keepOwnLogin(w, r, user); err != nil {
		return err
	}
	if generated != "" {
		return u.secretPage(w, r, user, generated, false)
	}
	return u.redirect(w, r, userPath(user.ID)+"?done=password-changed")
}

// keepOwnLogin renews the login of an administrator who changed the own
// account: the change made all its logins worthless, also this one.
func (u users) keepOwnLogin(w http.ResponseWriter, r *http.Request, before access.User) error {
	p := principalOf(r.Context())
	if p.embedded || p.name != before.Name {
		return nil
	}
	now, ok := u.cfg.Directory.User(before.Name)
	if !ok || !now.Admin || now.Disabled {
		return nil
	}
	return u.logins.start(w, r, now)
}

// posted returns the path's user and the form.
func (u users) posted(r *http.Request) (access.User, url.Values, error) {
	user, err := u.userByID(r)
	if err != nil {
		return access.User{}, nil, err
	}
	form, err := parseForm(r)
	return user, form, err
}

func (u users) confirmDelete(w http.ResponseWriter, r *http.Request) error {
	user, err := u.userByID(r)
	if err != nil {
		return err
	}
	return u.render(w, r, http.StatusOK, ui.ConfirmPage(u.view(r, "Delete user", "users"), deleteUser(user), userPath(user.ID)))
}

func deleteUser(user access.User) ui.ConfirmView {
	return ui.ConfirmView{
		ID: "delete-user", Title: "Delete " + user.Name + "?", Action: userPath(user.ID) + "/delete", Label: "Delete user",
		Text: "Its clients are disconnected at once and can't log in again. This can't be undone.",
	}
}

func (u users) delete(w http.ResponseWriter, r *http.Request) error {
	user, err := u.userByID(r)
	if err != nil {
		return err
	}
	err = u.cfg.Accounts.DeleteUser(r.Context(), user.Name)
	if p := problemsOf(err); p != nil {
		v := u.userView(r, user)
		v.Problem = elsewhere(p)[""]
		return u.userPage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	return u.redirect(w, r, "/users?done=user-deleted")
}
