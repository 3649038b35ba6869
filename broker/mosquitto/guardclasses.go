package mosquitto

import (
	"encoding/binary"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// inForce is the security of a Setup while it holds, with what tells Topic Names apart
// for those who were asked about so far.
type inForce struct {
	*entrances
	classes *topic.Classes
}

// aclReaderOf is for whom a table's lines are the same; what they don't depend on is zero.
type aclReaderOf struct {
	table          *aclTable
	user, clientID string
	others         bool // user has no lines of its own
	plain          bool // and patterns hold for it
}

func (t *aclTable) readerOf(user, clientID string) aclReaderOf {
	_, own := t.users[user]
	r := aclReaderOf{table: t, others: !own, plain: !t.noPatterns(user, clientID)}
	if own || r.plain && t.byUser {
		r.user = user
	}
	if r.plain && t.byClient {
		r.clientID = clientID
	}
	return r
}

// learn has the classes take in what decides about a client's messages, once.
func (in *inForce) learn(t *aclTable, user, clientID string) {
	in.classes.LearnFor(t.readerOf(user, clientID), func() []string { return t.readFilters(user, clientID) })
}

// readFilters are those of all lines that decide what a client is sent.
func (t *aclTable) readFilters(user, clientID string) []string {
	var list []string
	for i := range t.users[user] {
		if r := &t.users[user][i]; r.speaksOf(Read) {
			list = append(list, r.Filter)
		}
	}
	if t.noPatterns(user, clientID) {
		return list
	}
	for i := range t.patterns {
		r := &t.patterns[i]
		if filter, ok := patternFor(r.Filter, user, clientID); ok && r.speaksOf(Read) {
			list = append(list, filter)
		}
	}
	return list
}

// AppendClass implements broker.Classifier.
func (g *Guard) AppendClass(dst []byte, name string) (class []byte, ok bool) {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	if dst, ok = g.now.Load().classes.Append(dst, name); !ok || g.dynsec == nil {
		return dst, ok
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at)) // where the other's begins
	c, ok := g.dynsec.(broker.Classifier)
	if !ok {
		return dst, false
	}
	return c.AppendClass(dst, name)
}

var _ broker.Classifier = (*Guard)(nil)
