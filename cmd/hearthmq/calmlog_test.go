package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// case R14
func TestLogFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newSyncBuffer(nil) // timers write as well
		log := slog.New(calm(newLog(out, slog.LevelDebug).Handler(), calmRate)).With("listener", "mqtt")
		const seconds, perSecond = 30, 10_000
		for range seconds {
			for i := range perSecond {
				log.Info("client refused", "client_id", i)
			}
			log.Info("client connected")
			<-time.After(time.Second)
		}
		<-time.After(calmTell)
		synctest.Wait()
		text := out.String()
		refused := strings.Count(text, "client refused  ")
		if want := seconds * calmRate; refused != want {
			t.Errorf("%d lines of a flood, want %d", refused, want)
		}
		if n := strings.Count(text, "client connected"); n != seconds {
			t.Errorf("%d of %d lines of another kind", n, seconds)
		}
		told := 0
		for line := range strings.Lines(text) {
			if _, after, ok := strings.Cut(line, "left_out="); ok {
				var n int
				if _, err := fmt.Sscan(after, &n); err != nil {
					t.Fatal(err)
				}
				told += n
			}
		}
		if told+refused != seconds*perSecond {
			t.Errorf("%d logged and %d told of, want %d", refused, told, seconds*perSecond)
		}
		for range 1000 {
			log.Debug("a packet")
		}
		if n := strings.Count(out.String(), "a packet"); n != 1000 {
			t.Errorf("%d of 1000 lines for debugging", n)
		}
	})
}

// lineTimes is a slog.Handler that remembers when which message was logged.
type lineTimes struct {
	mu sync.Mutex // timers log as well
	at map[string][]time.Time
}

func (*lineTimes) Enabled(context.Context, slog.Level) bool { return true }

func (h *lineTimes) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at[r.Message] = append(h.at[r.Message], r.Time)
	return nil
}

func (h *lineTimes) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *lineTimes) WithGroup(string) slog.Handler      { return h }

// case R14: no second has more lines of a kind than ten, wherever it begins; what is rare
// is logged in full, whatever else goes on.
func TestLogSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := &lineTimes{at: make(map[string][]time.Time)}
		log := slog.New(calm(lines, calmRate))
		for i := range 1000 {
			log.Info("client disconnected")
			if i%7 == 0 {
				log.Warn("client refused")
			}
			if i%20 == 0 {
				log.Error("request failed")
			}
			<-time.After(6 * time.Millisecond)
		}
		<-time.After(calmTell + time.Second) // the timers have told
		lines.mu.Lock()
		defer lines.mu.Unlock()
		for kind, want := range map[string]int{"client disconnected": 60, "client refused": 60, "request failed": 50} {
			at := lines.at[kind]
			if len(at) != want {
				t.Errorf("%s: %d lines in 6 s, want %d", kind, len(at), want)
			}
			for i := calmRate; i < len(at); i++ {
				if d := at[i].Sub(at[i-calmRate]); d < time.Second {
					t.Errorf("%s: eleven lines in %v", kind, d)
				}
			}
		}
	})
}

// case R14: floods at the doors: what is no packet, wrong passwords, TLS errors, what no
// WebSocket handshake begins with, admin pages that nobody may see.
func TestLogFloodAtTheDoors(t *testing.T) {
	h := newHouse(t)
	h.issue("server")
	s := start(t, options{"certfile": h.path("server.pem"), "keyfile": h.path("server.key"), "max_connections_per_address": 0})
	wrong := frameOf(0x10, "\x00\x04MQTT\x04\xC2\x00\x3C"+mqttString("c")+mqttString("nobody")+mqttString("wrong"))
	for _, flood := range []struct{ addr, send string }{
		{s.mqtt, "\x10\x10\x00\x04MQTT\x09\x02\x00\x3c\x00\x04flood"}, {s.mqtt, wrong}, {s.mqtt, "\xf0\x00"}, {s.mqtts, "no TLS at all, no TLS at all"},
		{s.ws, "POST /mqtt HTTP/1.1\r\nHost: x\r\n\r\n"}, {strings.TrimPrefix(s.admin, "http://"), "GET /%zz HTTP/1.1\r\n\r\n"},
	} {
		for range 60 {
			c, err := net.Dial("tcp", flood.addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			_, _ = io.WriteString(c, flood.send)
			_, _ = c.Read(make([]byte, 64)) // it was looked at
			c.Close()
		}
	}
	s.stop()
	perSecond, kinds := map[string]int{}, map[string]bool{}
	for line := range strings.Lines(s.log.String()) {
		if len(line) < 30 || line[20:25] == "debug" {
			continue
		}
		message, _, _ := strings.Cut(line[29:], "  ")
		perSecond[line[:19]+" "+message]++
		kinds[message] = true
	}
	for kind, n := range perSecond {
		if n > calmRate {
			t.Errorf("%d lines of %s", n, kind)
		}
	}
	if !kinds["client refused"] {
		t.Errorf("only %v", kinds)
	}
}

func TestMemoryShare(t *testing.T) {
	const machine = "MemTotal:        8000000 kB\nMemFree: 1 kB\n"
	for _, tt := range []struct {
		cgroup, machine string
		want            int64
	}{
		{"268435456\n", machine, 268435456 / 10 * 8}, // case R5
		{"max\n", machine, 8000000 * 1024 / 2},
		{"9223372036854771712\n", machine, 8000000 * 1024 / 2}, // no limit, in version 1
		{"99999999999999\n", machine, 8000000 * 1024 / 2},
		{"268435456\n", "", 268435456 / 10 * 8},
		{"", "", 0},
	} {
		if got := memoryShare(tt.cgroup, tt.machine); got != tt.want {
			t.Errorf("cgroup %q, machine %q: %d, want %d", tt.cgroup, tt.machine, got, tt.want)
		}
	}
}

// What was left out is told at the end, and by nobody afterwards.
func TestLogFloodAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newSyncBuffer(nil)
		quiet := calm(newLog(out, slog.LevelDebug).Handler(), calmRate)
		log := slog.New(quiet).With("listener", "mqtt")
		flood := func() {
			for range calmRate + 7 {
				log.Info("client refused")
			}
		}
		flood()
		quiet.close()
		flood()
		before := out.String()
		if strings.Count(before, "left_out=7") != 1 {
			t.Errorf("%s", before)
		}
		<-time.After(2 * calmTell)
		synctest.Wait()
		if out.String() != before {
			t.Errorf("told after the end: %s", out.String()[len(before):])
		}
	})
}
