package topic

import (
	"hash/maphash"
	"strings"
)

// levels gives each level text one number for as long as something refers to it.
// Texts are counted, so names that come and go leave nothing behind. newLevels
// makes it ready.
type levels struct {
	index
	seed  maphash.Seed
	texts []levelText // by id; 0 and plusLevel are never texts
	free  []uint32
}

type levelText struct {
	text string // a copy: a part of the key would keep the whole key alive
	refs uint32
}

// plusLevel stands for the wildcard "+", noLevel for a text that nothing refers to.
const (
	noLevel   = 0
	plusLevel = 1
)

func newLevels() levels {
	return levels{index: newIndex(), seed: maphash.MakeSeed(), texts: make([]levelText, 2, 8)}
}

func (l *levels) hash(text string) uint32 { return uint32(maphash.String(l.seed, text)) }

// find returns the number of text, noLevel when nothing refers to it.
func (l *levels) find(text string) uint32 { return l.lookup(text, l.hash(text)) }

func (l *levels) lookup(text string, hash uint32) uint32 {
	for i := l.start(hash); ; i = l.after(i) {
		s := l.slots[i]
		if s.id == 0 {
			return noLevel
		}
		if s.hash == hash && l.texts[s.id].text == text {
			return s.id
		}
	}
}

// acquire returns the number of text and notes one more reference.
func (l *levels) acquire(text string) uint32 {
	hash := l.hash(text)
	id := l.lookup(text, hash)
	if id == noLevel {
		if i := len(l.free) - 1; i >= 0 {
			id, l.free = l.free[i], l.free[:i]
		} else {
			l.texts = append(l.texts, levelText{})
			id = uint32(len(l.texts) - 1)
		}
		l.texts[id].text = strings.Clone(text)
		l.insert(hash, id)
	}
	l.texts[id].refs++
	return id
}

// release takes back one acquire; the last one frees the number and the text.
func (l *levels) release(id uint32) {
	e := &l.texts[id]
	if e.refs--; e.refs == 0 {
		l.remove(l.hash(e.text), id)
		e.text = ""
		l.free = append(l.free, id)
	}
}

// hidden reports whether a name whose first level is id is hidden from wildcards.
func (l *levels) hidden(id uint32) bool { return hidden(l.texts[id].text) }
