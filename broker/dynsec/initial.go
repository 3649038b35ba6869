package dynsec

import (
	"errors"
	"fmt"
	"strings"

	"hearthmq/broker/access"
	"hearthmq/broker/regular"
)

// leastPassword is how long a password from the environment has to be.
const leastPassword = 12

// begin is what a new file holds: roles to give, and an administrator. With a password that
// is made here there is a client to try with as well, and both stand in File.pw.
func (o *Options) begin() (*state, error) {
	s := &state{
		defaults: defaults{Receive: true, Unsubscribe: true},
		clients:  map[string]*client{}, groups: map[string]*group{}, roles: map[string]*role{},
	}
	for _, x := range []struct {
		name, text string
		rights     map[kind]string
	}{
		{"client", "All topics of applications, both ways.", everything("#")},
		{"broker-admin", "Commands for the broker.", everything("$CONTROL/broker/#")},
		{"dynsec-admin", "Commands for clients, groups and roles.", everything("$CONTROL/dynamic-security/#")},
		{"super-admin", "All commands.", everything("$CONTROL/#")},
		{"sys-notify", "A bridge may tell whether it stands.", map[kind]string{send: "$SYS/broker/connection/%c/state"}},
		{"sys-observe", "Figures of the broker, to read.", map[kind]string{receive: "$SYS/#", subscribePattern: "$SYS/#"}},
		{"topic-observe", "All topics of applications, to read.", map[kind]string{receive: "#", subscribePattern: "#", unsubscribePattern: "#"}},
	} {
		r := &role{name: x.name, texts: texts{Description: &x.text}, wildcards: true}
		for k, topic := range x.rights {
			r.add(k, acl{topic: topic, allow: true})
		}
		s.roles[x.name] = r
	}
	title, text := "Unauthenticated group", "The roles of clients that log in without a name."
	s.groups["unauthenticated"] = &group{name: "unauthenticated", texts: texts{Name: &title, Description: &text}}
	s.anonymous = "unauthenticated"

	password, made, err := o.password()
	if err != nil {
		return nil, err
	}
	if err := s.begin("admin", password, "Administrator", "super-admin", "sys-observe", "topic-observe"); err != nil || !made {
		return s, err
	}
	demo := access.GeneratePassword()
	if err := s.begin("democlient", demo, "To try with, all topics of applications", "client"); err != nil {
		return nil, err
	}
	return s, replace(o.File+".pw", fmt.Appendf(nil, "admin %s\ndemoclient %s\n", password, demo))
}

func everything(topic string) map[kind]string {
	return map[kind]string{send: topic, receive: topic, subscribePattern: topic, unsubscribePattern: topic}
}

func (s *state) begin(name, password, text string, roles ...string) (err error) {
	c := &client{name: name, texts: texts{Name: &text}}
	for _, r := range roles {
		c.roles, _ = insert(c.roles, member{r, noPriority})
	}
	s.clients[name] = c
	c.hash, err = newHash(password)
	return err
}

// password is the administrator's; made says that nobody else knows it.
func (o *Options) password() (password string, made bool, err error) {
	switch {
	case o.InitFile != "":
		text, err := regular.Read(o.InitFile)
		if err != nil {
			return "", false, fmt.Errorf("password_init_file: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if first = strings.TrimRight(first, " \t\r"); first == "" {
			return "", false, fmt.Errorf("password_init_file: %s has no password in its first line", o.InitFile)
		}
		return first, false, nil
	case o.HasPassword && len(o.Password) < leastPassword:
		return "", false, errors.New("MOSQUITTO_DYNSEC_PASSWORD: 12 characters at least")
	case o.HasPassword:
		return o.Password, false, nil
	}
	return access.GeneratePassword(), true, nil
}
