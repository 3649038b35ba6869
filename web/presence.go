package web

import (
	"iter"
	"strings"
	"time"

	"hearthmq/broker"
)

// presence knows which publishers are there, to find messages whose publisher is
// gone. A client that makes a new Client Identifier for each connection is
// recognised by the part of it that stays and its user.
type presence struct {
	away  map[string]time.Time // Client Identifier → since when; zero: connected
	stems map[stem]bool
}

type stem struct{ user, name string }

// Publishers that are HearthMQ itself, in the name of a person or of a program. They are
// no clients, and never gone.
const (
	publisherAdmin = "HearthMQ admin"
	publisherAPI   = "HearthMQ API"
)

func presenceOf(sessions iter.Seq[broker.SessionInfo]) *presence {
	p := &presence{away: make(map[string]time.Time), stems: make(map[stem]bool)}
	for s := range sessions {
		if !s.Connected {
			p.away[s.ClientID] = s.Since
			continue
		}
		p.away[s.ClientID] = time.Time{}
		if name, random := stemOf(s.ClientID); random {
			p.stems[stem{s.User, name}] = true
		}
	}
	return p
}

// gone says for how long the publisher of m has been away, at least: 0 when it is
// here, or nobody knows who it was.
func (p *presence) gone(m *broker.Message, now time.Time) time.Duration {
	if m.PublisherID == "" || m.PublisherID == publisherAdmin || m.PublisherID == publisherAPI || m.Received.IsZero() {
		return 0 // imported, or the broker's own
	}
	since, known := p.away[m.PublisherID]
	switch {
	case known && since.IsZero():
		return 0
	case known:
		return now.Sub(since)
	}
	if name, random := stemOf(m.PublisherID); random && p.stems[stem{m.PublisherUser, name}] {
		return 0
	}
	return now.Sub(m.Received)
}

// stemOf is the part of a Client Identifier before what looks made up by chance:
// at least six letters and digits at the end, digits among them.
func stemOf(id string) (name string, random bool) {
	at := strings.LastIndexAny(id, "_-/.:")
	end := id[at+1:]
	if at < 3 || len(end) < 6 || !strings.ContainsAny(end, "0123456789") {
		return id, false
	}
	return id[:at], true
}

// maxLink bounds the topics that get a link.
const maxLink = 512

// topicLink is the part of a link to the topics page behind the #, "" for topics
// that are too long for one. It never reaches a server.
func topicLink(name string) string {
	if len(name) > maxLink {
		return ""
	}
	return "t=" + keyOf(name)
}
