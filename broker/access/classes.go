package access

import "hearthmq/broker"

// classify has the snapshot's classes take in the filters of set, once. A set that was not
// asked has decided nothing yet.
func (s *snapshot) classify(set *ruleSet) {
	if !set.known.Load() && s.classes.Learn(set.subscribe.allowFilters, set.subscribe.denyFilters) {
		set.known.Store(true)
	}
}

// AppendClass implements broker.Classifier.
func (d *Directory) AppendClass(dst []byte, name string) (class []byte, ok bool) {
	return d.snap.Load().classes.Append(dst, name)
}

var _ broker.Classifier = (*Directory)(nil)
