package addon_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/addon"
	"hearthmq/addon/addontest"
)

func coreOf(t *testing.T, fake *addontest.Supervisor) *addon.Core {
	t.Helper()
	return addon.NewCore(addon.SupervisorConfig{URL: fake.URL, Token: addontest.HearthMQ().Token, Client: fake.Client()})
}

// A home without MQTT: the discovered broker is confirmed, and only ours is.
func TestConfirmMQTT(t *testing.T) {
	fake := addontest.New(t, addontest.Mosquitto(), addontest.HearthMQ())
	core, ctx := coreOf(t, fake), t.Context()
	if err := core.ConfirmMQTT(ctx, "HearthMQ"); err == nil || !strings.Contains(err.Error(), "not discovered") {
		t.Errorf("before it is discovered: %v", err)
	}
	mosquitto := addon.NewSupervisor(addon.SupervisorConfig{URL: fake.URL, Token: addontest.Mosquitto().Token})
	if _, err := mosquitto.PublishDiscovery(ctx, addon.Service{Host: "core-mosquitto", Port: 1883, Username: "homeassistant", Password: "theirs", Protocol: "3.1.1"}); err != nil {
		t.Fatal(err)
	}
	ours := addon.NewSupervisor(addon.SupervisorConfig{URL: fake.URL, Token: addontest.HearthMQ().Token})
	if _, err := ours.PublishDiscovery(ctx, addon.Service{Host: "014ce74a-hearthmq", Port: 1883, Username: "homeassistant", Password: "ours", Protocol: "3.1.1"}); err != nil {
		t.Fatal(err)
	}
	in, err := core.MQTTIntegration(ctx)
	if err != nil || in.EntryID != "" || len(in.Flows) != 2 || in.Flows["HearthMQ"] == "" {
		t.Fatalf("%+v %v", in, err)
	}
	fake.Core.SetConnect(func(addontest.Entry) bool { return false })
	if err := core.ConfirmMQTT(ctx, "HearthMQ"); err == nil || !strings.Contains(err.Error(), "could not connect") {
		t.Errorf("Home Assistant does not reach it: %v", err)
	}
	var tried addontest.Entry
	fake.Core.SetConnect(func(e addontest.Entry) bool { tried = e; return true })
	if err := core.ConfirmMQTT(ctx, "HearthMQ"); err != nil {
		t.Fatal(err)
	}
	want := &addontest.Entry{ID: "01entry", Title: "HearthMQ", Broker: "014ce74a-hearthmq", Port: 1883, User: "homeassistant", Password: "ours", Protocol: "5", Transport: "tcp", SetCACert: "off"}
	if d := cmp.Diff(want, fake.Core.Entry()); d != "" || tried.Password != "ours" {
		t.Errorf("tried %+v, entry (-want +got)\n%s", tried, d)
	}
	if in, err = core.MQTTIntegration(ctx); err != nil || in.EntryID != "01entry" || in.State != "loaded" || in.Title != "HearthMQ" {
		t.Errorf("%+v %v", in, err)
	}
	if err := core.ConfirmMQTT(ctx, "HearthMQ"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("twice: %v", err)
	}
}

// A home with a broker: the entry is pointed at ours and back. What the owner chose
// beside the connection stays; a certificate check, which would fail, does not.
func TestPointMQTT(t *testing.T) {
	fake := addontest.New(t, addontest.HearthMQ())
	before := addontest.Entry{
		ID: "01abc", Title: "Mosquitto broker", Broker: "core-mosquitto", Port: 8883, User: "homeassistant", Password: "theirs", Protocol: "3.1.1",
		ClientID: "my-home", SetCACert: "auto", Transport: "websockets",
	}
	fake.Core.SetEntry(&before)
	core, ctx := coreOf(t, fake), t.Context()
	if host, err := core.MQTTBroker(ctx, "01abc"); err != nil || host != "core-mosquitto" || fake.Core.Flows() != 0 {
		t.Errorf("host %q, %v, %d flows wait", host, err, fake.Core.Flows())
	}
	to := addon.Service{Host: "014ce74a-hearthmq", Port: 1883, Username: "homeassistant", Password: "ours"}
	fake.Core.SetConnect(func(e addontest.Entry) bool { return false })
	if err := core.PointMQTT(ctx, "01abc", to); err == nil || !strings.Contains(err.Error(), "could not connect") {
		t.Errorf("it can't be reached: %v", err)
	}
	if d := cmp.Diff(&before, fake.Core.Entry()); d != "" || fake.Core.Flows() != 0 {
		t.Errorf("a failure changed something, or a flow waits (%d):\n%s", fake.Core.Flows(), d)
	}
	fake.Core.SetConnect(nil)
	if err := core.PointMQTT(ctx, "01abc", to); err != nil {
		t.Fatal(err)
	}
	want := before
	want.Broker, want.Port, want.Password, want.Protocol, want.SetCACert, want.Transport = to.Host, 1883, "ours", "5", "off", "tcp"
	if d := cmp.Diff(&want, fake.Core.Entry()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if err := core.PointMQTT(ctx, "01gone", to); err == nil {
		t.Error("an entry that does not exist was changed")
	}
	fake.Core.SetMode(addontest.NotReady)
	if err := core.PointMQTT(ctx, "01abc", to); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("Core is down: %v", err)
	}
}

func TestNotify(t *testing.T) {
	fake := addontest.New(t, addontest.HearthMQ())
	core := coreOf(t, fake)
	if err := core.Notify(t.Context(), "hearthmq_x", "A title", "a text"); err != nil {
		t.Fatal(err)
	}
	want := map[string]addontest.Notification{"hearthmq_x": {Title: "A title", Message: "a text"}}
	if d := cmp.Diff(want, fake.Core.Notifications()); d != "" {
		t.Error(d)
	}
}
