package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
			if all := l.certificates(); len(all) != 1 || all[0].Soon != (tt.state == listen.CertificateSoon) || all[0].Urgent != (tt.state == listen.CertificateUrgent) {
				t.Errorf("day %d: the admin sees %+v", tt.day, all)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// bubbleBegins is when a bubble of synctest begins.
var bubbleBegins = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
