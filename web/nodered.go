package web

import (
	"errors"
	"net/http"

	"hearthmq/broker/access"
	"hearthmq/nodered"
	"hearthmq/outbound"
	"hearthmq/ui"
)

func (c connect) nodeRED(w http.ResponseWriter, r *http.Request) error {
	home, _ := c.home(r.Context())
	return c.nodeREDPage(w, r, http.StatusOK, ui.NodeREDView{Address: nodered.Editor(home.Address)})
}

func (c connect) nodeREDPage(w http.ResponseWriter, r *http.Request, status int, v ui.NodeREDView) error {
	v.User = nodeREDUser
	_, v.Exists = c.cfg.Directory.User(nodeREDUser)
	return c.render(w, r, status, ui.NodeREDPage(c.view(r, "Node-RED", "connect", "forms"), v))
}

// makeFlow answers with the flow: its password is in no store, so there is no page to
// redirect to.
func (c connect) makeFlow(w http.ResponseWriter, r *http.Request) error {
	b, err := c.nodeREDBroker(r)
	if p := problemsOf(err); p != nil {
		return c.nodeREDPage(w, r, http.StatusUnprocessableEntity, ui.NodeREDView{Problems: elsewhere(p)})
	}
	if err != nil {
		return err
	}
	flow, err := nodered.Flow(b)
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, ui.NodeREDFlowPage(c.view(r, "Node-RED", "connect"), b.User, flow))
}

// nodeREDBroker is what Node-RED has to know, with a user and a new password for it.
func (c connect) nodeREDBroker(r *http.Request) (nodered.Broker, error) {
	b := nodered.Broker{User: nodeREDUser, Host: hostOf(r), Port: 1883}
	for _, e := range c.cfg.Endpoints {
		if !e.TLS && !e.WebSocket {
			b.Port = e.Port
			break
		}
	}
	if home, inApp := c.home(r.Context()); inApp && home.Host != "" {
		b.Host, b.Port = home.Host, home.Port // apps meet inside the machine
	}
	var err error
	if _, exists := c.cfg.Directory.User(nodeREDUser); exists {
		b.Password, err = c.cfg.Accounts.SetPassword(r.Context(), nodeREDUser, "", true)
		return b, err
	}
	_, b.Password, err = c.cfg.Accounts.CreateUser(r.Context(), access.NewUser{
		Name: nodeREDUser, Generate: true, Roles: []string{access.RoleEverything}, Note: "Made on the page Connect",
	})
	return b, err
}

// sendFlow puts the broker into a Node-RED that can be reached. The user gets its new
// password first: Node-RED logs in as soon as it has it.
func (c connect) sendFlow(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	v := ui.NodeREDView{Address: form.Get("address"), Login: form.Get("login"), Any: form.Get("any") == "yes"}
	again := func(field, text string) error {
		v.Problems = map[string]string{field: text}
		return c.nodeREDPage(w, r, http.StatusUnprocessableEntity, v)
	}
	b, err := c.nodeREDBroker(r)
	if p := problemsOf(err); p != nil {
		return again("", elsewhere(p)[""])
	}
	if err != nil {
		return err
	}
	err = c.cfg.NodeRED(r.Context(), nodered.Admin{URL: v.Address, User: v.Login, Password: form.Get("password"), AnyCertificate: v.Any}, b)
	switch {
	case err == nil:
		return c.redirect(w, r, "/connect?done=node-red-sent")
	case errors.Is(err, nodered.ErrAddress), errors.Is(err, nodered.ErrNoAnswer), errors.Is(err, nodered.ErrNotEditor), errors.Is(err, outbound.ErrNotAllowed):
		return again("address", err.Error())
	}
	return again("", err.Error())
}
