package web

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"hearthmq/broker"
	"hearthmq/ui"
)

// attention is what somebody should look at, found out at most every attentionFor:
// it looks through all that is retained. Safe for concurrent use.
type attention struct {
	mu   sync.Mutex
	at   time.Time
	list []ui.AttentionView
}

const (
	attentionFor = 20 * time.Second
	lowDisk      = 512 << 20           // bytes
	staleAfter   = 30 * 24 * time.Hour // of a retained message whose sender is gone
)

// attention lists what needs attention, the worst first. What changes from one
// second to the next is asked each time, the rest now and then.
func (s *Server) attention(stats broker.Stats) []ui.AttentionView {
	list := s.urgent(stats)
	a := &s.attentions
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.at) > attentionFor {
		a.at, a.list = now, s.leftovers(now)
	}
	list = append(list, a.list...)
	slices.SortStableFunc(list, func(x, y ui.AttentionView) int { return attentionRank(x.Kind) - attentionRank(y.Kind) })
	return list
}

func attentionRank(kind string) int { return slices.Index([]string{"error", "warning", "info"}, kind) }

// urgent is what the figures say.
func (s *Server) urgent(stats broker.Stats) []ui.AttentionView {
	var list []ui.AttentionView
	add := func(kind, title, text, label, path string) {
		list = append(list, ui.AttentionView{Kind: kind, Title: title, Text: text, Label: label, Path: path})
	}
	if stats.StoreError != nil {
		add("error", "Messages can't be stored", "The broker keeps working from memory, but what it promised to keep would be lost when it stops. Is the disk full?", "See the log", "/logs")
	}
	if free, ok := s.diskFree(); ok && free < lowDisk {
		add("error", "The disk is almost full", ui.Bytes(uint64(free))+" are left. When it is full nothing can be stored.", "Large retained messages", "/retained")
	}
	if bans := s.cfg.Bans; bans != nil && bans.Trouble() != nil {
		text := "Nobody is kept out by client identifier or address until they can be."
		if known := len(bans.List()); known > 0 {
			text = "Those known last stay blocked: " + ui.Count(uint64(known)) + ". HearthMQ tries to read them again all the time."
		}
		add("error", "Who is blocked can't be read", text+" Is the disk in order?", "See the log", "/logs")
	}
	for _, c := range s.certificates() {
		title, text, kind := c.attention(stats.Now)
		if title != "" {
			add(kind, title, text, "Certificates", "/settings/certificates")
		}
	}
	if stats.Memory.Shed > 0 {
		add("warning", "Memory ran short", ui.Plural(int(stats.Memory.Shed), "connection or message was", "connections or messages were")+" given up for it.", "Settings", "/settings")
	}
	if stats.RetainedRefused > 0 {
		add("warning", "No room for retained messages", ui.Plural(int(stats.RetainedRefused), "message was", "messages were")+" delivered but not retained: a limit is reached.", "Clean up", "/retained")
	}
	for _, p := range s.cfg.Denials.Pasts() {
		if p.PushedOut(stats.Now) {
			add("warning", "Two devices use the client identifier "+ui.Clip(ui.Visible(p.ClientID), 60),
				"Each connects, pushes the other one out, and so on. Give each its own.", "See clients", "/clients")
			break // one is enough to go and look
		}
	}
	var denied, refused uint64
	for _, d := range s.cfg.Denials.Recent() {
		switch {
		case stats.Now.Sub(d.Last) > time.Hour:
		case d.Action == "connect":
			refused++
		default:
			denied++
		}
	}
	if denied > 0 {
		add("warning", ui.Plural(int(denied), "thing was", "things were")+" denied within the last hour", "A device tried what its user may not. If it should, one click allows it.", "See what", "/access#denied")
	}
	if refused > 0 {
		add("info", ui.Plural(int(refused), "login was", "logins were")+" refused within the last hour", "A wrong password, an unknown user, or somebody who tries.", "See which", "/access#denied")
	}
	return list
}

// leftovers is what is good for nothing any more, and whose messages are lost.
func (s *Server) leftovers(now time.Time) []ui.AttentionView {
	var list []ui.AttentionView
	var dropped uint64
	losers := 0
	for x := range s.cfg.Broker.AllSessions() {
		if x.Dropped > 0 {
			losers++
			dropped += x.Dropped
		}
	}
	if losers > 0 {
		list = append(list, ui.AttentionView{Kind: "warning", Title: ui.Plural(losers, "client", "clients") + " lost messages",
			Text: ui.Count(dropped) + " did not fit into a queue or came too fast for a slow reader.", Label: "See clients", Path: "/clients"})
	}
	found := s.discovery()
	if orphaned := found.orphaned; orphaned > 0 {
		list = append(list, ui.AttentionView{Kind: "info", Title: fmt.Sprintf("%s in Home Assistant without a sender", ui.Plural(orphaned, "entity", "entities")),
			Text: "Devices that are gone left their announcements behind.", Label: "Look and remove", Path: "/discovery?show=orphaned"})
	}
	if broken := found.broken; broken > 0 {
		list = append(list, ui.AttentionView{Kind: "info", Title: ui.Plural(broken, "announcement", "announcements") + " to Home Assistant can't work",
			Text: "Home Assistant makes nothing of them.", Label: "See why", Path: "/discovery?show=broken"})
	}
	who, stale := presenceOf(s.cfg.Broker.AllSessions()), 0
	for m := range s.cfg.Broker.Retained("#") {
		if !owned(m) && who.gone(m, now) > staleAfter {
			stale++
		}
	}
	if stale > 0 {
		list = append(list, ui.AttentionView{Kind: "info", Title: ui.Plural(stale, "retained message", "retained messages") + " whose sender is gone for a month",
			Text: "Whoever subscribes still gets them.", Label: "Clean up", Path: "/retained?gone=30"})
	}
	return list
}

func (s *Server) diskFree() (int64, bool) {
	if s.cfg.DiskFree == nil {
		return 0, false
	}
	return s.cfg.DiskFree()
}

func (s *Server) certificates() []Certificate {
	if s.cfg.Certificates == nil {
		return nil
	}
	return s.cfg.Certificates()
}

// attention says what is the matter with the certificate, "" when nothing is.
func (c *Certificate) attention(now time.Time) (title, text, kind string) {
	const renewal = " HearthMQ takes a new one over by itself once the file has changed."
	end := c.Ends.Local().Format("2 Jan 2006")
	switch {
	case !c.Ends.After(now):
		return "The certificate has expired", "It ended on " + end + ". Devices that check it can't connect any more." + renewal, "error"
	case c.Problem != "":
		return "Something is wrong with the certificate", ui.Sentence(ui.Visible(c.Problem)), "error"
	case c.Urgent:
		return "The certificate ends in a few days", "On " + end + ", in " + ui.Span(c.Ends.Sub(now)) + "." + renewal, "error"
	case c.Soon:
		return "The certificate ends soon", "On " + end + ", in " + ui.Span(c.Ends.Sub(now)) + "." + renewal, "warning"
	}
	return "", "", ""
}
