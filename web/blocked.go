package web

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/packet"
	"hearthmq/ui"
)

// blockRoutes mounts the pages about who is kept out.
func (s *Server) blockRoutes(r chi.Router) {
	c := clients{s}
	r.Post("/clients/block/ask", s.handle(c.askBlock))
	r.Post("/clients/block", s.handle(c.block))
	r.Get("/clients/blocked", s.handle(c.blocked))
	r.Post("/clients/blocked", s.handle(c.addBlock))
	r.Post("/clients/blocked/lift", s.handle(c.liftBlock))
}

// ban keeps clients out in the name of ctx's person, and disconnects those it means.
func (s *Server) ban(ctx context.Context, kind access.BanKind, value, note string) (access.Ban, error) {
	if s.cfg.Bans == nil {
		return access.Ban{}, access.ErrNotFound
	}
	if kind == access.BanClient && s.systemClient(value) {
		return access.Ban{}, access.Problems{"value": "is a client of Home Assistant itself"}
	}
	ban, err := s.cfg.Bans.Add(ctx, kind, value, note)
	if err != nil {
		return ban, err
	}
	s.log.Warn("clients blocked by an administrator", "by", string(ban.Kind), "value", clipText(ban.Value, maxLogValue), "actor", access.Actor(ctx))
	for _, x := range s.cfg.Broker.Sessions() {
		if _, banned := s.cfg.Bans.Banned(x.ClientID, remoteOf(x).Addr()); banned && x.Connected {
			// One that left by itself is no error.
			_ = s.cfg.Broker.Disconnect(x.ClientID, packet.AdministrativeAction)
		}
	}
	return ban, nil
}

// lift lets in again whom a ban kept out.
func (s *Server) lift(ctx context.Context, id int64) error {
	if s.cfg.Bans == nil {
		return access.ErrNotFound
	}
	if err := s.cfg.Bans.Lift(ctx, id); err != nil {
		return err
	}
	s.log.Info("block lifted by an administrator", "actor", access.Actor(ctx))
	return nil
}

// systemClient reports whether a client has logged in as a user that Home Assistant needs.
func (s *Server) systemClient(clientID string) bool {
	x, _, err := s.cfg.Broker.Session(clientID)
	if err != nil {
		return false
	}
	u, ok := s.cfg.Directory.User(x.User)
	return ok && u.System
}

// blockQuestion says by what a client can be kept out, the surest way that hits nobody else first.
func (c clients) blockQuestion(s broker.SessionInfo) ui.BlockQuestion {
	v := ui.BlockQuestion{ClientID: s.ClientID}
	add := func(by, label, hint string) {
		v.Choices = append(v.Choices, ui.OptionView{Value: by, Label: label, Hint: hint, Selected: len(v.Choices) == 0})
	}
	if hint, cannot := c.blockUser(s); cannot == "" {
		add("user", "Its user, "+ui.Visible(s.User), hint)
	} else {
		v.Cannot = append(v.Cannot, "Not by its user: "+cannot)
	}
	if c.cfg.Bans == nil {
		return v
	}
	if c.systemClient(s.ClientID) {
		return v // the user's reason says why
	}
	if _, banned := c.cfg.Bans.Banned(s.ClientID, remoteOf(s).Addr()); banned {
		v.Cannot = append(v.Cannot, "Its client identifier or its address is blocked already.")
		return v
	}
	add("client", "Its client identifier, "+ui.Visible(s.ClientID), "Whoever calls itself that is kept out. A device can be set to another one.")
	if address := remoteOf(s).Addr().Unmap(); address.IsValid() && !address.IsLoopback() {
		hint := "Everything that comes from there is kept out. A router may give the device another address some day."
		if n := c.connectedFrom(address.String()); n > 1 {
			hint = "All " + strconv.Itoa(n) + " clients that come from there are disconnected and kept out."
		}
		add("address", "Its address, "+address.String(), hint)
	}
	return v
}

// connectedFrom counts the clients that are connected from an address.
func (c clients) connectedFrom(address string) (n int) {
	for _, s := range c.cfg.Broker.Sessions() {
		n += one(s.Connected && remoteOf(s).Addr().Unmap().String() == address)
	}
	return n
}

func (c clients) askBlock(w http.ResponseWriter, r *http.Request) error {
	s, err := c.asked(r)
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, ui.BlockPage(c.view(r, "Block a client", "clients"), c.blockQuestion(s)))
}

// block keeps a client out: by its user, which is disabled, by its name or its address.
func (c clients) block(w http.ResponseWriter, r *http.Request) error {
	s, err := c.asked(r)
	if err != nil {
		return err
	}
	switch by := cmp.Or(r.PostForm.Get("by"), "user"); by {
	case "user":
		return c.disableUser(w, r, s)
	case "client", "address":
		kind, value := access.BanClient, s.ClientID
		if by == "address" {
			kind, value = access.BanAddress, remoteOf(s).Addr().String()
		}
		_, err := c.ban(r.Context(), kind, value, "")
		if p := problemsOf(err); p != nil {
			return c.cannotBlock(w, r, ui.Sentence("this "+p["value"]))
		}
		if err != nil {
			return err
		}
		return c.redirect(w, r, "/clients/blocked?done=blocked")
	default:
		return badRequest("by %q", by)
	}
}

func (c clients) blocked(w http.ResponseWriter, r *http.Request) error {
	return c.blockedPage(w, r, http.StatusOK, ui.BlockedView{})
}

func (c clients) blockedPage(w http.ResponseWriter, r *http.Request, status int, v ui.BlockedView) error {
	if c.cfg.Bans == nil {
		return access.ErrNotFound
	}
	now := time.Now()
	for _, b := range c.cfg.Bans.List() {
		kind := "client identifier"
		if b.Kind == access.BanAddress {
			kind = "address"
		}
		v.Blocked = append(v.Blocked, ui.BlockedRow{ID: b.ID, Kind: kind, Value: b.Value, Note: b.Note, By: b.CreatedBy, Ago: ui.Ago(b.Created, now)})
	}
	for _, u := range c.cfg.Directory.Users() {
		if u.Disabled {
			v.Users = append(v.Users, ui.BlockedUser{ID: u.ID, Name: u.Name})
		}
	}
	return c.render(w, r, status, ui.BlockedPage(c.view(r, "Blocked clients", "clients", "forms"), v))
}

func (c clients) addBlock(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	v := ui.BlockedView{Kind: form.Get("kind"), Value: form.Get("value"), Note: form.Get("note")}
	_, err = c.ban(r.Context(), access.BanKind(v.Kind), v.Value, v.Note)
	if p := problemsOf(err); p != nil {
		v.Problems = elsewhere(p, "value", "note")
		return c.blockedPage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	return c.redirect(w, r, "/clients/blocked?done=blocked")
}

func (c clients) liftBlock(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(form.Get("id"), 10, 64)
	if err != nil {
		return badRequest("id %q", form.Get("id"))
	}
	if err := c.lift(r.Context(), id); err != nil {
		return err
	}
	return c.redirect(w, r, "/clients/blocked?done=unblocked")
}

// remoteOf is where a client comes from; not valid when that is not known.
func remoteOf(s broker.SessionInfo) (from netip.AddrPort) {
	if s.Identity != nil {
		from = s.Identity.Remote
	}
	return from
}
