package sqlite_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
	"hearthmq/broker/packet"
)

func TestBridges(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "hearthmq.db"))
	r, ctx := db.Bridges(), access.WithActor(t.Context(), access.ViaAdmin, "anna")
	s := bridge.Defaults()
	s.Name, s.ClientID, s.Username, s.Password, s.Addresses = "cloud", "home-1", "u", "very secret", []string{"example.org:8883"}
	s.Topics = []bridge.Topic{{Pattern: "a/#", Out: true, QoS: 1, Remote: "x/"}}
	s.TLS.On = true
	if err := r.InsertBridge(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := r.InsertBridge(ctx, s); !errors.Is(err, bridge.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	list := func() []bridge.Settings {
		t.Helper()
		list, err := r.Bridges(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	s.Revision = 1
	if diff := cmp.Diff([]bridge.Settings{s}, list()); diff != "" {
		t.Error(diff)
	}
	old := s
	s.Password, s.Disabled = "another", true
	if err := r.UpdateBridge(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := r.UpdateBridge(ctx, old); !errors.Is(err, bridge.ErrConflict) { // case W26
		t.Errorf("an old revision: %v", err)
	}
	if got := list(); len(got) != 1 || got[0].Password != "another" || !got[0].Disabled || got[0].Revision != 2 {
		t.Errorf("%+v", got)
	}
	if err := r.DeleteBridge(ctx, "cloud"); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteBridge(ctx, "cloud"); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	if err := r.UpdateBridge(ctx, s); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("gone: %v", err)
	}
	audit, err := db.Accounts().Audit(ctx, access.AuditQuery{}.Normal())
	if err != nil || len(audit) != 3 {
		t.Fatalf("%v, %v", audit, err)
	}
	for i, want := range []string{"bridge deleted", "bridge changed", "bridge created"} {
		e := audit[i]
		if e.Action != want || e.Object != "cloud" || e.Actor != "anna" || (e.Before == "") != (i == 2) || (e.After == "") != (i == 0) {
			t.Errorf("%+v", e)
		}
		if strings.Contains(e.Before+e.After, "secret") { // case W17
			t.Errorf("the audit has the password: %+v", e)
		}
	}
	// The audit tells each thing that was changed, and of a password only that it is another.
	if err := r.InsertBridge(ctx, s); err != nil {
		t.Fatal(err)
	}
	s.Revision = 0
	for want, change := range map[string]func(*bridge.Settings){
		"encrypted": func(s *bridge.Settings) { s.TLS.On = !s.TLS.On }, "any name": func(s *bridge.Settings) { s.TLS.AnyName = true },
		"/ca.pem": func(s *bridge.Settings) { s.TLS.CAFile = "/ca.pem" }, "/cert.pem": func(s *bridge.Settings) { s.TLS.CertFile = "/cert.pem" },
		"/key.pem": func(s *bridge.Settings) { s.TLS.KeyFile = "/key.pem" }, "rights of lamp": func(s *bridge.Settings) { s.User = "lamp" },
		"nothing retained": func(s *bridge.Settings) { s.DropRetain = true }, "says there": func(s *bridge.Settings) { s.Notify, s.NotifyLocal = true, false },
		"level 4": func(s *bridge.Settings) { s.Version = packet.V311 }, "lazy": func(s *bridge.Settings) { s.Start = bridge.Lazy },
		"password (another)": func(s *bridge.Settings) { s.Password = "a third secret" },
	} {
		s.Revision++
		changed := s
		change(&changed)
		if err := r.UpdateBridge(ctx, changed); err != nil {
			t.Fatal(err)
		}
		audit, err := db.Accounts().Audit(ctx, access.AuditQuery{Limit: 1})
		if err != nil || len(audit) != 1 || strings.Contains(audit[0].After, want) == strings.Contains(audit[0].Before, want) || strings.Contains(audit[0].After, "secret") {
			t.Errorf("%s: %+v, %v", want, audit, err)
		}
	}
	if err := r.DeleteBridge(ctx, "cloud"); err != nil {
		t.Fatal(err)
	}
	raw := raw(t, db.Path())
	exec(t, raw, `INSERT INTO bridge VALUES ('bad', '{"addresses": 1}', '', 1, 0), ('worse', '{}', '', 1, 0)`)
	if got := list(); len(got) != 0 { // what makes no sense is passed over
		t.Errorf("%+v", got)
	}
}
