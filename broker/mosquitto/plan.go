package mosquitto

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"hearthmq/broker/access"
)

// Plan is what an import would store. Make one with NewPlan, look at its Report, and
// Apply it.
type Plan struct {
	Users     []access.NewUser
	Roles     []access.Role
	Anonymous []access.Rule // of the role "anonymous", nil: there is nothing to say
	State     State
	Report    *Report

	source    string // what it comes from, for the audit
	hasRights bool   // something says who may do what
	notices   []Notice
	powerless []string // users who may do nothing
	narrower  []string
}

// PlanOptions say how to read what is not in the files.
type PlanOptions struct {
	Now time.Time
	// Anonymous says that HearthMQ lets clients in that have no user name.
	Anonymous bool
}

// NewPlan works out what in comes to. It stores nothing. When in holds something
// Broken, so does the report, and the plan is empty.
func NewPlan(in *Input, opt PlanOptions) *Plan {
	p := &Plan{Report: new(Report), notices: slices.Clone(in.Notices), hasRights: in.ACL != nil || in.Dynsec != nil}
	p.source = in.source()
	p.accounts(in)
	db := in.Database
	if db != nil {
		st, found := db.State(opt.Now, opt.Anonymous)
		p.State = st
		p.notices = append(p.notices, found...)
	}
	if in.Live != nil {
		if db != nil {
			p.notices = append(p.notices, Notice{File: db.File, Level: Left, Text: "its retained messages: those of the running broker are newer"})
		}
		p.State.Retained = in.Live
	}
	if in.Conf != nil {
		p.settings(in.Conf)
	}
	if in.Options != nil {
		p.optionSettings(in.Options)
	}
	p.Report.sort(p.notices)
	if !p.Report.OK() {
		*p = Plan{Report: p.Report}
		return p
	}
	p.summarise()
	return p
}

func (in *Input) source() string {
	var names []string
	add := func(file string) {
		if file = path.Base(strings.ReplaceAll(file, `\`, "/")); file != "." && !slices.Contains(names, file) {
			names = append(names, file)
		}
	}
	if in.Conf != nil {
		add(in.Conf.File)
	}
	for _, l := range in.Passwords[:min(1, len(in.Passwords))] {
		add(l.File)
	}
	if in.ACL != nil {
		add(in.ACL.File)
	}
	if in.Dynsec != nil {
		add(in.Dynsec.File)
	}
	if in.Options != nil {
		add(in.Options.File)
	}
	if in.Database != nil {
		add(in.Database.File)
	}
	return "Mosquitto: " + strings.Join(names, ", ")
}

// accounts makes users and roles of all files that name some. A name counts once.
func (p *Plan) accounts(in *Input) {
	first := map[string]string{}
	add := func(u access.NewUser, file string, line int) {
		if other, ok := first[u.Name]; ok {
			p.notices = append(p.notices, Notice{File: file, Line: line, Level: Left, Text: fmt.Sprintf("user %s: the one of %s counts", quote(u.Name), other)})
			return
		}
		if problem := reserved(u.Name); problem != "" {
			p.notices = append(p.notices, Notice{File: file, Line: line, Level: Left, Text: fmt.Sprintf("user %s is left out: %s", quote(u.Name), problem)})
			return
		}
		first[u.Name] = file
		if len(u.Roles)+len(u.Rules) == 0 {
			p.powerless = append(p.powerless, u.Name)
		}
		p.Users = append(p.Users, u)
	}
	if in.Dynsec != nil {
		p.dynsec(in.Dynsec, add)
	}
	rights := p.rightsBy(in)
	for _, l := range in.Passwords {
		r := rights(l.User)
		add(access.NewUser{Name: l.User, Hash: l.Hash, Roles: r.Roles, Rules: r.Rules}, l.File, l.Line)
	}
	if in.Options != nil {
		for _, l := range in.Options.Logins {
			r := rights(l.Username)
			u := access.NewUser{Name: l.Username, Roles: r.Roles, Rules: r.Rules}
			if u.Password = l.Password; l.PreHashed {
				u.Password, u.Hash = "", l.Password
			}
			add(u, in.Options.File, l.Line)
		}
	}
	if in.ACL == nil {
		return
	}
	for _, u := range in.ACL.Users {
		if _, ok := first[u.Name]; !ok && reserved(u.Name) == "" {
			p.notices = append(p.notices, Notice{
				File: in.ACL.File, Line: u.Line, Level: Left, Directive: "user",
				Text: fmt.Sprintf("user %s has %s and no password in these files: no account is made", quote(u.Name), plural(len(u.Rules), "rule", "rules")),
			})
		}
	}
}

func reserved(name string) string {
	if slices.Contains(reservedUsers, name) {
		return "HearthMQ has a system user of this name, who may do everything"
	}
	return ""
}

// rightsBy returns who may do what of the users of password files and options.
func (p *Plan) rightsBy(in *Input) func(user string) Rights {
	if in.ACL == nil {
		return func(string) Rights { return Rights{Roles: []string{access.RoleEverything}} }
	}
	acl := NewACLRights(in.ACL)
	if role, ok := acl.Role(); ok {
		p.Roles = append(p.Roles, role)
	}
	if p.Anonymous == nil {
		p.Anonymous = acl.Anonymous()
	}
	seen := 0
	collect := func() {
		all := acl.Notices()
		p.notices = append(p.notices, all[seen:]...)
		seen = len(all)
	}
	collect()
	return func(user string) Rights {
		r := acl.Of(user)
		collect()
		if r.Narrower {
			p.narrower = append(p.narrower, user)
		}
		return r
	}
}

func (p *Plan) dynsec(d *Dynsec, add func(access.NewUser, string, int)) {
	rights := NewDynsecRights(d)
	for _, r := range rights.Roles() {
		r.Name, r.Description = roleName(r.Name), shortText(r.Description)
		p.Roles = append(p.Roles, r)
	}
	for i := range d.Clients {
		c := &d.Clients[i]
		note := func(l Level, format string, args ...any) {
			p.notices = append(p.notices, Notice{File: d.File, Line: c.Line, Level: l, Text: fmt.Sprintf("user %s ", quote(c.Username)) + fmt.Sprintf(format, args...)})
		}
		if problem := c.account(); problem != "" {
			note(Left, "is left out: %s", problem)
			continue
		}
		r := rights.Of(c)
		if r.Narrower {
			p.narrower = append(p.narrower, c.Username)
		}
		for i := range r.Roles {
			r.Roles[i] = roleName(r.Roles[i])
		}
		if c.ClientID != "" {
			note(Changed, "could log in with the client identifier %s alone; now with any", quote(c.ClientID))
		}
		text := strings.TrimSpace(c.Name + "\n" + c.Description)
		add(access.NewUser{Name: c.Username, Hash: c.Hash, Disabled: c.Disabled, Note: shortText(text), Roles: r.Roles, Rules: r.Rules}, d.File, c.Line)
	}
	p.Anonymous = rights.Anonymous()
	p.notices = append(p.notices, rights.Notices()...)
}

// roleName makes a possible name of a role's.
func roleName(name string) string {
	if access.ValidName(name) == "" {
		return name
	}
	clean := strings.Map(func(r rune) rune {
		if access.ValidName("a"+string(r)+"a") != "" {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(name), "_"))
	clean = strings.TrimSpace(strings.ToValidUTF8(clean[:min(len(clean), access.MaxNameBytes)], ""))
	if clean == "" {
		return "role"
	}
	return clean
}

func shortText(s string) string {
	s = strings.ToValidUTF8(s, "_")
	return strings.ToValidUTF8(s[:min(len(s), access.MaxTextBytes)], "")
}

// optionSettings tells which settings do what the app's options do. They have the same
// names.
func (p *Plan) optionSettings(o *Options) {
	add := func(key, value, standard string) {
		if value != standard {
			p.Report.Settings = append(p.Report.Settings, Setting{Key: key, Value: value, From: Notice{File: o.File, Line: o.lines[key]}})
		}
	}
	add("certfile", o.CertFile, "fullchain.pem")
	add("keyfile", o.KeyFile, "privkey.pem")
	add("cafile", o.CAFile, "")
	if o.RequireCertificate {
		add("require_certificate", "true", "")
	}
	if o.Debug || slices.Contains(o.LogType, "debug") {
		add("log_level", "debug", "")
	}
}

// summarise counts what comes over.
func (p *Plan) summarise() {
	r := p.Report
	over := func(n int, one, many, more string) {
		if n > 0 {
			r.Over = append(r.Over, plural(n, one, many)+more)
		}
	}
	var names []string
	rules := 0
	for _, u := range p.Users {
		names = append(names, u.Name)
		rules += len(u.Rules)
	}
	over(len(names), "user", "users", " with the password: "+some(names))
	over(rules, "rule of a user's own", "rules of users' own", "")
	names, rules = nil, 0
	for _, x := range p.Roles {
		names = append(names, x.Name)
		rules += len(x.Rules)
	}
	over(len(names), "role", "roles", fmt.Sprintf(" with %s: %s", plural(rules, "rule", "rules"), some(names)))
	over(len(p.Anonymous), "rule", "rules", " for clients without a user name (role anonymous)")
	over(len(p.State.Retained), "retained message", "retained messages", "")
	subs, queued := 0, 0
	for _, s := range p.State.Sessions {
		subs += len(s.Subscriptions)
		queued += len(s.Queue)
	}
	over(len(p.State.Sessions), "session", "sessions", fmt.Sprintf(" with %s and %s", plural(subs, "subscription", "subscriptions"), plural(queued, "queued message", "queued messages")))
	check := func(format string, args ...any) { r.Check = append(r.Check, fmt.Sprintf(format, args...)) }
	if len(p.powerless) > 0 {
		check("these users may connect and nothing else, as with Mosquitto: %s", some(p.powerless))
	}
	if len(p.narrower) > 0 {
		check("these users may do less than with Mosquitto (see above): %s", some(p.narrower))
	}
	if len(p.Anonymous) > 0 {
		check("clients without a user name are let in only with the setting anonymous: restricted")
	}
	if len(p.Users) > 0 {
		check("hearthmq acl check USER publish|subscribe TOPIC tells what a user may do; the admin's page Access shows what is denied")
	}
	if len(p.State.Retained) > 0 {
		check("the admin's page Topics shows the retained messages")
	}
	check("stop Mosquitto before HearthMQ takes over its port")
}
