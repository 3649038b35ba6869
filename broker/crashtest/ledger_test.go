package crashtest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"hearthmq/broker/topic"
)

// message is one Application Message of the load. Its payload names it.
type message struct {
	key    string // publisher, QoS and number, as in "p1.2|17"
	number int    // of the publisher's messages, from 1
	topic  string
	qos    byte
	retain bool
	clears bool // empty payload: the topic's retained message goes
}

// payload is the key with a tail that follows from it, of 20 to 300 bytes.
func (m *message) payload() []byte {
	if m.clears {
		return nil
	}
	n := 20 + m.number*37%280
	b := append(make([]byte, 0, n+len(m.key)+1), m.key...)
	b = append(b, ' ')
	for i := range n {
		b = append(b, 'a'+byte((m.number+i)%26))
	}
	return b
}

// keyOf is the key of a payload, "" when it is not one of ours or was changed.
func keyOf(payload []byte) string {
	key, _, ok := strings.Cut(string(payload), " ")
	if !ok {
		return ""
	}
	_, n := splitKey(key)
	if m := (message{key: key, number: n}); string(m.payload()) != string(payload) {
		return ""
	}
	return key
}

// splitKey returns publisher with QoS, and number; 0 when there is none.
func splitKey(key string) (who string, number int) {
	who, text, _ := strings.Cut(key, "|")
	number, err := strconv.Atoi(text)
	if err != nil {
		return who, 0
	}
	return who, number
}

// ledger is what was sent and acknowledged, over all lives of the broker.
type ledger struct {
	mu       sync.Mutex
	sent     map[string]*message
	accepted map[string]bool // PUBACK or PUBREC has come
	states   map[string]*state
	settled  map[string]int // per publisher and QoS the highest number that was checked and forgotten
	wrong    []string
}

// state is a topic with retained messages; one publisher writes to it.
type state struct {
	versions []*message
	accepted int // how many of them are superseded or acknowledged: at least the last of these is kept
}

func newLedger() *ledger {
	return &ledger{sent: map[string]*message{}, accepted: map[string]bool{}, states: map[string]*state{}, settled: map[string]int{}}
}

// send notes that a message leaves for the first time.
func (l *ledger) send(m *message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[m.key] = m
	if m.retain {
		s := l.states[m.topic]
		if s == nil {
			s = new(state)
			l.states[m.topic] = s
		}
		s.versions = append(s.versions, m)
	}
}

// accept notes that the broker has taken a message over.
func (l *ledger) accept(m *message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[m.key] = true
	if s := l.states[m.topic]; s != nil {
		for i := s.accepted; i < len(s.versions); i++ {
			if s.versions[i] == m {
				s.accepted = i + 1
			}
		}
	}
}

func (l *ledger) complain(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 50 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// wait waits until n messages are accepted, or until time is over.
func (l *ledger) wait(n int, limit time.Duration) {
	over := time.After(limit)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		l.mu.Lock()
		enough := len(l.accepted) >= n
		l.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-look.C:
		case <-over:
			return
		}
	}
}

// complaints returns what was wrong and forgets it.
func (l *ledger) complaints() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.wrong
	l.wrong = nil
	return w
}

// checkRetained compares what a broker has just given to a new subscriber of all
// state topics: per topic the payload.
func (l *ledger) checkRetained(got map[string][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, s := range l.states {
		payload, ok := got[name]
		fine := s.accepted == 0 && !ok
		for _, m := range s.versions[max(s.accepted-1, 0):] {
			fine = fine || m.clears && !ok || ok && !m.clears && string(m.payload()) == string(payload)
		}
		if !fine {
			l.wrong = append(l.wrong, fmt.Sprintf("retained message of %s is %.40q, neither the last acknowledged one (%s) nor a later one",
				name, payload, s.versions[max(s.accepted-1, 0)].key))
		}
	}
	for name := range got {
		if l.states[name] == nil {
			l.wrong = append(l.wrong, "retained message of "+name+", which nobody sent")
		}
	}
}

// checkSubscriber compares what a subscriber has got with what it should have,
// once everything that was sent has been accepted and fetched.
func (l *ledger) checkSubscriber(s *subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	say := func(format string, args ...any) {
		if len(l.wrong) < 50 {
			l.wrong = append(l.wrong, s.name+": "+fmt.Sprintf(format, args...))
		}
	}
	for key, m := range l.sent {
		if m.clears || !s.wants(m.topic) {
			continue
		}
		n, once := s.got[key], m.qos == 2 && s.qos == 2
		switch {
		case n == 0 && l.accepted[key]:
			say("%s (QoS %d, %s) was acknowledged and is lost", key, m.qos, m.topic)
		case n > 1 && once:
			say("%s (QoS 2, %s) came %d times", key, m.topic, n)
		}
	}
	for key := range s.got {
		if l.sent[key] != nil {
			continue
		}
		who, number := splitKey(key)
		switch {
		case number > l.settled[who]:
			say("%s came, which nobody sent", key)
		case strings.HasSuffix(who, ".2") && s.qos == 2:
			say("%s (QoS 2) came again, long after it was complete", key)
		}
	}
}

// settle forgets what has been checked. Nothing is under way.
func (l *ledger) settle(subs []*subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.sent {
		who, number := splitKey(key)
		l.settled[who] = max(l.settled[who], number)
	}
	clear(l.sent)
	clear(l.accepted)
	for _, s := range l.states {
		s.versions, s.accepted = s.versions[len(s.versions)-1:], 1
	}
	for _, s := range subs {
		s.mu.Lock()
		clear(s.got)
		s.mu.Unlock()
	}
}

func (s *subscriber) wants(name string) bool {
	for _, f := range s.filters {
		if topic.Match(f, name) {
			return true
		}
	}
	return false
}
