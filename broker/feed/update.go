package feed

import (
	"unicode/utf8"

	"hearthmq/broker/feed/payload"
)

// frameBytes bounds an Update in its wire form; Home Assistant's proxies take
// more, but a frame should not hold up what follows it.
const frameBytes = 240 << 10

const (
	// nameBytes bounds a level's name in a Row (the whole name is in Detail), and
	// Client Identifiers and user names.
	nameBytes = 512
	// previewRunes bounds the text of a Value.
	previewRunes = 160
)

// Update is what changed since the one before it. An empty part means no news.
type Update struct {
	// Reset: forget the tree, all of it comes anew.
	Reset bool
	Rows  []Row
	Gone  []uint32
	// More: the tree is not complete yet.
	More   bool
	Values []Value
	Match  *Match
	Detail *Detail
	Rate   *float64 // messages per second of the selected topic
	Totals *Totals
}

func (u *Update) empty() bool {
	return !u.Reset && len(u.Rows) == 0 && len(u.Gone) == 0 && len(u.Values) == 0 &&
		u.Match == nil && u.Detail == nil && u.Rate == nil && u.Totals == nil
}

// Row is a level of the tree. One that came before has changed from a folder to
// a topic or back.
type Row struct {
	ID     uint32
	Parent uint32 // 0: top level
	Name   string // at most nameBytes bytes of it
	Topic  bool
}

// Value is the last value of a visible topic, shortened to one line.
type Value struct {
	ID       uint32
	Text     string
	Count    uint64
	Age      int64 // milliseconds
	Retained bool
	Rate     float64 // messages per second
}

// Match lists topics that the filter matches. A topic that matched once stays.
type Match struct {
	Filter string // the text that was asked for
	First  bool   // forget earlier matches
	IDs    []uint32
	Done   bool // that is all, for now
	// Problem says what is wrong with a regular expression.
	Problem string
}

// Detail is all that is known of the selected topic or folder.
type Detail struct {
	ID    uint32
	Topic Text
	// What follows is meaningful for a topic only.
	IsTopic  bool
	Kind     payload.Kind
	Value    Text
	Size     int // bytes of the value as it was received
	Kept     int // bytes of it that Value holds
	QoS      byte
	Retained bool
	Count    uint64
	Bytes    uint64 // payload bytes of all messages since the start
	Age      int64  // milliseconds since the last message
	Rate     float64
	Every    float64 // seconds between messages on average, 0: unknown
	ClientID string
	User     string
	Remote   string
	Previous *Text // nil: not kept
	PrevSize int   // -1: there is none
	PrevAge  int64
	// Forms are the ways to look at the value, the best first. Decoded is its text
	// in DecodedForm, where that is one that needs a decoder.
	Forms       []payload.Form
	DecodedForm payload.Form
	Decoded     *Text
	DecodedLong bool // Decoded is only the beginning
	// History is how many messages are kept; Seq is the newest of them.
	History    int
	Seq        uint64
	Pinned     bool
	Whole      bool   // the whole payload can be had
	Properties []byte // as broker.Message has them
}

// Text is bytes on their way to a browser: as they are when they are text that
// JSON does not blow up, else to be sent as base64.
type Text struct {
	Bytes  []byte
	Base64 bool
}

func newText(b []byte) Text {
	return Text{Bytes: b, Base64: !utf8.Valid(b) || quotedLen(b) > len(b)*3/2+64}
}

// wireLen is roughly how long t is on the wire.
func (t Text) wireLen() int {
	if t.Base64 {
		return len(t.Bytes)*4/3 + 16
	}
	return quotedLen(t.Bytes) + 16
}

func (d *Detail) wireLen() int {
	n := 512 + d.Topic.wireLen() + d.Value.wireLen() +
		quotedLen([]byte(d.ClientID)) + quotedLen([]byte(d.User))
	if d.Previous != nil {
		n += d.Previous.wireLen()
	}
	if d.Decoded != nil {
		n += d.Decoded.wireLen()
	}
	return n + 2*len(d.Properties)
}

// shortName cuts a name down to nameBytes.
func shortName(s string) string {
	if len(s) <= nameBytes {
		return s
	}
	return string(cutText([]byte(s), nameBytes)) + "…"
}

// cutText shortens b to at most n bytes of whole runes.
func cutText(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}
