package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// arrival says whether a device has come with the user that was just made for it.
type arrival struct {
	State string `json:"state"` // waiting, here, problem
	Title string `json:"title"`
	Text  string `json:"text"`
}

// arrivalLog is how many of the newest log entries tell of a client that has been here
// and is gone again, as commands that publish once are.
const arrivalLog = 500

// arrival answers the page that shows a new password, which asks again and again.
func (u users) arrival(w http.ResponseWriter, r *http.Request) error {
	user, err := u.userByID(r)
	if err != nil {
		return err
	}
	return u.renderJSON(w, u.arrivalOf(user, time.Now()))
}

// arrivalOf counts what happened since the user or its password was changed. What is
// wrong comes before what went well: that is what somebody waits to hear.
func (s *Server) arrivalOf(user access.User, now time.Time) arrival {
	came, at := s.cameAs(user)
	for _, d := range s.cfg.Denials.Recent() { // the latest first
		if d.User != user.Name || !d.Last.After(user.Changed) || d.Action == "connect" && at.After(d.Last) {
			continue
		}
		a := arrival{State: "problem", Title: "It was not let in", Text: ui.Sentence(d.Why())}
		if d.Action != "connect" {
			a.Title = "It logged in, and not everything is allowed"
			a.Text = fmt.Sprintf("It may not %s %s.", map[string]string{"publish": "publish to", "subscribe": "subscribe to", "receive": "receive"}[d.Action], ui.Visible(d.Topic))
		}
		a.Text += " " + ui.Sentence(ui.Ago(d.Last, now))
		return a
	}
	if came == "" {
		return arrival{"waiting", "Waiting for it to connect…", "This changes as soon as it logs in, or tries to."}
	}
	return arrival{"here", "It is connected", came + " " + ui.Sentence(ui.Ago(at, now))}
}

// cameAs tells of the client that logged in last as a user, and when; "": none did.
func (s *Server) cameAs(user access.User) (came string, at time.Time) {
	for x := range s.cfg.Broker.AllSessions() {
		if x.User == user.Name && x.Connected && x.Since.After(at) {
			came, at = fmt.Sprintf("Client %s logged in.", ui.Visible(x.ClientID)), x.Since
			if access.Assigned(x.ClientID) {
				came = "A client logged in."
			}
		}
	}
	if came != "" || s.cfg.LogBook == nil {
		return came, at
	}
	last := s.cfg.LogBook.Last()
	for _, e := range s.cfg.LogBook.After(last-min(last, arrivalLog), slog.LevelInfo, arrivalLog) {
		if e.Message == "client connected" && e.value("user") == user.Name && e.At.After(user.Changed) && e.At.After(at) {
			came, at = "A client logged in, and has left again.", e.At
		}
	}
	return came, at
}

// value returns one value of an entry, "" when it has none of that name.
func (e LogEntry) value(key string) string {
	for _, v := range e.Values {
		if v.Key == key {
			return v.Value
		}
	}
	return ""
}
