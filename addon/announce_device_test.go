package addon_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/addon"
	"hearthmq/broker"
	"hearthmq/broker/access"
)

func newBroker(t *testing.T) *broker.Broker {
	t.Helper()
	d := access.NewDirectory(access.Policy{Anonymous: access.AnonymousFull})
	b, err := broker.New(broker.DefaultConfig(), broker.Deps{
		Authenticator: d, Authorizer: d, Store: broker.NewMemoryStore(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Shutdown(context.WithoutCancel(t.Context())) })
	return b
}

func TestDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		var mu sync.Mutex
		var all []map[string]any
		got := func() []map[string]any {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		}
		home := b.Attach(nil, broker.LocalOptions{OnMessage: func(m *broker.Message) {
			var v map[string]any
			if err := json.Unmarshal(m.Payload, &v); err != nil || m.Retain {
				t.Errorf("%s retain %v: %v", m.Payload, m.Retain, err)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, v)
		}})
		defer home.Close()
		if err := home.Subscribe("hearthmq/state"); err != nil {
			t.Fatal(err)
		}
		d := addon.NewDevice(addon.DeviceConfig{
			Broker: b, Version: "0.1.0", Log: slog.New(slog.DiscardHandler),
			StoreBytes:     func() (int64, bool) { return 12345, true },
			CertificateEnd: func() (time.Time, bool) { return time.Now().Add(14*24*time.Hour + time.Hour), true },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); d.Run(ctx) }()
		after(t, time.Second) // what is retained is stored first

		config := slices.Collect(b.Retained("homeassistant/#"))
		if len(config) != 1 || config[0].Topic != "homeassistant/device/hearthmq/config" {
			t.Fatalf("retained: %v", config)
		}
		var message struct {
			Device     map[string]any
			Origin     map[string]any
			StateTopic string `json:"state_topic"`
			Components map[string]map[string]any
		}
		if err := json.Unmarshal(config[0].Payload, &message); err != nil {
			t.Fatal(err)
		}
		if message.StateTopic != "hearthmq/state" || message.Origin["name"] == nil || message.Device["identifiers"] == nil {
			t.Errorf("%s", config[0].Payload)
		}
		ids := make(map[any]bool)
		states := got()
		for key, c := range message.Components {
			if c["platform"] == nil || c["unique_id"] == nil || ids[c["unique_id"]] {
				t.Errorf("%s: %v", key, c)
			}
			ids[c["unique_id"]] = true
			if _, ok := states[0][key]; !ok {
				t.Errorf("%s is in no state: %v", key, states[0])
			}
		}
		if len(message.Components) != len(states[0]) {
			t.Errorf("%d components, %d figures", len(message.Components), len(states[0]))
		}
		if states[0]["store_size"] != 12345.0 || states[0]["certificate_days"] != 14.0 || states[0]["storage_problem"] != "OFF" || states[0]["messages"] != nil {
			t.Errorf("%v", states[0])
		}

		after(t, 31*time.Second)
		if states = got(); len(states) != 2 || states[1]["messages"] != 0.0 {
			t.Errorf("%v", states)
		}
		// Home Assistant comes: it gets figures at once instead of half a minute later.
		if err := b.Publish(t.Context(), broker.NewMessage("homeassistant/status", []byte("online"), 0, false)); err != nil {
			t.Fatal(err)
		}
		after(t, time.Second)
		if states = got(); len(states) != 3 {
			t.Errorf("%d states", len(states))
		}
		cancel()
		<-done
		d.Forget(t.Context())
		if left := slices.Collect(b.Retained("#")); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		d.Forget(t.Context()) // there is nothing to forget
	})
}

// A certificate that comes while the broker runs gets its entity within half a minute, and
// is announced once.
func TestDeviceGetsACertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		var mu sync.Mutex
		var announced []string
		var days any
		home := b.Attach(nil, broker.LocalOptions{OnMessage: func(m *broker.Message) {
			mu.Lock()
			defer mu.Unlock()
			if m.Topic == "homeassistant/device/hearthmq/config" {
				announced = append(announced, string(m.Payload))
				return
			}
			var state map[string]any
			_ = json.Unmarshal(m.Payload, &state)
			days = state["certificate_days"]
		}})
		defer home.Close()
		if err := errors.Join(home.Subscribe("hearthmq/state"), home.Subscribe("homeassistant/device/#")); err != nil {
			t.Fatal(err)
		}
		var come atomic.Bool
		d := addon.NewDevice(addon.DeviceConfig{Broker: b, Log: slog.New(slog.DiscardHandler), CertificateEnd: func() (time.Time, bool) {
			return time.Now().Add(20*24*time.Hour + time.Hour), come.Load()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); d.Run(ctx) }()
		want := func(what string, times int, there bool, left any) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if len(announced) != times || strings.Contains(announced[len(announced)-1], "certificate_days") != there || days != left {
				t.Errorf("%s: announced %d times, %v days: %s", what, len(announced), days, announced[len(announced)-1])
			}
		}
		after(t, 2*time.Minute)
		want("without one", 1, false, nil)
		come.Store(true)
		after(t, 31*time.Second)
		want("it has come", 2, true, 20.0)
		after(t, 5*time.Minute)
		want("it is there", 2, true, 20.0)
		cancel()
		<-done
	})
}

// Without a certificate there is no entity for it, and what is not known is null.
func TestDeviceKnowsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := failing{newBroker(t)}
		var state map[string]any
		home := b.Attach(nil, broker.LocalOptions{OnMessage: func(m *broker.Message) { _ = json.Unmarshal(m.Payload, &state) }})
		defer home.Close()
		if err := home.Subscribe("hearthmq/state"); err != nil {
			t.Fatal(err)
		}
		d := addon.NewDevice(addon.DeviceConfig{Broker: b, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); d.Run(ctx) }()
		after(t, time.Second)
		if state["store_size"] != nil || state["certificate_days"] != nil || state["storage_problem"] != "ON" {
			t.Errorf("%v", state)
		}
		cancel()
		<-done
	})
}

// failing is a broker whose store does not take changes.
type failing struct{ *broker.Broker }

func (f failing) Stats() broker.Stats {
	s := f.Broker.Stats()
	s.StoreError = errors.New("disk full")
	return s
}
