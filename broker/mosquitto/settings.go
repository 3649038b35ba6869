package mosquitto

import (
	"fmt"
	"strconv"
	"strings"
)

// settings tells which of HearthMQ's settings do what the configuration does, and
// what of it stays behind since there is no such setting.
func (p *Plan) settings(c *Conf) {
	p.listeners(c)
	add := func(key, value string) {
		p.Report.Settings = append(p.Report.Settings, Setting{Key: key, Value: value, From: Notice{File: c.File}})
	}
	limit := func(key string, v, standard int) {
		if v != standard && v > 0 {
			add(key, strconv.Itoa(v))
		}
	}
	l := c.Limits
	limit("max_connections", l.MaxConnections, -1)
	limit("max_packet_size", l.MaxPacketSize, 2_000_000)
	limit("max_inflight", l.MaxInflightMessages, 20)
	limit("max_queued_messages", l.MaxQueuedMessages, 1000)
	limit("max_queued_bytes", l.MaxQueuedBytes, 0)
	limit("max_keepalive", l.MaxKeepAlive, 0)
	if l.ClientExpiration > 0 {
		add("session_expiry_max", l.ClientExpiration.String())
	}
	left := func(what, text string) {
		p.notices = append(p.notices, Notice{File: c.File, Level: Left, Directive: what, Text: text})
	}
	if l.MaxInflightBytes > 0 {
		left("max_inflight_bytes", "HearthMQ bounds what is under way to a client by the number of messages alone")
	}
	if !c.RetainAvailable {
		left("retain_available", "HearthMQ keeps retained messages")
	}
	if c.RetainExpiry > 0 {
		left("retain_expiry_interval", "retained messages don't expire by themselves in HearthMQ")
	}
	if c.UpgradeQoS {
		left("upgrade_outgoing_qos", "a message is never delivered with a higher QoS than it was published with")
	}
	for _, b := range c.Bridges {
		p.notices = append(p.notices, Notice{
			File: b.File, Line: b.Line, Level: Left, Directive: "connection",
			Text: fmt.Sprintf("bridge %s to %s (%s) is not imported; hearthmq serve -c runs with it as it is", quote(b.Name),
				strings.Join(b.Addresses, ", "), plural(len(b.Topics), "topic", "topics")),
		})
	}
}

// listeners finds a setting for each listener; HearthMQ has one port of each sort.
func (p *Plan) listeners(c *Conf) {
	taken := map[string]bool{}
	var nameless []string // listeners that let in who has no user name
	var first Notice      // of them
	restricted := p.hasRights
	for i := range c.Listeners {
		l := &c.Listeners[i]
		at := Notice{File: l.File, Line: l.Line, Directive: "listener", Level: Left}
		add := func(key, value string) {
			p.Report.Settings = append(p.Report.Settings, Setting{Key: key, Value: value, From: at})
		}
		key := "mqtt_address"
		switch {
		case l.Protocol == "http_api":
			continue // told of when it was read
		case l.Socket != "":
			key = "unix_socket"
		case l.Protocol == "websockets" && l.TLS.On():
			key = "wss_address"
		case l.Protocol == "websockets":
			key = "ws_address"
		case l.TLS.On():
			key = "mqtts_address"
		}
		if taken[key] {
			at.Text = fmt.Sprintf("HearthMQ has one port of this sort: %s stays behind", l.Address())
			p.notices = append(p.notices, at)
			continue
		}
		taken[key] = true
		add(key, l.Address())
		if l.TLS.On() && !taken["tls"] {
			taken["tls"] = true
			for _, kv := range [][2]string{{"certfile", l.TLS.CertFile}, {"keyfile", l.TLS.KeyFile}, {"cafile", l.TLS.CAFile}} {
				if kv[1] != "" {
					add(kv[0], kv[1])
				}
			}
			if l.TLS.RequireCertificate {
				add("require_certificate", "true")
			}
		}
		if sec := c.SecurityOf(l); sec.AllowAnonymous {
			name := strings.TrimSuffix(strings.TrimSuffix(key, "_address"), "_socket")
			if nameless = append(nameless, strconv.Quote(name)); len(nameless) == 1 {
				first = at
			}
			f := c.accessFiles(sec)
			if named := f.acl != "" || f.dynsec != ""; named {
				restricted = true // by a file that may not be here
			} else if p.hasRights {
				n := at
				n.Level, n.Directive = Changed, "allow_anonymous"
				n.Text = fmt.Sprintf("whoever has no user name may everything by %s, and in HearthMQ what the role anonymous allows", l.Address())
				p.notices = append(p.notices, n)
			}
		}
		for _, x := range []struct {
			what string
			on   bool
		}{
			{"mount_point", l.MountPoint != ""},
			{"use_username_as_clientid", l.UsernameAsClientID},
			{"max_qos", l.MaxQoS < 2},
			{"accept_protocol_versions", l.Versions != nil},
			{"max_connections", l.MaxConnections > 0},
			{"enable_proxy_protocol", l.Proxy > 0},
			{"use_identity_as_username", l.TLS.IdentityAsUsername},
			{"use_subject_as_username", l.TLS.SubjectAsUsername},
		} {
			if x.on {
				n := at
				n.Directive, n.Text = x.what, fmt.Sprintf("this is not among what is imported for %s; hearthmq serve -c runs with it", l.Address())
				p.notices = append(p.notices, n)
			}
		}
	}
	if len(nameless) == 0 {
		return
	}
	value := "full"
	if restricted {
		value = "restricted"
	}
	// Always with the listeners: HearthMQ opens others unless it is told not to (case A15).
	p.Report.Settings = append(p.Report.Settings, Setting{Key: "anonymous", Value: value, From: first},
		Setting{Key: "anonymous_listeners", Value: "[" + strings.Join(nameless, ", ") + "]", From: first})
}
