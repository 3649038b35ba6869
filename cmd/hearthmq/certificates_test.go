package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/listen"
)

// Time alone raises the warnings: nobody connects, nobody looks.
func TestCertificateEndsByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.issue("server") // good for 90 days
		log := newSyncBuffer(nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := openListeners(ctx, []listen.Config{{
			Setting: "mqtts_address", Name: "mqtts", Network: "tcp", Address: "127.0.0.1:0",
			TLS: &listen.TLS{CertFile: h.path("server.pem"), KeyFile: h.path("server.key")},
		}}, nil, slog.New(slog.NewTextHandler(log, nil))) // no broker: nobody comes
		defer l.close()
		if len(l.opened()) != 1 {
			t.Fatal(log)
		}
		states := make(chan listen.CertificateState, 1)
		state := listen.CertificateState("")
		go watchCertificate(ctx, l.opened()[0], func(_ context.Context, s listen.CertificateStatus) {
			select {
			case <-states:
			default:
			}
			states <- s.State
		})
		for _, tt := range []struct {
			day   time.Duration
			state listen.CertificateState
			told  int
		}{
			{59, listen.CertificateGood, 0}, {61, listen.CertificateSoon, 1}, {82, listen.CertificateSoon, 1},
			{84, listen.CertificateUrgent, 2}, {89, listen.CertificateUrgent, 7}, {91, listen.CertificateEnded, 9},
		} {
			if left := time.Until(bubbleBegins.Add(tt.day * 24 * time.Hour)); left > 0 {
				brokertest.Pass(left)
			}
			select {
			case state = <-states:
			default:
			}
			if told := strings.Count(log.String(), "The certificate "); state != tt.state || told != tt.told {
				t.Errorf("day %d: %q, warned %d times, want %q and %d", tt.day, state, told, tt.state, tt.told)
			}
			if all := certificatesOf(l.opened()); len(all) != 1 || all[0].Soon != (tt.state == listen.CertificateSoon) || all[0].Urgent != (tt.state == listen.CertificateUrgent) {
				t.Errorf("day %d: the admin sees %+v", tt.day, all)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// bubbleBegins is when a bubble of synctest begins.
var bubbleBegins = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Of several certificates the one that ends first counts in Home Assistant and below $SYS,
// and the worst of their states, be it another's.
func TestTheFirstCertificateToEndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.issueFor("long", 400*24*time.Hour)
		h.issueFor("short", 20*24*time.Hour+time.Hour)
		brokertest.Pass(11 * 24 * time.Hour) // of one with a short life the last half is soon, the last quarter urgent
		log := slog.New(slog.DiscardHandler)
		b, err := broker.New(broker.DefaultConfig(), broker.Deps{Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{}, Log: log})
		h.check(err)
		s := &server{broker: b, log: log, listeners: &listeners{log: log}}
		sys := func() map[string]string {
			all := map[string]string{}
			for m := range b.Retained("$SYS/broker/certificate/#") {
				all[strings.TrimPrefix(m.Topic, "$SYS/broker/certificate/")] = string(m.Payload)
			}
			return all
		}
		ctx, cancel := context.WithCancel(t.Context())
		once, endOnce := context.WithCancel(ctx)
		endOnce()
		s.tellCertificates(once)
		if at, ok := s.certificateEnd(); len(sys()) != 0 || ok {
			t.Errorf("without a certificate: %v, %v", sys(), at)
		}
		var cfgs []listen.Config
		for i, name := range []string{"long", "short"} {
			cfgs = append(cfgs, listen.Config{
				Setting: "mqtts_address", Name: fmt.Sprint("door", i), Network: "tcp", Address: "127.0.0.1:0",
				TLS: &listen.TLS{CertFile: h.path(name + ".pem"), KeyFile: h.path(name + ".key")},
			})
		}
		s.listeners = openListeners(ctx, cfgs, b, log)
		defer s.listeners.close()
		done := make(chan struct{})
		go func() { defer close(done); s.tellCertificates(ctx) }()
		want := func(what, days, state string) {
			t.Helper()
			if got := sys(); got["days"] != days || got["state"] != state {
				t.Errorf("%s: %v, want %s days, %s", what, got, days, state)
			}
		}
		brokertest.Pass(certificateInterval)
		want("one that ends in 9 days", "9", "soon")
		if at, ok := s.certificateEnd(); !ok || int(time.Until(at)/(24*time.Hour)) != 9 {
			t.Errorf("Home Assistant is told %v", at)
		}
		h.check(os.WriteFile(h.path("long.key"), []byte("no key"), 0o600))
		brokertest.Pass(2 * certificateInterval)
		want("the other's key does not fit", "9", "broken")
		for days, want := range map[int][2]listen.CertificateState{5: {listen.CertificateUrgent, listen.CertificateBroken}, 10: {listen.CertificateEnded, listen.CertificateEnded}} {
			first, worst, _ := summary(s.ports(), time.Now().Add(time.Duration(days)*24*time.Hour))
			if first.State != want[0] || worst != want[1] || first.File != h.path("short.pem") {
				t.Errorf("%d days later: %s, %+v", days, worst, first)
			}
		}
		cancel()
		<-done
		h.check(b.Shutdown(context.Background()))
	})
}
