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
	List   *List
	Values []Value
	Match  *Match
	At     *At
	Opened []Opened
	Detail *Detail
	Gone   bool     // the selected row is no more
	Rate   *float64 // messages per second of the selected topic
	Totals *Totals
}

func (u *Update) empty() bool {
	return u.List == nil && len(u.Values) == 0 && u.Match == nil && u.At == nil && len(u.Opened) == 0 &&
		u.Detail == nil && !u.Gone && u.Rate == nil && u.Totals == nil
}

// List is the browser's part of the rows: those from From to before To.
type List struct {
	From, To int
	All      int // rows that there are
	Topics   int // topics that there are, listed or not
	// Rows are those of the part that the browser has not, or not like this.
	Rows []Row
}

// Row is a level of the tree as it stands in the list.
type Row struct {
	Index     int
	ID        uint32
	Level     int    // 1: top level
	Up        int    // index of the folder that it is in, -1: none
	Pos, Size int    // which one it is in its folder, from 1, and of how many
	Name      string // at most nameBytes bytes of it
	Topic     bool
	Folder    bool
	Open      bool
	Count     int // topics inside that are listed when it is open
}

// At says where a row is that was asked for.
type At struct {
	Index  int    // -1: it is not in the list, or not known at all
	ID     uint32 // 0: it is not known
	Chosen bool   // it is the selection now
	Reveal bool   // the browser is to move there
}

// Opened is a folder that is open now, for a browser that asks for it again later.
type Opened struct {
	ID    uint32
	Topic string
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

// Match says what a filter finds. A topic that matched once stays.
type Match struct {
	Filter  string // the text that was asked for
	Count   int    // topics
	Problem string // what is wrong with a regular expression
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
