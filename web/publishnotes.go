package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/ui"
)

// Bounds of what the audit is told of published messages: a script that sends one each
// second must not push everything else out of it.
const (
	publishNoteFor    = time.Hour // one entry for a topic
	publishNoteTopics = 20        // of one actor in that time
	publishNoteActors = 1000      // that are remembered
)

// publishNotes remembers which publishing stands in the audit already. The zero value is
// empty. Safe for concurrent use.
type publishNotes struct {
	mu     sync.Mutex
	actors map[access.Who]*publishedBy
}

type publishedBy struct {
	since  time.Time
	topics map[string]bool
}

// due reports whether the audit is to be told that who published to a topic, and whether
// it is the last that it is told within the hour.
func (n *publishNotes) due(who access.Who, topicName string, now time.Time) (yes, last bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.actors == nil || len(n.actors) >= publishNoteActors {
		n.actors = make(map[access.Who]*publishedBy)
	}
	by := n.actors[who]
	if by == nil || now.Sub(by.since) >= publishNoteFor {
		by = &publishedBy{since: now, topics: make(map[string]bool)}
		n.actors[who] = by
	}
	key := topicKey(topicName) // a topic may have 64 kB
	if by.topics[key] || len(by.topics) == publishNoteTopics {
		return false, false
	}
	by.topics[key] = true
	return true, len(by.topics) == publishNoteTopics
}

// published notes a message that was sent in the name of ctx's person or token: what was
// retained before, and what was sent, without a byte of either. The log tells each, the
// audit the first of a topic within the hour. retained is what the topic had.
func (s *Server) published(ctx context.Context, m, retained *broker.Message) error {
	who := access.Actor(ctx)
	s.log.Info("message published", "actor", who, "topic", m.Topic)
	yes, last := s.publishNotes.due(who, m.Topic, time.Now())
	if !yes {
		return nil
	}
	before := ""
	if m.Retain && retained != nil {
		before = "retained, " + ui.Bytes(uint64(len(retained.Payload)))
	}
	after := fmt.Sprintf("%s, QoS %d", ui.Bytes(uint64(len(m.Payload))), m.QoS)
	switch {
	case m.Retain && len(m.Payload) == 0:
		after = "nothing retained"
	case m.Retain:
		after = "retained, " + after
	}
	if last {
		after += "; more topics of this hour stand in the log alone"
	}
	return s.cfg.Accounts.Note(context.WithoutCancel(ctx), "message published", clipText(m.Topic, maxLogValue), before, after)
}

// retainedOn returns what a topic has retained, nil for nothing.
func (s *Server) retainedOn(topicName string) *broker.Message {
	for m := range s.cfg.Broker.Retained(topicName) {
		return m
	}
	return nil
}
