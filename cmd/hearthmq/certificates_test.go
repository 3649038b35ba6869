package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
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

// A certificate that is revoked ends the connection that was made with it, and the
// owner is told why the device is silent.
func TestRevokedWhileConnected(t *testing.T) { // case A16
	h := newHouse(t)
	h.issue("server")
	serial := h.issue("lamp")
	h.issue("plug")
	h.revoke()
	denials, dir := access.NewDenials(), access.NewDirectory(access.Policy{})
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	accounts := access.NewAccounts(access.NewMemoryRepository(), dir, nil, log)
	h.check(accounts.Open(t.Context()))
	for _, name := range []string{"lamp", "plug"} {
		_, _, err := accounts.CreateUser(t.Context(), access.NewUser{Name: name, NoPassword: true, Roles: []string{access.RoleEverything}})
		h.check(err)
	}
	b, err := broker.New(broker.DefaultConfig(), broker.Deps{Authenticator: dir, Authorizer: dir, Observer: denials, Log: log})
	h.check(err)
	l := openListeners(t.Context(), []listen.Config{{
		Setting: "mqtts_address", Name: "mqtts", Network: "tcp", Address: "127.0.0.1:0", TLS: &listen.TLS{
			CertFile: h.path("server.pem"), KeyFile: h.path("server.key"), CAFile: h.path("ca.pem"), CRLFile: h.path("revoked.pem"),
			RequireCertificate: true, Names: listen.Names{From: listen.NamesCN},
		},
	}}, b, log)
	if len(l.opened()) != 1 {
		t.Fatal("no port")
	}
	port := l.opened()[0]
	served := make(chan error, 1)
	go func() { served <- b.Serve(t.Context(), port.Listener, broker.ListenerInfo{Name: "mqtts", TLS: true}) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		h.check(b.Shutdown(ctx))
		port.Listener.Close()
		<-served
	})
	device := func(name string) *tls.Conn {
		roots := x509.NewCertPool()
		ca, err := os.ReadFile(h.path("ca.pem"))
		h.check(err)
		roots.AppendCertsFromPEM(ca)
		pair, err := tls.LoadX509KeyPair(h.path(name+".pem"), h.path(name+".key"))
		h.check(err)
		c, err := tls.Dial("tcp", port.Listener.Addr().String(), &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})
		h.check(err)
		t.Cleanup(func() { c.Close() })
		h.check(c.SetDeadline(time.Now().Add(3 * time.Minute)))
		_, err = io.WriteString(c, connectBytes[:len(connectBytes)-4]+name)
		h.check(err)
		answer := make([]byte, 4)
		_, err = io.ReadFull(c, answer)
		h.check(err)
		if string(answer) != "\x20\x02\x00\x00" {
			t.Fatalf("%s: answer %x", name, answer)
		}
		return c
	}
	lamp, plug := device("lamp"), device("plug")
	h.revoke(serial)
	port.Reread(time.Now()) // as the watch does within a minute
	if _, err := lamp.Read(make([]byte, 1)); err == nil {
		t.Error("the lamp is still served")
	}
	if _, err := io.WriteString(plug, "\xc0\x00"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(plug, make([]byte, 2)); err != nil {
		t.Errorf("the plug, whose certificate is good: %v", err)
	}
	e := access.Explainer{Directory: dir, Denials: denials, Sessions: b}
	eventually(t, "the owner is told why", func() bool {
		f := e.Why("lamp").Findings[0]
		return f.Cause == access.Cause(broker.CertificateInvalid) && f.User == "lamp" && f.Advice != ""
	})
}
