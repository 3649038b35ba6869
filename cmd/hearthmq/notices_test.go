package main

import (
	"strings"
	"testing"

	"hearthmq/addon/addontest"
)

// The owner hears in Home Assistant of a device that is not known and of one that is
// locked out, unless that is switched off.
func TestNotices(t *testing.T) {
	const unknown, locked = "hearthmq_unknown_device", "hearthmq_lock_out"
	logins := []map[string]any{{"username": "lamp", "password": "the lamp's password"}}
	fake := addontest.New(t, addontest.HearthMQ())
	s := inApp(t, fake, options{"logins": logins, "home_assistant_role": "off"})
	announced(t, fake, s)
	if _, err := dial(s, "stranger-1", "stranger", "x"); err == nil {
		t.Fatal("a stranger is let in")
	}
	for range 7 {
		if _, err := dial(s, "lamp-1", "lamp", "wrong"); err == nil {
			t.Fatal("a wrong password is let in")
		}
	}
	eventually(t, "both notifications", func() bool { return len(fake.Core.Notifications()) == 2 })
	all := fake.Core.Notifications()
	if text := all[unknown].Message; !strings.Contains(text, "`stranger`") || !strings.Contains(text, "`127.0.0.1`") || !strings.Contains(text, "(/app/014ce74a_hearthmq)") {
		t.Errorf("unknown: %s", text)
	}
	if text := all[locked].Message; !strings.Contains(text, "`lamp`") || strings.Contains(text, "wrong\"") {
		t.Errorf("locked out: %s", text)
	}

	quiet := addontest.New(t, addontest.HearthMQ())
	s = inApp(t, quiet, options{"logins": logins, "home_assistant_role": "off", "notify_unknown_device": false})
	announced(t, quiet, s)
	_, _ = dial(s, "stranger-1", "stranger", "x") // refused
	for range 7 {
		_, _ = dial(s, "lamp-1", "lamp", "wrong") // likewise
	}
	eventually(t, "the other notification", func() bool { return len(quiet.Core.Notifications()) > 0 })
	if n := quiet.Core.Notifications(); n[unknown].Message != "" {
		t.Errorf("though it is off: %v", n)
	}
}
