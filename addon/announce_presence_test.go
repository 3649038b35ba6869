package addon_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/addon"
	"hearthmq/broker"
)

// people are users and whether a client of theirs is connected.
type people struct {
	mu  sync.Mutex
	all map[string]bool
}

func (p *people) get() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.all)
}

func (p *people) set(all map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = all
}

// Who comes and goes shows within a second, who is new or deleted with the next figures,
// and what is switched off is taken out of Home Assistant.
func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		hostile := `x"}} {{ states('lock.door') }}`
		p := &people{all: map[string]bool{"lamp": false, hostile: true}}
		var mu sync.Mutex
		var states []map[string]any
		var configs []map[string]map[string]any
		home := b.Attach(nil, broker.LocalOptions{OnMessage: func(m *broker.Message) {
			mu.Lock()
			defer mu.Unlock()
			if m.Topic == "hearthmq/state" {
				var v map[string]any
				_ = json.Unmarshal(m.Payload, &v)
				states = append(states, v)
				return
			}
			var v struct{ Components map[string]map[string]any }
			_ = json.Unmarshal(m.Payload, &v)
			configs = append(configs, v.Components)
		}})
		defer home.Close()
		for _, filter := range []string{"hearthmq/state", "homeassistant/device/hearthmq/config"} {
			if err := home.Subscribe(filter); err != nil {
				t.Fatal(err)
			}
		}
		last := func() (state map[string]any, config map[string]map[string]any, sent int) {
			mu.Lock()
			defer mu.Unlock()
			return states[len(states)-1], configs[len(configs)-1], len(configs)
		}
		// key is the entity of a user in a config.
		key := func(config map[string]map[string]any, user string) string {
			for k, c := range config {
				if c["name"] == user {
					return k
				}
			}
			return ""
		}
		changed := make(chan struct{}, 1)
		run := func(presence func() map[string]bool) (stop func()) {
			d := addon.NewDevice(addon.DeviceConfig{
				Broker: b, Log: slog.New(slog.DiscardHandler), Presence: presence, Changed: changed,
				Update: func() (bool, bool) { return true, true },
			})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); d.Run(ctx) }()
			return func() { cancel(); <-done }
		}
		stop := run(p.get)
		after(t, 2*time.Second)
		state, config, _ := last()
		lamp, odd := key(config, "lamp"), key(config, hostile)
		shown, _ := state["presence"].(map[string]any)
		if lamp == "" || odd == "" || shown[lamp] != "OFF" || shown[odd] != "ON" || state["update"] != "ON" || config["update"]["device_class"] != "update" {
			t.Fatalf("state %v, config %v", state, config)
		}
		if c := config[odd]; c["platform"] != "binary_sensor" || strings.ContainsAny(odd, `"{} '`) || !strings.Contains(c["value_template"].(string), "presence."+odd) {
			t.Errorf("%s: %v", odd, c)
		}
		p.set(map[string]bool{"lamp": true, hostile: true})
		changed <- struct{}{}
		after(t, 2*time.Second)
		if state, _, _ := last(); state["presence"].(map[string]any)[lamp] != "ON" {
			t.Errorf("the lamp came: %v", state)
		}
		p.set(map[string]bool{"lamp": true, "plug": false})
		after(t, 31*time.Second)
		_, config, sent := last()
		if key(config, "plug") == "" || key(config, "lamp") == "" || config[odd] != nil {
			t.Errorf("config %v", config)
		}
		mu.Lock()
		before := configs[sent-2] // says of the one that is gone its platform alone
		mu.Unlock()
		if c := before[odd]; len(c) != 1 || c["platform"] != "binary_sensor" {
			t.Errorf("gone: %v", c)
		}
		stop()

		stop = run(nil)
		after(t, 2*time.Second)
		state, config, sent = last()
		mu.Lock()
		before = configs[sent-2]
		mu.Unlock()
		if state["presence"] != nil || key(config, "lamp") != "" || len(before[lamp]) != 1 {
			t.Errorf("switched off: state %v, config %v, before %v", state, config, before)
		}
		stop()
		if left := slices.Collect(b.Retained("homeassistant/#")); len(left) != 1 || strings.Contains(string(left[0].Payload), lamp) {
			t.Errorf("retained: %s", left[0].Payload)
		}
	})
}
