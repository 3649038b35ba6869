package mosquitto_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker"
	"hearthmq/broker/mosquitto"
	"hearthmq/broker/packet"
)

var now = time.Unix(1_790_000_000, 0)

// example is a small database; what a version can't hold is left out of it.
func example(version uint32) *mosquitto.Database {
	db := &mosquitto.Database{File: "db", Version: version, Messages: map[uint64]*mosquitto.BaseMessage{
		1: {ID: 1, Topic: "home/kitchen", Payload: []byte("21.5"), QoS: 1, Retain: true, SourceID: "lamp", SourceUser: "anna"},
		2: {ID: 2, Topic: "home/empty", Payload: []byte{}, SourceID: "lamp", SourceUser: "anna"},
		3: {ID: 3, Topic: "q", Payload: []byte("waits"), QoS: 2, SourceID: "lamp", SourceUser: "anna"},
	}}
	db.Retained = []uint64{1}
	db.Clients = []mosquitto.Client{{ID: "lamp", Expiry: broker.NeverExpires}}
	db.Subscriptions = []mosquitto.Subscription{{ClientID: "lamp", Filter: "home/#", QoS: 1}, {ClientID: "lamp", Filter: "$share/g/x/+", QoS: 2}}
	db.Queued = []mosquitto.ClientMessage{
		{ClientID: "lamp", MessageID: 3, PacketID: 4, QoS: 2, State: 5},
		{ClientID: "lamp", MessageID: 1, PacketID: 0, QoS: 1, State: 11, Retain: true},
	}
	if version < 4 {
		for _, m := range db.Messages {
			m.SourceUser = ""
		}
	}
	if version >= 5 {
		db.Messages[1].Expires = now.Add(time.Hour)
		db.Messages[1].Properties = []byte{0x26, 0, 1, 'k', 0, 1, 'v'}
		db.Clients[0].Expiry = 3600
		db.Clients[0].ExpiresAt = now.Add(time.Minute)
		db.Subscriptions[0].Options, db.Subscriptions[0].Identifier = 0x2c, 300
		db.Queued[0].Identifier = 300
	}
	if version == 6 {
		db.Clients[0].User, db.Clients[0].UserKnown, db.Clients[0].ListenPort = "anna", true, 1883
	}
	return db
}

func TestDatabaseVersions(t *testing.T) {
	for v := uint32(2); v <= 6; v++ {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			want := example(v)
			got, found := mosquitto.ReadDatabase("db", iotest.HalfReader(bytes.NewReader(writeDatabase(v, want))))
			if len(found) > 0 {
				t.Fatal(found)
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A file that breaks off anywhere is told to be broken and gives nothing.
func TestDatabaseTruncated(t *testing.T) {
	for v := uint32(2); v <= 6; v++ {
		whole := writeDatabase(v, example(v))
		ends := 0
		for n := range whole {
			db, found := mosquitto.ReadDatabase("db", bytes.NewReader(whole[:n]))
			switch broken := mosquitto.Worst(found) == mosquitto.Broken; {
			case broken != (db == nil):
				t.Fatalf("version %d, %d bytes: %v with %v", v, n, db, found)
			case !broken:
				ends++ // between two entries nobody can tell
			}
		}
		if ends > 15 {
			t.Errorf("version %d: %d of %d beginnings pass for whole", v, ends, len(whole))
		}
	}
}

func TestDatabaseBroken(t *testing.T) {
	good := writeDatabase(6, example(6))
	patch := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	tests := map[string]struct {
		text []byte
		want string
	}{
		"empty":            {nil, "not a mosquitto.db"},
		"something else":   {[]byte(strings.Repeat("x", 100)), "not a mosquitto.db"},
		"zeros":            {make([]byte, 1000), "not a mosquitto.db"},
		"version 7":        {patch(22, 7), "version 7"},
		"version 1":        {patch(22, 1), "version 1"},
		"kind 9":           {patch(26, 9), "kind 9"},
		"length too small": {patch(30, 1), "length"},
		"length too large": {patch(27, 0xff), "in the middle"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			db, found := mosquitto.ReadDatabase("db", bytes.NewReader(tt.text))
			if db != nil || len(found) != 1 || !strings.Contains(found[0].String(), tt.want) {
				t.Errorf("%v, %v, want %q", db, found, tt.want)
			}
		})
	}
}

// Names and filters count as messages do: a file of nothing else does not fill the memory.
func TestDatabaseOfNames(t *testing.T) {
	const most = 1 << 20
	for _, v := range []uint32{4, 6} {
		w := &dbWriter{version: v}
		w.Write(writeDatabase(v, example(v)))
		begin := w.Len()
		for i := range most / 1000 {
			w.subscription(mosquitto.Subscription{ClientID: "c", Filter: fmt.Sprint(i, strings.Repeat("/x", 500))})
		}
		if db, found := mosquitto.ReadDatabaseWithin("db", bytes.NewReader(w.Bytes()), most); db != nil || len(found) != 1 || !strings.Contains(found[0].String(), "larger than 1 MiB") {
			t.Errorf("version %d: %v, %v", v, db != nil, found)
		}
		w.Truncate(begin)
		for range 10 * most / 1000 { // the same name again and again is kept once
			w.subscription(mosquitto.Subscription{ClientID: "c", Filter: strings.Repeat("/x", 100)})
		}
		if db, found := mosquitto.ReadDatabaseWithin("db", bytes.NewReader(w.Bytes()), most); db == nil {
			t.Errorf("version %d: %v", v, found)
		}
	}
}

func TestDatabaseState(t *testing.T) {
	db := example(6)
	db.Messages[4] = &mosquitto.BaseMessage{ID: 4, Topic: "$SYS/broker/uptime", Payload: []byte("1"), Retain: true}
	db.Messages[5] = &mosquitto.BaseMessage{ID: 5, Topic: "old", Payload: []byte("1"), Retain: true, Expires: now.Add(-time.Second)}
	db.Messages[6] = &mosquitto.BaseMessage{ID: 6, Topic: "a/+", Payload: []byte("1"), Retain: true}
	db.Retained = append(db.Retained, 4, 5, 6, 77)
	db.Clients = append(db.Clients,
		mosquitto.Client{ID: "ghost", User: "x", UserKnown: true, Expiry: 60, ExpiresAt: now.Add(-time.Second)},
		mosquitto.Client{ID: "anon", UserKnown: true, Expiry: broker.NeverExpires})
	db.Queued = append(db.Queued, mosquitto.ClientMessage{ClientID: "lamp", MessageID: 3, PacketID: 9, QoS: 2, Incoming: true})
	st, found := db.State(now, false)
	if len(st.Retained) != 1 || st.Retained[0].Topic != "home/kitchen" || !st.Retained[0].Retain || st.Retained[0].PublisherUser != "anna" {
		t.Fatalf("retained: %+v", st.Retained)
	}
	if len(st.Sessions) != 1 {
		t.Fatalf("sessions: %+v", st.Sessions)
	}
	s := st.Sessions[0]
	want := broker.SessionRecord{
		ClientID: "lamp", User: "anna", Version: packet.V50, Expiry: 3600,
		Disconnected: now.Add(time.Minute - time.Hour), Created: now.Add(time.Minute - time.Hour),
	}
	if s.SessionRecord != want || len(s.Subscriptions) != 2 || len(s.Queue) != 2 || len(s.Received) != 1 {
		t.Errorf("session: %+v", s)
	}
	if sub := s.Subscriptions[0]; !sub.NoLocal || !sub.RetainAsPublished || sub.RetainHandling != 2 || sub.ID != 300 {
		t.Errorf("options: %+v", sub)
	}
	if sub := s.Subscriptions[1]; sub.Share != "g" || sub.Filter != "x/+" {
		t.Errorf("share: %+v", sub)
	}
	if d := s.Queue[0]; d.State != broker.StateSent || d.PacketID != 4 || d.QoS != 2 || d.SubIDs[0] != 300 {
		t.Errorf("first of the queue: %+v", d)
	}
	if d := s.Queue[1]; d.State != broker.StateQueued || d.PacketID != 0 || !d.Retain {
		t.Errorf("second of the queue: %+v", d)
	}
	all := fmt.Sprint(found)
	for _, want := range []string{"anon", "not in the file", "$ topics", "topic or a QoS", "1 expired messages", "1 expired sessions", "not complete"} {
		if !strings.Contains(all, want) {
			t.Errorf("no notice about %q in %s", want, all)
		}
	}
	if st, _ := db.State(now, true); len(st.Sessions) != 2 {
		t.Errorf("with anonymous clients: %d sessions", len(st.Sessions))
	}
}

// The user of a session comes from the messages of its client where the file names none.
func TestDatabaseGuessesUser(t *testing.T) {
	st, _ := example(4).State(now, false)
	if len(st.Sessions) != 1 || st.Sessions[0].User != "anna" {
		t.Errorf("version 4: %+v", st.Sessions)
	}
	if st, found := example(3).State(now, false); len(st.Sessions) != 0 || !strings.Contains(fmt.Sprint(found), "whose it is") {
		t.Errorf("version 3: %+v, %v", st.Sessions, found)
	}
}
