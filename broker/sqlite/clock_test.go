package sqlite_test

import (
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/sqlite"
)

// TestClock starts HearthMQ with a clock that is right, behind or ahead, and looks
// at what becomes of a session that was left an hour before the end, of a message
// with 10 minutes to go, and of what is stored then. The bubble's clock shows 2000;
// what differs is what the database says.
func TestClock(t *testing.T) { // case R12
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	for _, c := range []struct {
		name    string
		off     time.Duration // now minus the last known time
		away    time.Duration // how long the session counts as disconnected
		message time.Duration // what the message has left
	}{
		{"crash and restart", 0, time.Hour, 10 * time.Minute},
		{"five minutes later", 5 * time.Minute, time.Hour + 5*time.Minute, 5 * time.Minute},
		{"a week off", 7 * day, 2 * time.Hour, 10*time.Minute - 7*day},
		{"the clock is a day behind", -day, time.Hour, 10 * time.Minute},
		{"1970 at boot", -56 * year, time.Hour, 10 * time.Minute},
		{"ten years ahead", 10 * year, 2 * time.Hour, 10 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hearthmq.db")
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				known := now.Add(-c.off)
				db := openServer(t, path)
				s := db.Store()
				if _, err := s.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
				q := benchQueued(1)
				q.ClientID = "away"
				q.Delivery.Message.Expires = known.Add(10 * time.Minute)
				apply(t, s, broker.SessionSaved{Session: broker.SessionRecord{ClientID: "away", Version: 5, Expiry: 3 * 3600, Disconnected: known.Add(-time.Hour), Created: known.Add(-day)}}, q)
				if err := db.SetSetting(t.Context(), "clock", strconv.FormatInt(known.UnixMilli(), 10)); err != nil {
					t.Fatal(err)
				}
				closeAll(t, s, db)

				db = openServer(t, path)
				_, s2, state := load(t, db)
				x := state.Sessions[0]
				if got := now.Sub(x.Disconnected); got != c.away {
					t.Errorf("the session counts as away for %v, want %v", got, c.away)
				}
				if got := x.Queue[0].Message.Expires.Sub(now); got != c.message {
					t.Errorf("the message has %v left, want %v", got, c.message)
				}
				// What is stored now is in order with what was stored before.
				time.Sleep(30 * time.Minute)
				now = time.Now()
				late := benchQueued(2)
				late.ClientID = "away"
				late.Delivery.Message.Expires = now.Add(10 * time.Minute)
				apply(t, s2, late)
				closeAll(t, s2, db)
				db = openServer(t, path)
				_, s2, state = load(t, db)
				x = state.Sessions[0]
				if got := x.Queue[1].Message.Expires.Sub(now); got != 10*time.Minute {
					t.Errorf("the new message has %v left", got)
				}
				if got := now.Sub(x.Disconnected); got != c.away+30*time.Minute {
					t.Errorf("half an hour later the session counts as away for %v, want %v", got, c.away+30*time.Minute)
				}
				if got := x.Queue[0].Message.Expires.Sub(now); got != c.message-30*time.Minute {
					t.Errorf("half an hour later the message has %v left, want %v", got, c.message-30*time.Minute)
				}
				closeAll(t, s2, db)
			})
		})
	}
}

// A clock that is set while HearthMQ runs, and a machine that slept, change nothing of what
// is stored either: the next start finds every session, message and retained message with
// what it would have left. A clock that went wrong and was put right ends where it began.
func TestClockIsSet(t *testing.T) { // case R12
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	cases := []struct {
		name  string
		start time.Time       // what the clock shows then
		known time.Duration   // how much later it was at the last commit before, 0: there was none
		steps []time.Duration // by which it is set, an hour of its own apart
	}{
		{"not set at all", clockRight, 0, []time.Duration{0}},
		{"by half a second, and again", clockRight, 0, []time.Duration{time.Second / 2, time.Second / 2, time.Second / 2}},
		{"a day back", clockRight, 0, []time.Duration{-day}},
		{"two hours of sleep, or a step over an hour", clockRight, 0, []time.Duration{2 * time.Hour}},
		{"ten years ahead", clockRight, 0, []time.Duration{10 * year}},
		{"ten years ahead and back", clockRight, 0, []time.Duration{10 * year, -10 * year}},
		{"1970 and NTP, the first start", time.Unix(20, 0), 0, []time.Duration{clockRight.Sub(time.Unix(20, 0))}},
		{"1970 and NTP three days after the last commit", time.Unix(20, 0), clockRight.Sub(time.Unix(20, 0)), []time.Duration{clockRight.Sub(time.Unix(20, 0)) + 3*day}},
		{"from 1970 to 1975 and then right", time.Unix(20, 0), 0, []time.Duration{5 * year, clockRight.Sub(time.Unix(20, 0))}},
	}
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	synctest.Test(t, func(t *testing.T) {
		db := openServer(t, path)
		for _, c := range cases {
			exec(t, raw(t, path), `DELETE FROM session; DELETE FROM message; DELETE FROM outbound; DELETE FROM retained; DELETE FROM setting WHERE name = 'clock'`)
			begun := time.Now()
			set := c.start.Sub(begun)
			start := func() (broker.Store, *broker.State) {
				s := db.Store()
				sqlite.SetWall(s.(*sqlite.Store), func(now time.Time) time.Time { return now.Round(0).Add(set) })
				state, err := s.Load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return s, state
			}
			if c.known != 0 {
				if err := db.SetSetting(t.Context(), "clock", strconv.FormatInt(c.start.Add(c.known).UnixMilli(), 10)); err != nil {
					t.Fatal(err)
				}
			}
			s, _ := start()
			left := begun.Add(day) // of both messages
			q, r := benchQueued(1), benchQueued(2).Delivery.Message
			q.ClientID, q.Delivery.Message.Expires, r.Expires = "away", left, left
			leaves := func(name string, at time.Time) broker.Change {
				return broker.SessionSaved{Session: broker.SessionRecord{ClientID: name, Version: 5, Expiry: 3 * 86400, Disconnected: at, Created: begun}}
			}
			apply(t, s, leaves("away", begun.Add(-time.Hour)), q, broker.RetainedSet{Message: r})
			for i, step := range c.steps {
				time.Sleep(time.Hour)
				set += step
				// One who leaves just then, or has left before and is stored only now.
				apply(t, s, leaves("left "+strconv.Itoa(i), time.Now().Add(-time.Duration(i)*time.Minute)))
			}
			closeAll(t, s)
			for range 2 { // the second start finds what the first one did
				s, state := start()
				if len(state.Sessions) != 1+len(c.steps) || len(state.Retained) != 1 {
					t.Fatalf("%s: %d sessions, %d retained messages", c.name, len(state.Sessions), len(state.Retained))
				}
				near := func(what string, got, want time.Time) {
					t.Helper()
					if d := got.Sub(want); d.Abs() > 2*time.Second { // small steps don't count
						t.Errorf("%s: %s is off by %v", c.name, what, d)
					}
				}
				near("the end of the message", state.Sessions[0].Queue[0].Message.Expires, left)
				near("the end of the retained message", state.Retained[0].Expires, left)
				near("when the session was left", state.Sessions[0].Disconnected, begun.Add(-time.Hour))
				for i, x := range state.Sessions[1:] {
					near("when "+x.ClientID+" was left", x.Disconnected, begun.Add(time.Duration(i+1)*time.Hour-time.Duration(i)*time.Minute))
				}
				apply(t, s, newSession("other"), broker.SessionDeleted{ClientID: "other"}, leaves("left 0", state.Sessions[1].Disconnected))
				closeAll(t, s)
			}
		}
	})
}

// clockRight is what a clock that is right shows.
var clockRight = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// TestClockIsNoted: the time is written with commits, at most once a minute.
func TestClockIsNoted(t *testing.T) { // case R12
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	synctest.Test(t, func(t *testing.T) {
		db := openServer(t, path)
		_, s, _ := load(t, db)
		defer closeAll(t, s, db)
		var noted []int64
		for range 10 {
			apply(t, s, newSession("a"))
			noted = append(noted, query[int64](t, raw(t, path), `SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'clock'`))
			time.Sleep(20 * time.Second)
		}
		changes := 1
		for i := 1; i < len(noted); i++ {
			if noted[i] != noted[i-1] {
				changes++
			}
		}
		if changes != 4 {
			t.Errorf("written %d times in three minutes", changes)
		}
	})
}

// TestUnsetClock: a session that ended while nobody knew the time does not
// count as left 56 years ago.
func TestUnsetClock(t *testing.T) { // case R12
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db := openServer(t, path)
	_, s, _ := load(t, db)
	apply(t, s, broker.SessionSaved{Session: broker.SessionRecord{ClientID: "a", Version: 5, Expiry: 60, Disconnected: time.Unix(77, 0), Created: time.Unix(70, 0)}})
	closeAll(t, s, db)
	db = openServer(t, path)
	_, s, state := load(t, db)
	defer closeAll(t, s)
	if d := time.Since(state.Sessions[0].Disconnected); time.Now().Year() >= 2026 && (d < 0 || d > time.Minute) {
		t.Errorf("away for %v", d)
	}
}

func TestWritten(t *testing.T) { // case S20
	db := openServer(t, filepath.Join(t.TempDir(), "hearthmq.db"))
	_, s, _ := load(t, db)
	defer closeAll(t, s)
	before := s.Written()
	apply(t, s, newSession("zigbee2mqtt-1"), big(1))
	if got := s.Written() - before; got < 0 {
		t.Errorf("%d bytes written", got)
	}
	if sqlite.Estimated(s) < 14<<10 {
		t.Error("nothing is estimated")
	}
}
