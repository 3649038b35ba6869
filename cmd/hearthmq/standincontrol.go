package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/dynsec"
)

// Commands for a broker that stands in for Mosquitto: dynamic security's, and those of
// enable_control_api.

// openDynsec reads dynamic security, where a plugin line asks for it.
func (x *standIn) openDynsec(ctx context.Context, log *slog.Logger) (err error) {
	if x.setup.Dynsec == "" {
		return nil
	}
	o := dynsec.Options{File: x.setup.Dynsec, InitFile: x.setup.DynsecInit, Log: log}
	for _, e := range x.app.environ {
		if v, ok := strings.CutPrefix(e, "MOSQUITTO_DYNSEC_PASSWORD="); ok {
			o.Password, o.HasPassword = v, true
		}
	}
	if x.dynsec, err = dynsec.Open(ctx, o); err != nil {
		return confProblems{{Text: "dynamic security: " + err.Error()}}
	}
	return nil
}

// followDynsec has the broker act on changes: who is concerned logs in anew.
func (x *standIn) followDynsec(b *broker.Broker) {
	if x.dynsec == nil {
		return
	}
	x.dynsec.Sessions = b.AllSessions
	x.dynsec.Changed = func(affected func(user string) bool) {
		b.DisconnectUsers(affected)
		b.Revalidate("")
	}
}

// brokerEndpoint is the topic of enable_control_api.
const brokerEndpoint = "$CONTROL/broker/v1"

// Control implements broker.Controller. Who may publish to the topic may ask.
func (x *standIn) Control(ctx context.Context, id *broker.Identity, topic string, request []byte) (response []byte, allowed bool) {
	if !x.guard.Authorize(id, broker.Publish, topic).Allow {
		return nil, false
	}
	switch {
	case topic == dynsec.Endpoint && x.dynsec != nil:
		return x.dynsec.Control(ctx, id, request), true
	case topic == brokerEndpoint && x.controlAPI:
		return dynsec.Answer(request, x.answer), true
	}
	return []byte(`{"error":"endpoint not available"}`), true
}

// listenerJSON is a listener in an answer.
type listenerJSON struct {
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	Socket   string `json:"socket-path,omitempty"`
	TLS      bool   `json:"tls"`
}

type pluginJSON struct {
	Name      string   `json:"name"`
	Endpoints []string `json:"control-endpoints"`
}

// answer carries out a command of brokerEndpoint.
func (x *standIn) answer(name string, _ map[string]any) (any, error) {
	switch {
	case strings.EqualFold(name, "listListeners"):
		return map[string]any{"listeners": x.listeners}, nil
	case strings.EqualFold(name, "listPlugins"):
		list := []pluginJSON{}
		if x.dynsec != nil {
			list = append(list, pluginJSON{"dynamic-security", []string{dynsec.Endpoint}})
		}
		return map[string]any{"plugins": list}, nil
	}
	return nil, dynsec.ErrUnknownCommand
}

// listListeners are those of the file, in its order.
func (x *standIn) listListeners() []listenerJSON {
	list := []listenerJSON{}
	for i := range x.setup.Conf.Listeners {
		l := &x.setup.Conf.Listeners[i]
		j := listenerJSON{Port: int(l.Port), Protocol: "mqtt", TLS: l.TLS.On()}
		if l.Protocol == "websockets" {
			j.Protocol = "mqtt+websockets"
		}
		if l.Socket != "" {
			j.Port, j.Socket = 0, filepath.ToSlash(l.Socket)
		}
		list = append(list, j)
	}
	return list
}
