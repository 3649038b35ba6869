package dynsec

import (
	"slices"
	"strings"

	"hearthmq/broker"
)

// asked is whose ACLs are learnt once; clientID is "" where none depends on it.
type asked struct{ user, clientID string }

// learn has the classes take in what decides about a client's messages.
func (p *policy) learn(roles []*judgedRole, id *broker.Identity) {
	who := asked{user: id.User}
	if slices.ContainsFunc(roles, func(r *judgedRole) bool { return r.byClient }) {
		who.clientID = id.ClientID
	}
	p.classes.LearnFor(who, func() (filters []string) {
		for _, r := range roles {
			for i := range r.patterns[receive] {
				if pattern, ok := r.patterns[receive][i].pattern(id); ok {
					filters = append(filters, pattern)
				}
			}
		}
		return filters
	})
}

// AppendClass implements broker.Classifier.
func (e *Engine) AppendClass(dst []byte, name string) (class []byte, ok bool) {
	kind := byte(0)
	if strings.HasPrefix(name, "$CONTROL") { // see otherwise
		kind = 1
	}
	return e.policy.Load().classes.Append(append(dst, kind), name)
}

var _ broker.Classifier = (*Engine)(nil)
