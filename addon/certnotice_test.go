package addon_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"hearthmq/addon"
	"hearthmq/broker/listen"
)

// Each thing that happens to a certificate is told once, what could not be told is told
// later, and a file's name is text.
func TestCertificateNotices(t *testing.T) {
	s := &shown{texts: map[string]string{}}
	n := &addon.CertificateNotices{Notify: s.notify, Panel: func() string { return "/app/x" }, Log: slog.New(slog.DiscardHandler)}
	tell := func(state listen.CertificateState, problem string) (text string, times int) {
		n.Tell(t.Context(), listen.CertificateStatus{State: state, File: "/ssl/`full`.pem", Problem: problem})
		return s.get("hearthmq_certificate")
	}
	for _, tt := range []struct {
		state   listen.CertificateState
		problem string
		times   int
	}{
		{listen.CertificateGood, "", 0},
		{listen.CertificateSoon, "It ends on 2027-01-01.", 1},
		{listen.CertificateSoon, "It ends on 2027-01-01.", 1},
		{listen.CertificateUrgent, "It ends on 2027-01-01.", 2},
		{listen.CertificateEnded, "It has ended on 2027-01-01.", 3},
		{listen.CertificateBroken, "The key of [x](y) `z` does not fit.", 4},
		{listen.CertificateGood, "", 4},
		{listen.CertificateSoon, "It ends on 2027-04-01.", 5},
	} {
		text, times := tell(tt.state, tt.problem)
		if times != tt.times || times > 0 && tt.problem != "" && (strings.Count(text, "`") != 2 || strings.Count(text, "](") != 1 || !strings.Contains(text, "[Open HearthMQ](/app/x)")) {
			t.Errorf("%s: told %d times, want %d: %s", tt.state, times, tt.times, text)
		}
	}
	s.fail(errors.New("Home Assistant restarts"))
	tell(listen.CertificateUrgent, "It ends on 2027-04-01.")
	s.fail(nil)
	if text, times := tell(listen.CertificateUrgent, "It ends on 2027-04-01."); times != 7 || !strings.Contains(text, "2027-04-01") {
		t.Errorf("after a restart: told %d times: %s", times, text)
	}
}
