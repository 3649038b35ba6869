package addon

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/topic"
)

// ListenerLimit is what one listener may take, in the words of the settings for all. 0 is
// no limit beside those.
type ListenerLimit struct {
	Listener string `koanf:"listener"` // one of access.ListenerNames
	// MaxConnections and MaxConnectRate, a second, are of the listener as a whole.
	MaxConnections int     `koanf:"max_connections"`
	MaxConnectRate float64 `koanf:"max_connect_rate"`
	// The others are of each client, the retained messages of each user, who comes by it.
	MaxMessageRate      int  `koanf:"max_message_rate"`
	MaxByteRate         Size `koanf:"max_byte_rate"`
	MaxPacketSize       Size `koanf:"max_packet_size"`
	MaxInflight         int  `koanf:"max_inflight"`
	MaxQueuedMessages   int  `koanf:"max_queued_messages"`
	MaxQueuedBytes      Size `koanf:"max_queued_bytes"`
	MaxSubscriptions    int  `koanf:"max_subscriptions"`
	MaxTopicLevels      int  `koanf:"max_topic_levels"`
	RetainedMaxMessages int  `koanf:"retained_max_messages"`
	RetainedMaxBytes    Size `koanf:"retained_max_bytes"`
}

func (l *ListenerLimit) broker() broker.Limits {
	return broker.Limits{
		Connections: l.MaxConnections, ConnectRate: l.MaxConnectRate,
		MessageRate: float64(l.MaxMessageRate), ByteRate: float64(l.MaxByteRate),
		PacketSize: uint32(l.MaxPacketSize), Inflight: uint16(l.MaxInflight),
		QueuedMessages: l.MaxQueuedMessages, QueuedBytes: int(l.MaxQueuedBytes), Subscriptions: l.MaxSubscriptions,
		RetainedMessages: l.RetainedMaxMessages, RetainedBytes: int64(l.RetainedMaxBytes), TopicLevels: l.MaxTopicLevels,
	}
}

// listenerLimits are those that are set, by the listener's name; nil: none.
func (o *Options) listenerLimits() map[string]broker.Limits {
	if len(o.ListenerLimits) == 0 {
		return nil
	}
	all := make(map[string]broker.Limits, len(o.ListenerLimits))
	for i := range o.ListenerLimits {
		all[o.ListenerLimits[i].Listener] = o.ListenerLimits[i].broker()
	}
	return all
}

// String writes the limits as the admin shows them: "wss: max_connections=5 max_byte_rate=1MB".
func (l ListenerLimit) String() string {
	text := l.Listener + ":"
	for field, v := range reflect.ValueOf(l).Fields() {
		if key := field.Tag.Get("koanf"); key != "listener" && !v.IsZero() {
			text += fmt.Sprintf(" %s=%v", key, v.Interface())
		}
	}
	return text
}

// checkListenerLimits checks names and figures.
func (o *Options) checkListenerLimits(p *Problems) {
	const key, gigabyte = "listener_limits", 1 << 30
	seen := map[string]bool{}
	for i, l := range o.ListenerLimits {
		switch {
		case l.Listener == "":
			p.add(key, fmt.Sprintf("entry %d needs a listener: %s", i+1, strings.Join(access.ListenerNames, ", ")))
			continue
		case !slices.Contains(access.ListenerNames, l.Listener):
			p.add(key, fmt.Sprintf("listener must be one of %s, not %q", strings.Join(access.ListenerNames, ", "), l.Listener))
			continue
		case seen[l.Listener]:
			p.add(key, fmt.Sprintf("listener %s stands there more than once: write its limits into one entry", l.Listener))
			continue
		}
		seen[l.Listener] = true
		for _, b := range []bounds{
			number("max_connections", l.MaxConnections, true, 1, 1_000_000),
			number("max_message_rate", l.MaxMessageRate, true, 1, 100_000_000),
			size("max_byte_rate", l.MaxByteRate, true, 1, 1024*gigabyte),
			size("max_packet_size", l.MaxPacketSize, true, 256, 268_435_460),
			number("max_inflight", l.MaxInflight, true, 1, math.MaxUint16),
			number("max_queued_messages", l.MaxQueuedMessages, true, 1, 100_000_000),
			size("max_queued_bytes", l.MaxQueuedBytes, true, 1024, 64*gigabyte),
			number("max_subscriptions", l.MaxSubscriptions, true, 1, 1_000_000),
			number("max_topic_levels", l.MaxTopicLevels, true, 1, topic.MaxLevels),
			number("retained_max_messages", l.RetainedMaxMessages, true, 1, 1_000_000_000),
			size("retained_max_bytes", l.RetainedMaxBytes, true, 1024, 1024*gigabyte),
		} {
			if text := b.problem(); text != "" {
				p.add(key, fmt.Sprintf("%s of listener %s %s", b.key, l.Listener, text))
			}
		}
		if r := l.MaxConnectRate; !(r >= 0 && r <= 1_000_000) {
			p.add(key, fmt.Sprintf("max_connect_rate of listener %s must be between 0 and 1000000", l.Listener))
		}
	}
}

// closedListeners warns of settings for listeners that the settings keep closed.
func (o *Options) closedListeners() (warnings []string) {
	open := map[string]bool{}
	for _, l := range o.Listeners() {
		open[l.Name] = true
	}
	why := map[string]string{"unix": "unix_socket is empty"}
	for _, a := range o.addresses() {
		name := strings.TrimSuffix(a.key, "_address")
		if why[name] = a.key + " is empty"; *a.value != "" {
			why[name] = "certfile or keyfile is empty"
		}
	}
	for _, l := range o.ListenerLimits {
		if slices.Contains(access.ListenerNames, l.Listener) && !open[l.Listener] {
			warnings = append(warnings, fmt.Sprintf("setting listener_limits: listener %s is closed (%s), its limits mean nothing", l.Listener, why[l.Listener]))
		}
	}
	if len(o.AnonymousListeners) > 0 && o.Anonymous == access.AnonymousOff {
		return append(warnings, "setting anonymous_listeners means nothing while anonymous is off")
	}
	for _, l := range o.AnonymousListeners {
		if slices.Contains(access.ListenerNames, l) && !open[l] {
			warnings = append(warnings, fmt.Sprintf("setting anonymous_listeners: listener %s is closed (%s)", l, why[l]))
		}
	}
	return warnings
}
