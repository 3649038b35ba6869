package addon_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/addon"
	"hearthmq/broker"
)

// shown collects notifications.
type shown struct {
	mu    sync.Mutex
	texts map[string]string
	times int
	err   error
}

func (s *shown) notify(_ context.Context, id, _, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times++
	if s.err == nil {
		s.texts[id] = text
	}
	return s.err
}

func (s *shown) get(id string) (string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.texts[id], s.times
}

func (s *shown) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func notices(t *testing.T, unknown, locks bool) (*addon.Notices, *shown) {
	t.Helper()
	s := &shown{texts: map[string]string{}}
	n := addon.NewNotices(addon.NoticesConfig{
		Notify: s.notify, Panel: func() string { return "/app/014ce74a_hearthmq" }, Unknown: unknown, Locks: locks, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return n, s
}

func refused(user, client, remote string, why broker.Reason) broker.Refused {
	return broker.Refused{At: time.Now(), User: user, ClientID: client, Remote: remote, Reason: why}
}

func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := notices(t, true, true)
		n.OnEvent(broker.Connected{})
		n.OnEvent(refused("lamp", "lamp-1", "192.168.1.7:1000", broker.WrongPassword)) // happens
		after(t, 5*time.Second)
		if _, times := s.get(""); times != 0 {
			t.Errorf("%d notifications for nothing", times)
		}
		for i := range 100 { // one device that tries over and over
			n.OnEvent(refused("plug", fmt.Sprint("mqttjs_", i), fmt.Sprintf("192.168.1.8:%d", 1000+i), broker.UnknownUser))
			after(t, time.Second)
		}
		text, times := s.get("hearthmq_unknown_device")
		if times != 1 || strings.Count(text, "`plug`") != 1 || !strings.Contains(text, "`192.168.1.8`") || !strings.Contains(text, "/app/014ce74a_hearthmq") {
			t.Errorf("%d times: %s", times, text)
		}
		n.OnEvent(refused("lamp", "lamp-1", "192.168.1.7:1000", broker.TooManyAttempts))
		after(t, 2*time.Second)
		if text, _ := s.get("hearthmq_lock_out"); !strings.Contains(text, "`lamp-1`") {
			t.Errorf("lock-out: %s", text)
		}

		// A flood of strangers makes one notification a minute, of the last few.
		for i := range 1000 {
			n.OnEvent(refused(fmt.Sprint("stranger-", i), "x", "192.168.1.9:1", broker.UnknownUser))
		}
		after(t, 90*time.Second)
		text, times = s.get("hearthmq_unknown_device")
		if times > 4 || strings.Count(text, "\n- ") != 8 {
			t.Errorf("%d times: %s", times, text)
		}
	})
}

// What a stranger calls himself stays text (case W5), and Home Assistant may be away.
func TestNoticesHostile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := notices(t, true, false)
		s.fail(errors.New("it is not running"))
		n.OnEvent(refused("`[x](javascript:alert(1))` <img src=x>\n# big\u202e", strings.Repeat("y", 5000), "192.168.1.7:1", broker.UnknownUser))
		n.OnEvent(refused("lamp", "lamp-1", "192.168.1.7:1000", broker.TooManyAttempts)) // is off
		after(t, 5*time.Second)
		s.fail(nil)
		after(t, 2*time.Minute)
		text, times := s.get("hearthmq_unknown_device")
		if times < 2 || text == "" {
			t.Fatalf("%d times: %q", times, text)
		}
		line := text[strings.Index(text, "\n- "):strings.Index(text, "\n\n[Open")]
		if strings.Count(line, "`") != 6 || strings.Count(line, "\n") != 1 || len(line) > 400 || strings.Contains(line, "\u202e") {
			t.Errorf("%q", line)
		}
		if text, _ := s.get("hearthmq_lock_out"); text != "" {
			t.Errorf("though it is off: %s", text)
		}
	})
}
