package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"hearthmq/addon"
	"hearthmq/broker"
	"hearthmq/broker/access"
	mosq "hearthmq/broker/mosquitto"
	"hearthmq/broker/sqlite"
	"hearthmq/web"
)

// connectedHome shows the admin Home Assistant with its apps.
type connectedHome struct {
	*addon.Home
	port int // of plain MQTT in the container, 0: none
}

// takeOverSetting is where the database keeps how far a take-over came.
const takeOverSetting = "take-over"

// newHome returns nil outside the app.
func (h *homeAssistant) newHome(b *broker.Broker, db *sqlite.DB) web.Home {
	if h.announcer == nil {
		return nil
	}
	return connectedHome{port: h.port, Home: addon.NewHome(addon.HomeConfig{
		Supervisor: h.supervisor, Core: h.core, Announcer: h.announcer, Broker: b, Log: h.log,
		Retained: func(ctx context.Context, from addon.Service) ([]*broker.Message, error) {
			list, notices, err := mosq.CopyRetained(ctx, live(from))
			for _, n := range notices {
				h.log.Warn("copy retained messages: " + n.Text)
			}
			return list, err
		},
		Load: func(ctx context.Context) ([]byte, error) {
			text, err := db.Setting(ctx, takeOverSetting, func() string { return "" })
			return []byte(text), err
		},
		Save: func(ctx context.Context, text []byte) error { return db.SetSetting(ctx, takeOverSetting, string(text)) },
	})}
}

// live is how to reach another broker by its record.
func live(s addon.Service) mosq.Live {
	scheme := "mqtt"
	if s.SSL {
		scheme = "mqtts"
	}
	return mosq.Live{URL: scheme + "://" + net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), User: s.Username, Password: s.Password}
}

// State implements web.Home.
func (h connectedHome) State(ctx context.Context) web.HomeState {
	s := h.Home.State(ctx)
	v := web.HomeState{
		Port: h.port, Ours: s.Provision == addon.ProvidedByUs, Provider: s.Provider, Begun: s.Plan.Slug != "",
		HostPort: map[int]int{}, Integration: web.HomeIntegration{SetUp: s.Integration.EntryID != "", Title: s.Integration.Title, Host: s.IntegrationHost},
	}
	if s.Err != nil {
		v.Problem = s.Err.Error()
	}
	if s.IntegrationErr != nil {
		v.Integration.Problem = s.IntegrationErr.Error()
	}
	if s.Address.IsValid() {
		v.Address = s.Address.String()
	}
	if s.Self != nil {
		v.Known, v.Host = true, s.Self.Hostname
		_, v.Integration.Waiting = s.Integration.Flows[s.Self.Name]
		for key, port := range s.Self.Network {
			var ours int
			if _, err := fmt.Sscanf(key, "%d/tcp", &ours); err == nil && port != nil {
				v.HostPort[ours] = *port
			}
		}
	}
	if s.Other != nil {
		v.Other = &web.HomeBroker{Slug: s.Other.Slug, Name: s.Other.Name, Running: s.Other.Running}
	}
	if c := s.Plan.Copied; c != nil {
		v.Copied = &web.HomeCopied{Found: c.Found, Added: c.Added, Changed: c.Changed, Kept: c.Kept, At: c.At}
	}
	for _, a := range s.Apps {
		v.Apps = append(v.Apps, web.HomeApp{Slug: a.Slug, Name: a.Name, Running: a.Running, Service: a.Service})
	}
	return v
}

// Do implements web.Home.
func (h connectedHome) Do(ctx context.Context, step web.HomeStep) error {
	do := map[web.HomeStep]func(context.Context) error{
		web.StepConnect: h.ConnectIntegration,
		web.StepCopy:    h.CopyRetained, web.StepCopyBack: h.ForgetCopied,
		web.StepRecord: h.TakeRecord, web.StepRecordBack: h.PutRecordBack,
		web.StepPoint: h.PointIntegration, web.StepPointBack: h.PointIntegrationBack,
		web.StepPorts: h.TakePorts, web.StepFinish: h.FinishTakeOver,
	}[step]
	if do == nil {
		return fmt.Errorf("there is no step %q", step)
	}
	return do(ctx)
}

// comings tells when a client came or went.
type comings chan struct{}

// OnPublish implements broker.Observer.
func (comings) OnPublish(*broker.Message) {}

// OnEvent implements broker.Observer.
func (c comings) OnEvent(e broker.Event) {
	switch e.(type) {
	case broker.Connected, broker.Disconnected:
		select {
		case c <- struct{}{}:
		default: // it is known already
		}
	}
}

// presence says of each user that is not the system's whether a client of it is here.
func presence(d *access.Directory, b *broker.Broker) map[string]bool {
	users := map[string]bool{}
	for _, u := range d.Users() {
		if !u.System {
			users[u.Name] = false
		}
	}
	for _, s := range b.Sessions() {
		if _, known := users[s.User]; known && s.Connected {
			users[s.User] = true
		}
	}
	return users
}
