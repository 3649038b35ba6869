package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/packet"
	"hearthmq/ui"
)

// ClientBroker is what a client's page needs of the broker beyond its list.
type ClientBroker interface {
	// Will describes a session's Will, nil when it has none.
	Will(clientID string) (*broker.WillInfo, error)
	// Waiting describes the first messages that wait for a session.
	Waiting(clientID string, limit int) ([]broker.WaitingInfo, error)
	// Trace records a client's packets.
	Trace(clientID string) (*broker.Trace, error)
}

// How much of it a client's page shows.
const (
	waitingRows = 20
	denialRows  = 10
)

// show is a POST: a Client Identifier never stands in a URL. It changes nothing.
func (c clients) show(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	v, err := c.clientView(form.Get("client"))
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, ui.ClientPage(c.view(r, "Client", "clients"), v))
}

func (c clients) clientView(clientID string) (ui.ClientView, error) {
	s, subscriptions, err := c.cfg.Broker.Session(clientID)
	if err != nil {
		return ui.ClientView{}, err
	}
	found := c.clientInfo(s)
	info := &found
	v := ui.ClientView{ClientRow: clientRow(info, time.Now()), Facts: clientFacts(info)}
	if u, ok := c.cfg.Directory.User(s.User); ok {
		v.UserID = u.ID
	}
	for _, sub := range subscriptions {
		v.Subscriptions = append(v.Subscriptions, subscriptionRow(sub))
	}
	if v.Will, err = c.will(clientID); err != nil {
		return v, err
	}
	waiting, err := c.cfg.Broker.Waiting(clientID, waitingRows)
	if err != nil {
		return v, err
	}
	for _, m := range waiting {
		v.Waiting = append(v.Waiting, ui.WaitingRow{Topic: m.Topic,
			Detail: fmt.Sprintf("%s, QoS %d, %s", ui.Bytes(uint64(max(m.Size, 0))), m.QoS, ui.Ago(m.Received, time.Now()))})
	}
	v.WaitingMore = max(0, s.Queued-len(waiting))
	for _, d := range c.cfg.Denials.Recent() {
		if d.ClientID == clientID && len(v.Denials) < denialRows {
			v.Denials = append(v.Denials, c.denialView(d, time.Now()))
		}
	}
	if t, ok := c.tracing.of(clientID); ok {
		v.Traced = t.id
	}
	v.Forget = forgetQuestion(s)
	return v, nil
}

func clientFacts(s *clientInfo) []ui.PairView {
	var facts []ui.PairView
	add := func(name, value string) { facts = append(facts, ui.PairView{Name: name, Value: value}) }
	if s.Connected && s.Identity != nil {
		address := "this machine"
		if s.Identity.Remote.IsValid() {
			address = s.Identity.Remote.String()
		}
		if s.host != "" {
			address += " (" + s.host + ")"
		}
		add("Address", address)
		if s.Identity.TLSName != "" {
			add("Certificate", s.Identity.TLSName)
		}
		keepAlive := "off"
		if s.KeepAlive > 0 {
			keepAlive = ui.Span(s.KeepAlive)
		}
		add("Keep alive", keepAlive)
	}
	add("Session", sessionWords(s.Expiry)+", began "+ui.Ago(s.Created, time.Now()))
	add("Messages", fmt.Sprintf("%s received, %s sent in this connection", ui.Count(s.Received), ui.Count(s.Sent)))
	add("Waiting", fmt.Sprintf("%s (%s), %s under way", ui.Plural(s.Queued, "message", "messages"),
		ui.Bytes(uint64(max(s.QueuedBytes, 0))), strconv.Itoa(s.Inflight)))
	dropped := ui.Count(s.Dropped)
	if s.DroppedBy != "" {
		dropped += ", by " + s.DroppedBy
	}
	add("Dropped", dropped)
	if s.Slowed > 0 {
		add("Slowed down", fmt.Sprintf("%s in this connection: %s", ui.Plural(int(s.Slowed), "time", "times"), s.SlowedBy))
	}
	if s.Violations > 0 {
		add("Tolerated", ui.Plural(int(s.Violations), "violation", "violations")+" of the MQTT specification")
	}
	return facts
}

func (c clients) will(clientID string) (*ui.WillView, error) {
	w, err := c.cfg.Broker.Will(clientID)
	if w == nil || err != nil {
		return nil, err
	}
	v := &ui.WillView{Topic: w.Topic, Payload: previewText(w.Payload, w.Size)}
	words := []string{fmt.Sprintf("QoS %d", w.QoS)}
	if w.Retain {
		words = append(words, "retained")
	}
	if w.Delay > 0 {
		words = append(words, ui.Span(w.Delay)+" later")
	}
	v.Detail = strings.Join(words, ", ")
	return v, nil
}

// previewText is the beginning of a payload in one line: text, or hexadecimal.
func previewText(b []byte, size int) string {
	if size == 0 {
		return "(empty)"
	}
	text := wholeText(b, size)
	var s string
	if utf8.Valid(text) {
		s = ui.Visible(string(text))
	} else {
		s = fmt.Sprintf("% x", b[:min(len(b), 64)])
		text = b[:min(len(b), 64)]
	}
	if len(text) < size {
		s += "… (" + ui.Bytes(uint64(size)) + ")"
	}
	return s
}

func forgetQuestion(s broker.SessionInfo) ui.ConfirmView {
	text := "Its subscriptions are gone."
	if s.Queued > 0 {
		text = "Its subscriptions and " + ui.Plural(s.Queued, "message that waits", "messages that wait") + " for it are gone."
	}
	return ui.ConfirmView{
		ID: "forget", Title: "Forget the session of " + ui.Visible(s.ClientID) + "?", Text: text + " This can't be undone.",
		Action: "/clients/forget", Label: "Forget", Hidden: map[string]string{"client": s.ClientID},
	}
}

// blockUser says what comes of disabling the user of a session; cant says why that is not possible.
func (s *Server) blockUser(of broker.SessionInfo) (hint, cant string) {
	u, ok := s.cfg.Directory.User(of.User)
	switch {
	case of.User == "":
		return "", "It has no user. Clients without a user name can only be kept out all together, by the setting anonymous."
	case !ok:
		return "", "Its user is one of Home Assistant. Change or delete it there."
	case u.System:
		return "", "Its user is one that Home Assistant needs."
	case u.FromSettings:
		return "", "Its user is one of the logins of the settings. Take it away there."
	case u.Disabled:
		return "", "Its user is disabled already."
	}
	if n := s.connectedByUser()[u.Name]; n > 1 {
		return "The user is disabled, and all " + strconv.Itoa(n) + " clients that use it are disconnected. Enable it on its page to let them in again.", ""
	}
	return "The user is disabled. Enable it on its page to let the client in again.", ""
}

// asked returns the session that a form names.
func (c clients) asked(r *http.Request) (broker.SessionInfo, error) {
	form, err := parseForm(r)
	if err != nil {
		return broker.SessionInfo{}, err
	}
	s, _, err := c.cfg.Broker.Session(form.Get("client"))
	return s, err
}

func (c clients) askForget(w http.ResponseWriter, r *http.Request) error {
	s, err := c.asked(r)
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, ui.ConfirmPage(c.view(r, "Forget a session", "clients"), forgetQuestion(s), "/clients"))
}

func (c clients) forget(w http.ResponseWriter, r *http.Request) error {
	s, err := c.asked(r)
	if err != nil {
		return err
	}
	if err := c.forgetSession(r.Context(), s.ClientID); err != nil {
		return err
	}
	return c.redirect(w, r, "/clients?done=forgotten")
}

// disableUser cuts off all clients of a client's user for good.
func (c clients) disableUser(w http.ResponseWriter, r *http.Request, s broker.SessionInfo) error {
	u, err := c.blockClient(r.Context(), s)
	if p := problemsOf(err); p != nil {
		return c.cannotBlock(w, r, elsewhere(p)[""])
	}
	if err != nil {
		return err
	}
	return c.redirect(w, r, userPath(u.ID)+"?done=user-disabled")
}

// blockClient disables the user of a session in the name of ctx's person. It fails with
// access.Problems where that can't be.
func (s *Server) blockClient(ctx context.Context, of broker.SessionInfo) (access.User, error) {
	if _, cant := s.blockUser(of); cant != "" {
		return access.User{}, access.Problems{"client": cant}
	}
	disabled := true
	if err := s.cfg.Accounts.ChangeUser(ctx, of.User, access.UserChange{Disabled: &disabled}); err != nil {
		return access.User{}, err
	}
	u, _ := s.cfg.Directory.User(of.User)
	return u, nil
}

func (c clients) cannotBlock(w http.ResponseWriter, r *http.Request, why string) error {
	c.errorPage(w, r, http.StatusUnprocessableEntity, ui.ErrorView{
		Icon: "block", Title: "It can't be blocked", Text: why, Back: "/clients", BackLabel: "To the clients",
	})
	return nil
}

// disconnectClient ends a client's connection in the name of ctx's person, and notes it.
func (s *Server) disconnectClient(ctx context.Context, clientID string) error {
	if err := s.cfg.Broker.Disconnect(clientID, packet.AdministrativeAction); err != nil {
		return err
	}
	s.log.Info("client disconnected by an administrator", "client_id", clientID, "actor", access.Actor(ctx))
	return s.cfg.Accounts.Note(context.WithoutCancel(ctx), "client disconnected", clipText(clientID, maxLogValue), "", "")
}

// forgetSession deletes a session in the name of ctx's person, and notes it: what
// waited in it is gone.
func (s *Server) forgetSession(ctx context.Context, clientID string) error {
	if err := s.cfg.Broker.DeleteSession(clientID); err != nil {
		return err
	}
	s.log.Info("session deleted by an administrator", "client_id", clientID, "actor", access.Actor(ctx))
	return s.cfg.Accounts.Note(context.WithoutCancel(ctx), "session deleted", clipText(clientID, maxLogValue), "", "")
}
