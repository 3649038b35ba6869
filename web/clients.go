package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"hearthmq/broker"
	"hearthmq/ui"
)

// clients are the pages about sessions and their connections.
type clients struct{ *Server }

// maxRows is how many clients a page shows.
const maxRows = 1000

func (c clients) list(w http.ResponseWriter, r *http.Request) error {
	return c.render(w, r, http.StatusOK, ui.ClientsPage(c.view(r, "Clients", "clients", "clients-page"), c.clientsView()))
}

func (c clients) clientsView() ui.ClientsView {
	now := time.Now()
	var v ui.ClientsView
	for _, s := range c.cfg.Broker.Sessions() {
		if s.Connected {
			v.Connected++
		}
		if len(v.Clients) == maxRows {
			v.Hidden++
			continue
		}
		v.Clients = append(v.Clients, clientRow(s, now))
	}
	return v
}

func (c clients) live(w http.ResponseWriter, _ *http.Request) error {
	v := c.clientsView()
	return c.renderJSON(w, map[string]any{"clients": v.Clients, "summary": ui.ClientsSummary(v)})
}

func clientRow(s broker.SessionInfo, now time.Time) ui.ClientRow {
	row := ui.ClientRow{
		ClientID: s.ClientID, User: s.User, Connected: s.Connected, Protocol: protocolName(s.Version),
		Traffic: ui.Count(s.Received) + " in, " + ui.Count(s.Sent) + " out",
	}
	state := "away since "
	if s.Connected {
		state = "connected "
	}
	row.Since = state + ui.Ago(s.Since, now)
	if !s.Connected {
		row.Address = "Not connected"
	} else if s.Identity != nil {
		row.Address, row.Listener = s.Identity.Remote.Addr().Unmap().String(), s.Identity.Listener
	}
	if s.Queued > 0 {
		row.Waiting = ui.Plural(s.Queued, "message", "messages") + " waiting"
	}
	if s.Dropped > 0 {
		if row.Waiting != "" {
			row.Waiting += ", "
		}
		row.Waiting += ui.Count(s.Dropped) + " dropped"
	}
	return row
}

func protocolName(level byte) string {
	switch level {
	case 3:
		return "MQTT 3.1"
	case 4:
		return "MQTT 3.1.1"
	case 5:
		return "MQTT 5"
	}
	return "MQTT"
}

// show is a POST: a Client Identifier never stands in a URL. It changes nothing.
func (c clients) show(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	s, subscriptions, err := c.cfg.Broker.Session(form.Get("client"))
	if err != nil {
		return err
	}
	v := ui.ClientView{ClientRow: clientRow(s, time.Now()), Facts: clientFacts(s)}
	for _, sub := range subscriptions {
		v.Subscriptions = append(v.Subscriptions, subscriptionRow(sub))
	}
	return c.render(w, r, http.StatusOK, ui.ClientPage(c.view(r, "Client", "clients"), v))
}

func clientFacts(s broker.SessionInfo) []ui.PairView {
	user := s.User
	if user == "" {
		user = "anonymous"
	}
	facts := []ui.PairView{{Name: "User", Value: user}}
	add := func(name, value string) { facts = append(facts, ui.PairView{Name: name, Value: value}) }
	if s.Connected && s.Identity != nil {
		add("Address", s.Identity.Remote.String())
		if s.Identity.TLSName != "" {
			add("Certificate", s.Identity.TLSName)
		}
		add("Keep alive", ui.Span(s.KeepAlive))
	}
	add("Session", sessionWords(s.Expiry))
	add("Messages", fmt.Sprintf("%s received, %s sent in this connection", ui.Count(s.Received), ui.Count(s.Sent)))
	add("Waiting", fmt.Sprintf("%s (%s), %s under way", ui.Plural(s.Queued, "message", "messages"),
		ui.Bytes(uint64(max(s.QueuedBytes, 0))), strconv.Itoa(s.Inflight)))
	add("Dropped", ui.Count(s.Dropped))
	if s.Violations > 0 {
		add("Tolerated", ui.Count(s.Violations)+" violations of the MQTT specification")
	}
	if s.HasWill {
		add("Will", s.WillTopic)
	}
	return facts
}

// sessionWords says what happens to the session when the connection ends.
func sessionWords(expiry uint32) string {
	switch expiry {
	case 0:
		return "ends with the connection"
	case broker.NeverExpires:
		return "kept until it is deleted"
	}
	return "kept for " + ui.Span(time.Duration(expiry)*time.Second) + " after the connection"
}

func subscriptionRow(s broker.SubscriptionInfo) ui.SubscriptionRow {
	detail := "QoS " + strconv.Itoa(int(s.QoS))
	if s.NoLocal {
		detail += ", not its own messages"
	}
	if s.Share != "" {
		detail += ", shared"
	}
	return ui.SubscriptionRow{Filter: s.FullFilter(), Detail: detail, Narrowed: s.Narrowed, Rule: s.Rule.Text}
}

// disconnect ends a connection. The session stays, and most devices come back.
func (c clients) disconnect(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	id := form.Get("client")
	if err := c.disconnectClient(r.Context(), id); err != nil {
		if !errors.Is(err, broker.ErrNotFound) {
			return err
		}
		return c.redirect(w, r, "/clients?done=client-gone")
	}
	return c.redirect(w, r, "/clients?done=disconnected")
}
