package addon_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/addon"
	"hearthmq/addon/addontest"
	"hearthmq/broker"
)

// movingHouse is a home with a Supervisor, a Core, Mosquitto in place and HearthMQ beside it.
type movingHouse struct {
	*addon.Home
	fake      *addontest.Supervisor
	broker    *broker.Broker
	announcer *addon.Announcer
	theirs    []*broker.Message // retained at Mosquitto
	asked     addon.Service     // who was asked for them
	noted     []byte
}

func newMovingHouse(t *testing.T, apps ...*addontest.App) *movingHouse {
	t.Helper()
	h := &movingHouse{fake: addontest.New(t, apps...), broker: newBroker(t)}
	log := slog.New(slog.DiscardHandler)
	cfg := addon.SupervisorConfig{URL: h.fake.URL, Token: addontest.HearthMQ().Token}
	s := addon.NewSupervisor(cfg)
	password := func(user string) (string, bool) { return "our " + user, true }
	h.announcer = addon.NewAnnouncer(addon.AnnouncerConfig{Supervisor: s, Port: 1883, Password: password, Log: log})
	h.Home = addon.NewHome(addon.HomeConfig{
		Supervisor: s, Core: addon.NewCore(cfg), Announcer: h.announcer, Broker: h.broker, Log: log,
		Retained: func(_ context.Context, from addon.Service) ([]*broker.Message, error) {
			h.asked = from
			return slices.Clone(h.theirs), nil
		},
		Load: func(context.Context) ([]byte, error) { return h.noted, nil },
		Save: func(_ context.Context, text []byte) error { h.noted = text; return nil },
	})
	return h
}

// announce runs the announcer until it has told of us.
func (h *movingHouse) announce(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { h.announcer.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	for h.announcer.Announcement().Discovery == "" {
		select {
		case <-ctx.Done():
			t.Fatal("not announced")
		default:
		}
	}
}

func (h *movingHouse) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *movingHouse) retained() map[string]string {
	all := map[string]string{}
	for m := range h.broker.Retained("#") {
		all[m.Topic] = string(m.Payload)
	}
	return all
}

var mosquittoRecord = map[string]any{
	"host": "core-mosquitto", "port": 1883.0, "username": "addons", "password": "theirs", "ssl": false, "protocol": "3.1.1", "addon": "core_mosquitto",
}

// withMosquitto is a home where Mosquitto provides MQTT and Home Assistant uses it.
func withMosquitto(t *testing.T) *movingHouse {
	t.Helper()
	z2m := addontest.Zigbee2MQTT()
	h := newMovingHouse(t, addontest.Mosquitto(), addontest.HearthMQ(), z2m)
	h.fake.SetService(mosquittoRecord)
	h.fake.Core.SetEntry(&addontest.Entry{
		ID: "01abc", Title: "Mosquitto broker", Broker: "core-mosquitto", Port: 1883, User: "homeassistant", Password: "x", Protocol: "5", SetCACert: "off", Transport: "tcp",
	})
	h.announce(t)
	return h
}

// A home moves from Mosquitto, and halfway back again: until the ports change hands
// each step has a way back.
func TestTakeOver(t *testing.T) {
	h, ctx := withMosquitto(t), t.Context()
	s := h.State(ctx)
	if s.Provision != addon.ProvidedByOther || s.Other == nil || s.Other.Slug != "core_mosquitto" || !s.Other.Running || s.Other.Name != "Mosquitto broker" {
		t.Fatalf("%+v", s)
	}
	if s.Integration.EntryID != "01abc" || s.IntegrationHost != "core-mosquitto" {
		t.Errorf("integration %+v at %q", s.Integration, s.IntegrationHost)
	}
	if len(s.Apps) != 1 || s.Apps[0].Name != "Zigbee2MQTT" || !s.Apps[0].Running {
		t.Errorf("apps %+v", s.Apps)
	}

	h.must(t, h.broker.Publish(ctx, broker.NewMessage("lamp/state", []byte("ours is newer"), 0, true)))
	h.theirs = []*broker.Message{
		broker.NewMessage("homeassistant/light/lamp/config", []byte("{}"), 1, true),
		broker.NewMessage("lamp/state", []byte("theirs"), 0, true),
		broker.NewMessage("zigbee2mqtt/bridge/state", []byte("online"), 1, true),
	}
	h.must(t, h.CopyRetained(ctx))
	if h.asked.Host != "core-mosquitto" || h.asked.Username != "addons" || h.asked.Password != "theirs" {
		t.Errorf("asked %+v", h.asked)
	}
	want := map[string]string{"homeassistant/light/lamp/config": "{}", "lamp/state": "ours is newer", "zigbee2mqtt/bridge/state": "online"}
	if d := cmp.Diff(want, h.retained()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if c := h.State(ctx).Plan.Copied; c == nil || c.Found != 3 || c.Added != 2 || c.Kept != 1 || c.Changed != 0 {
		t.Errorf("%+v", c)
	}

	h.must(t, h.TakeRecord(ctx))
	if got := h.fake.Service(); got["addon"] != "014ce74a_hearthmq" || got["password"] != "our addons" {
		t.Errorf("record %v", got)
	}
	if err := h.ForgetCopied(ctx); err == nil || len(h.retained()) != 3 {
		t.Errorf("messages were deleted under the apps: %v", err)
	}
	h.must(t, h.PointIntegration(ctx))
	if e := h.fake.Core.Entry(); e.Broker != "014ce74a-hearthmq" || e.User != "homeassistant" || e.Password != "our homeassistant" {
		t.Errorf("entry %+v", e)
	}
	if s := h.State(ctx); s.Provision != addon.ProvidedByUs || s.IntegrationHost != "014ce74a-hearthmq" || s.Other == nil {
		t.Errorf("%+v", s)
	}
	if err := h.TakePorts(ctx); err == nil {
		t.Error("took ports that Mosquitto holds")
	}

	// Back.
	h.must(t, h.PointIntegrationBack(ctx))
	if e := h.fake.Core.Entry(); e.Broker != "core-mosquitto" || e.User != "addons" || e.Password != "theirs" {
		t.Errorf("entry %+v", e)
	}
	h.must(t, h.PutRecordBack(ctx))
	if got := h.fake.Service(); got["host"] != "core-mosquitto" || got["password"] != "theirs" {
		t.Errorf("record %v", got)
	}
	if s := h.State(ctx); s.Provision != addon.ProvidedByOther || s.Provider != "core_mosquitto" {
		t.Errorf("%+v", s.Announcement)
	}
	h.must(t, h.ForgetCopied(ctx))
	if d := cmp.Diff(map[string]string{"lamp/state": "ours is newer"}, h.retained()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}

	// And over again, to the end.
	h.must(t, h.CopyRetained(ctx))
	h.theirs[0] = broker.NewMessage("homeassistant/light/lamp/config", []byte(`{"name":"Lamp"}`), 1, true)
	h.must(t, h.CopyRetained(ctx))
	if c := h.State(ctx).Plan.Copied; c.Changed != 1 || c.Added != 0 || h.retained()["homeassistant/light/lamp/config"] != `{"name":"Lamp"}` {
		t.Errorf("%+v", c)
	}
	h.must(t, h.TakeRecord(ctx))
	h.must(t, h.PointIntegration(ctx))
	h.fake.SetState("core_mosquitto", "stopped")
	restarted := ""
	h.fake.OnRestart(func(slug string) { restarted = slug })
	h.must(t, h.TakePorts(ctx))
	if restarted != "014ce74a_hearthmq" {
		t.Errorf("restarted %q", restarted)
	}
	if s := h.State(ctx); s.Other == nil || s.Other.Running {
		t.Errorf("other broker %+v", s.Other)
	}
	h.must(t, h.FinishTakeOver(ctx))
	if len(h.noted) != 0 || h.State(ctx).Other != nil {
		t.Errorf("%s is remembered, other broker %+v", h.noted, h.State(ctx).Other)
	}
}

// What the announcer does in its rounds leaves a record alone that was put back.
func TestRecordPutBackStays(t *testing.T) {
	h, ctx := withMosquitto(t), t.Context()
	h.must(t, h.TakeRecord(ctx))
	h.must(t, h.PutRecordBack(ctx))
	next := newMovingHouse(t, addontest.HearthMQ())
	next.fake.SetService(h.fake.Service())
	next.announce(t)
	if got := next.fake.Service(); got["host"] != "core-mosquitto" {
		t.Errorf("record %v", got)
	}
	if a := next.announcer.Announcement(); a.Provision != addon.ProvidedByOther || a.Provider != "core_mosquitto" {
		t.Errorf("%+v", a)
	}
}

// A home with nothing to take over, and a Supervisor that is not there.
func TestNothingToTakeOver(t *testing.T) {
	h, ctx := newMovingHouse(t, addontest.HearthMQ()), t.Context()
	for name, do := range map[string]func(context.Context) error{"copy": h.CopyRetained, "point": h.PointIntegration, "connect": h.ConnectIntegration} {
		if err := do(ctx); err == nil {
			t.Errorf("%s before the Supervisor answered", name)
		}
	}
	h.announce(t)
	for name, do := range map[string]func(context.Context) error{"copy": h.CopyRetained, "back": h.PutRecordBack, "integration back": h.PointIntegrationBack} {
		if err := do(ctx); err == nil {
			t.Errorf("%s with no other broker", name)
		}
	}
	h.must(t, h.ConnectIntegration(ctx))
	if e := h.fake.Core.Entry(); e == nil || e.Password != "our homeassistant" {
		t.Errorf("entry %+v", e)
	}
	h.fake.SetMode(addontest.Gone)
	if err := h.TakePorts(ctx); err == nil {
		t.Error("ports taken without a Supervisor")
	}
	s := h.State(ctx)
	if s.IntegrationErr == nil || s.Self == nil {
		t.Errorf("%+v", s)
	}
}

// The identifiers of repositories are those that Home Assistant shows everywhere.
func TestFullSlug(t *testing.T) {
	for repository, want := range map[string]string{
		"https://github.com/zigbee2mqtt/hassio-zigbee2mqtt": "45df7312_x", "https://github.com/hassio-addons/repository": "a0d7b954_x",
		"https://github.com/ESPHome/home-assistant-addon": "5c53de3b_x",
	} {
		if got := (addon.KnownApp{Repository: repository, Slug: "x"}).FullSlug(); got != want {
			t.Errorf("%s: %s, want %s", repository, got, want)
		}
	}
}

func TestTakeOverUnreadable(t *testing.T) {
	h := newMovingHouse(t, addontest.HearthMQ())
	h.announce(t)
	h.noted = []byte("{half")
	if err := h.CopyRetained(t.Context()); err == nil || !strings.Contains(err.Error(), "read the take-over") {
		t.Error(err)
	}
	if err := h.FinishTakeOver(t.Context()); err != nil {
		t.Error(err)
	}
}
