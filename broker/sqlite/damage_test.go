package sqlite_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/sqlite"
)

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestDamagedRows puts rows into the tables that no HearthMQ writes. Each is passed
// over and logged, the sound rows beside it are there, and the Store goes on working.
func TestDamagedRows(t *testing.T) {
	const (
		message  = `INSERT INTO message VALUES (%s)`
		outbound = `INSERT INTO outbound VALUES (%s)`
	)
	made := filepath.Join(t.TempDir(), "hearthmq.db")
	db, s, _ := openStore(t, made)
	apply(t, s, newSession("zigbee2mqtt-1"), benchQueued(1), broker.RetainedSet{Message: broker.NewMessage("good", []byte("1"), 0, true)})
	closeAll(t, s, db)
	for _, c := range []struct{ name, insert string }{
		{"protocol version", `INSERT INTO session VALUES (9, 'x', '', '', 6, 0, NULL, 0, 0)`},
		{"session expiry", `INSERT INTO session VALUES (9, 'x', '', '', 5, -1, NULL, 0, 0)`},
		{"account", `INSERT INTO session VALUES (9, 'x', '', '', 5, 0, NULL, 0, 7)`},
		{"client id", `INSERT INTO session VALUES (9, CAST(x'ff00' AS TEXT), '', '', 5, 0, NULL, 0, 0)`},
		{"long client id", `INSERT INTO session VALUES (9, CAST(zeroblob(70000) AS TEXT), '', '', 5, 0, NULL, 0, 0)`},
		{"topic filter", `INSERT INTO subscription VALUES (1, '', 'a/#/b', 0, 0, 0, 0, 0)`},
		{"share name", `INSERT INTO subscription VALUES (1, 'a/b', 'c', 0, 0, 0, 0, 0)`},
		{"shared topic filter", `INSERT INTO subscription VALUES (1, 'a', '', 0, 0, 0, 0, 0)`},
		{"maximum qos", `INSERT INTO subscription VALUES (1, '', 'x', 3, 0, 0, 0, 0)`},
		{"subscription id", `INSERT INTO subscription VALUES (1, '', 'x', 0, 0, 0, 0, 4294967296)`},
		{"no local", `INSERT INTO subscription VALUES (1, '', 'x', 0, 7, 0, 0, 0)`},
		{"retained topic", `INSERT INTO retained VALUES ('a/+', x'00', x'', 0, NULL, NULL, '', '', 0, 0)`},
		{"retained properties", `INSERT INTO retained VALUES ('x', x'00', x'26ffff', 0, NULL, NULL, '', '', 0, 0)`},
		{"retained qos", `INSERT INTO retained VALUES ('x', x'00', x'', -1, NULL, NULL, '', '', 0, 0)`},
		{"packet id 0", `INSERT INTO inbound_qos2 VALUES (1, 0)`},
		{"packet id 65536", `INSERT INTO inbound_qos2 VALUES (1, 65536)`},
		{"will delay", `INSERT INTO will VALUES (1, 'x', x'', x'', 0, 0, 0, -1, NULL, '', '')`},
		{"will delay of centuries", `INSERT INTO will VALUES (1, 'x', x'', x'', 0, 0, 0, 9223372036854775807, NULL, '', '')`},
		{"will topic", `INSERT INTO will VALUES (1, '', x'', x'', 0, 0, 0, 0, NULL, '', '')`},
		{"delivery without message", fmt.Sprintf(outbound, `1, 7, 99, 1, 0, '', 0, 0`)},
		{"delivery state", fmt.Sprintf(outbound, `1, 7, 1, 1, 0, '', 3, 1`)},
		{"delivery qos", fmt.Sprintf(outbound, `1, 7, 1, 256, 0, '', 0, 0`)},
		{"sent without packet id", fmt.Sprintf(outbound, `1, 7, 1, 1, 0, '', 1, 0`)},
		{"queued with packet id", fmt.Sprintf(outbound, `1, 7, 1, 1, 0, '', 0, 5`)},
		{"subscription ids", fmt.Sprintf(outbound, `1, 7, 1, 1, 0, '1,x', 0, 0`)},
		{"subscription id 0", fmt.Sprintf(outbound, `1, 7, 1, 1, 0, '0', 0, 0`)},
		{"message topic", fmt.Sprintf(message, `9, '#', x'', x'', 0, 0, NULL, NULL, '', ''`) + `;` + fmt.Sprintf(outbound, `1, 7, 9, 1, 0, '', 0, 0`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hearthmq.db")
			if err := os.WriteFile(path, read(t, made), 0o600); err != nil {
				t.Fatal(err)
			}
			exec(t, raw(t, path), c.insert)

			var log strings.Builder
			db, err := sqlite.Open(t.Context(), path, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll(t, db)
			s2 := db.Store()
			state, err := s2.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(state.Sessions) != 1 || len(state.Retained) != 1 {
				t.Fatalf("%+v", state)
			}
			if x := state.Sessions[0]; len(x.Queue) != 1 || len(x.Subscriptions)+len(x.Received) > 0 || x.Will != nil {
				t.Errorf("%+v", x)
			}
			if !strings.Contains(log.String(), "level=ERROR") {
				t.Error("the log says nothing")
			}
			// What has the damaged row's key takes its place.
			apply(t, s2, broker.SessionSaved{Session: broker.SessionRecord{ClientID: "x", Version: 5}})
			q := benchQueued(21)
			q.Delivery.Seq, q.MessageID = 7, state.NextMessage
			apply(t, s2, q, broker.RetainedSet{Message: broker.NewMessage("x", []byte("1"), 0, true)},
				broker.SubscriptionSaved{ClientID: q.ClientID, Subscription: broker.Subscription{Filter: "x"}})
			if state, err = s2.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(state.Sessions) != 2 || len(state.Retained) != 2 || len(state.Sessions[1].Queue) != 2 || len(state.Sessions[1].Subscriptions) != 1 {
				t.Errorf("after writing over it: %+v", state)
			}
			apply(t, s2, broker.SessionDeleted{ClientID: q.ClientID}, broker.SessionDeleted{ClientID: "x"})
			if _, deliveries, messages := sqlite.Remembered(s2.(*sqlite.Store)); deliveries+messages != 0 {
				t.Errorf("%d deliveries and %d messages are remembered without a session", deliveries, messages)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db, s, _ := openStore(t, path)
	if err := db.Store().Apply(t.Context(), []broker.Change{newSession("a")}); err == nil {
		t.Error("Apply before Load was taken")
	}
	if _, err := s.Load(cancelled()); err == nil {
		t.Error("Load does not heed its context")
	}
}

// FuzzRow feeds columns to the decoders of rows (they come from a file that anybody
// may have had in his hands).
func FuzzRow(f *testing.F) {
	f.Add("a/b", []byte("payload"), []byte{}, int64(0), int64(0), "1,2", int64(0))
	f.Add("#", []byte{}, []byte{0x26, 0, 1, 'a', 0, 1, 'b'}, int64(2), int64(1), "", int64(65535))
	path := filepath.Join(f.TempDir(), "hearthmq.db")
	db, err := sqlite.Open(f.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	defer closeAll(f, db)
	s := db.Store()
	if _, err := s.Load(f.Context()); err != nil {
		f.Fatal(err)
	}
	apply(f, s, newSession("a"))
	other := raw(f, path)
	f.Fuzz(func(t *testing.T, text string, payload, properties []byte, small, state int64, ids string, number int64) {
		for _, table := range []string{"message", "outbound", "retained", "will", "subscription", "inbound_qos2"} {
			exec(t, other, `DELETE FROM `+table)
		}
		if payload == nil {
			payload = []byte{}
		}
		if properties == nil {
			properties = []byte{}
		}
		exec(t, other, `INSERT INTO message VALUES (1, ?, ?, ?, ?, 0, ?, ?, ?, ?)`, text, payload, properties, small, number, number, text, text)
		exec(t, other, `INSERT INTO outbound VALUES (1, ?, 1, ?, 0, ?, ?, ?)`, number, small, ids, state, number)
		exec(t, other, `INSERT INTO retained VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, text, payload, properties, small, number, number, text, text, small, number)
		exec(t, other, `INSERT INTO will VALUES (1, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)`, text, payload, properties, small, number, number, number, text, text)
		exec(t, other, `INSERT INTO subscription VALUES (1, ?, ?, ?, 0, 0, ?, ?)`, ids, text, small, state, number)
		exec(t, other, `INSERT INTO inbound_qos2 VALUES (1, ?)`, number)
		got, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range got.Sessions {
			for _, d := range x.Queue {
				if d.Message == nil || d.QoS > 2 || (d.PacketID == 0) != (d.State == broker.StateQueued) {
					t.Errorf("%+v", d)
				}
			}
		}
	})
}
