package main

import (
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
)

func TestLogLines(t *testing.T) {
	var b strings.Builder
	log := newLog(&b, levelTrace)
	log.Info("client connected", "client_id", "lamp", "user", "", "n", 3)
	log.With("listener", "mqtt").Warn("odd", "client_id", "a b\nfake=1", "err", errors.New(`it "broke"`))
	log.WithGroup("g").Debug("grouped", slog.Group("h", "k", "v"))
	log.Log(t.Context(), levelTrace, "packet")
	log.Error("bad", "s", "\x1b[31mred\u202e")
	want := []string{
		`info     client connected  client_id=lamp n=3`,
		`warning  odd  listener=mqtt client_id="a b\nfake=1" err="it \"broke\""`,
		`debug    grouped  g.h.k=v`,
		`trace    packet`,
		`error    bad  s="\x1b[31mred\u202e"`,
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines:\n%s", len(lines), &b)
	}
	for i, line := range lines {
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d `).MatchString(line) || line[20:] != want[i] {
			t.Errorf("line %q, want %q", line, want[i])
		}
	}
}

func TestLogLevels(t *testing.T) {
	for setting, want := range map[string]string{
		"trace": "trace debug info warning error", "debug": "debug info warning error", "info": "info warning error",
		"warning": "warning error", "error": "error",
	} {
		var b strings.Builder
		log := newLog(&b, level(setting))
		for _, l := range []slog.Level{levelTrace, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			log.Log(t.Context(), l, "x")
		}
		var got []string
		for line := range strings.Lines(b.String()) {
			got = append(got, strings.Fields(line)[2])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s logs %v, want %s", setting, got, want)
		}
	}
}
