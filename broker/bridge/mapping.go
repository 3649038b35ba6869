package bridge

import (
	"bytes"

	"hearthmq/broker/topic"
)

// rename is one Topic of one direction.
type rename struct {
	filter   string // what the topic matches where it comes from
	from, to string // prefixes
}

// mapping finds the names that topics have on the other side. Immutable.
type mapping []rename

// mappings makes those of both directions.
func (s *Settings) mappings() (in, out mapping) {
	for i := range s.Topics {
		t := &s.Topics[i]
		if t.In {
			in = append(in, rename{t.remote(), t.Remote, t.Local})
		}
		if t.Out {
			out = append(out, rename{t.local(), t.Local, t.Remote})
		}
	}
	return in, out
}

// name appends the other side's name of a topic to dst. The first of the bridge's
// topics that matches counts; ok is false when none does, or when the name is none
// on the other side.
func (m mapping) name(dst, name []byte) (renamed []byte, ok bool) {
	text := string(name)
	for i := range m {
		r := &m[i]
		if !topic.Match(r.filter, text) || !bytes.HasPrefix(name, []byte(r.from)) {
			continue
		}
		start := len(dst)
		dst = append(append(dst, r.to...), name[len(r.from):]...)
		return dst, topic.ValidName(string(dst[start:])) == nil
	}
	return dst, false
}
