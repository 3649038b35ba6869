package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker"
	"hearthmq/ui"
)

// clients are the pages about sessions and their connections. A Client Identifier
// never stands in a URL: it is chosen by strangers.
type clients struct{ *Server }

func (s *Server) clientsRoutes(r chi.Router) {
	c := clients{s}
	r.Get("/clients", s.handle(c.list))
	r.Post("/clients", s.handle(c.list))
	r.Post("/live/clients", s.handle(c.live))
	r.Post("/clients/show", s.handle(c.show))
	r.Post("/clients/disconnect", s.handle(c.disconnect))
	r.Post("/clients/forget/ask", s.handle(c.askForget))
	r.Post("/clients/forget", s.handle(c.forget))
	s.blockRoutes(r)
	s.traceRoutes(r)
}

// clientRows is how many clients a page shows: a row has a thousand bytes and more.
const clientRows = 50

// clientSorts are the orders in which clients can be shown, by key.
var clientSorts = []struct {
	key, label string
	less       func(a, b *clientInfo) int
}{
	{"name", "By name", func(a, b *clientInfo) int { return 0 }}, // as they come
	{"user", "By user", func(a, b *clientInfo) int { return cmp.Compare(a.User, b.User) }},
	{"address", "By address", func(a, b *clientInfo) int { return a.addr().Compare(b.addr()) }},
	{"rate", "Busiest first", func(a, b *clientInfo) int { return cmp.Compare(b.in+b.out, a.in+a.out) }},
	{"waiting", "Most waiting first", func(a, b *clientInfo) int { return cmp.Compare(b.Queued+b.Inflight, a.Queued+a.Inflight) }},
	{"dropped", "Most dropped first", func(a, b *clientInfo) int { return cmp.Compare(b.Dropped, a.Dropped) }},
	{"since", "Latest first", func(a, b *clientInfo) int { return b.Since.Compare(a.Since) }},
	{"away", "Away first", func(a, b *clientInfo) int { return cmp.Compare(flag(a.Connected), flag(b.Connected)) }},
}

// list shows the clients. A POST narrows them down: what is looked for may be a name
// that a client chose. It changes nothing.
func (c clients) list(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	v := c.clientsView(form)
	for _, t := range c.tracing.list() {
		v.Traced = append(v.Traced, ui.TraceLink{ID: t.id, ClientID: ui.Visible(t.trace.ClientID())})
	}
	return c.render(w, r, http.StatusOK, ui.ClientsPage(c.view(r, "Clients", "clients", "clients-page"), v))
}

// clientInfo is a session with what the admin knows beyond.
type clientInfo struct {
	broker.SessionInfo
	clientRates
	host string
}

func (c *clientInfo) product() string { return productOf(c.SessionInfo) }

func (c *clientInfo) addr() (a netip.Addr) {
	if c.Connected && c.Identity != nil {
		return c.Identity.Remote.Addr().Unmap()
	}
	return a
}

func (c *clientInfo) matches(text string) bool {
	if text == "" {
		return true
	}
	address := ""
	if c.addr().IsValid() {
		address = c.addr().String()
	}
	all := strings.ToLower(strings.Join([]string{c.ClientID, orAnonymous(c.User), address, c.host, c.product()}, "\n"))
	return strings.Contains(all, strings.ToLower(text))
}

func orAnonymous(user string) string { return firstOf(user, "anonymous") }

// clientInfos describes all sessions.
func (s *Server) clientInfos() []*clientInfo {
	sessions := s.cfg.Broker.Sessions()
	rates := s.clientMeter.observe(sessions)
	infos, list := make([]clientInfo, len(sessions)), make([]*clientInfo, len(sessions))
	for i, x := range sessions {
		infos[i] = s.clientInfo(x)
		infos[i].clientRates = rates[i]
		list[i] = &infos[i]
	}
	return list
}

func (s *Server) clientInfo(x broker.SessionInfo) clientInfo {
	c := clientInfo{SessionInfo: x}
	if addr := c.addr(); addr.IsValid() {
		c.host = s.names.of(addr)
	}
	return c
}

// clientsView is the page that the form asks for, the last one when there are not as
// many any more.
func (c clients) clientsView(form url.Values) ui.ClientsView {
	now, sort := time.Now(), form.Get("sort")
	v := ui.ClientsView{Text: strings.TrimSpace(form.Get("text"))}
	list := c.clientInfos()
	for _, o := range clientSorts {
		chosen := o.key == sort || sort == "" && o.key == "name"
		v.Sorts = append(v.Sorts, ui.OptionView{Value: o.key, Label: o.label, Selected: chosen})
		if chosen {
			sortClients(list, o.less)
		}
	}
	list = slices.DeleteFunc(list, func(s *clientInfo) bool { return !s.matches(v.Text) })
	v.All = len(list)
	for _, s := range list {
		v.Connected += one(s.Connected)
	}
	v.Page = min(days(form.Get("page")), max(0, (len(list)-1)/clientRows))
	v.First = v.Page * clientRows
	for _, s := range list[v.First:min(len(list), v.First+clientRows)] {
		v.Clients = append(v.Clients, clientRow(s, now))
	}
	return v
}

// live answers clients-page.js with what the page would show now.
func (c clients) live(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	v := c.clientsView(form)
	return c.renderJSON(w, map[string]any{"clients": v.Clients, "summary": ui.ClientsSummary(v), "page": v.Page, "more": v.More()})
}

func sortClients(list []*clientInfo, less func(a, b *clientInfo) int) {
	slices.SortStableFunc(list, less)
}

func clientRow(s *clientInfo, now time.Time) ui.ClientRow {
	row := ui.ClientRow{
		ClientID: s.ClientID, User: s.User, Product: s.product(), Connected: s.Connected, Address: "Not connected",
		Totals: ui.Count(s.Received) + " in, " + ui.Count(s.Sent) + " out · " + ui.Plural(s.Subscriptions, "subscription", "subscriptions"),
	}
	if s.Connected && s.addr().IsValid() {
		row.Address, row.Host = s.addr().String(), s.host
	} else if s.Connected {
		row.Address = "This machine"
	}
	row.Connection = protocolName(s.Version)
	if s.Connected && s.Identity != nil && s.Identity.Listener != "" {
		row.Connection += " via " + s.Identity.Listener
	}
	state := "away since "
	if s.Connected {
		state = "connected "
		row.Traffic = ui.Rate(s.in) + "/s in, " + ui.Rate(s.out) + "/s out"
	}
	row.Connection += " · " + state + ui.Ago(s.Since, now)
	var trouble []string
	if s.Queued > 0 {
		trouble = append(trouble, ui.Plural(s.Queued, "message", "messages")+" waiting")
	}
	if s.Inflight > 0 {
		trouble = append(trouble, strconv.Itoa(s.Inflight)+" under way")
	}
	if s.Dropped > 0 {
		trouble = append(trouble, ui.Count(s.Dropped)+" dropped")
	}
	if s.Slowed > 0 {
		trouble = append(trouble, "slowed down")
	}
	row.Waiting = strings.Join(trouble, ", ")
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

// disconnect ends a connection. The session stays, and most devices come back.
func (c clients) disconnect(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	if err := c.disconnectClient(r.Context(), form.Get("client")); err != nil {
		if !errors.Is(err, broker.ErrNotFound) {
			return err
		}
		return c.redirect(w, r, "/clients?done=client-gone")
	}
	return c.redirect(w, r, "/clients?done=disconnected")
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
	detail := fmt.Sprintf("QoS %d", s.QoS)
	if s.NoLocal {
		detail += ", not its own messages"
	}
	if s.Share != "" {
		detail += ", shared"
	}
	return ui.SubscriptionRow{Filter: s.FullFilter(), Detail: detail, Narrowed: s.Narrowed, Rule: s.Rule.Text}
}
