package mosquitto

import (
	"fmt"
	"slices"
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
	var secure *Listener // whose certificates count
	var limits []string
	for i := range c.Listeners {
		l := &c.Listeners[i]
		at := Notice{File: l.File, Line: l.Line, Directive: "listener", Level: Left}
		add := func(key, value string) {
			p.Report.Settings = append(p.Report.Settings, Setting{Key: key, Value: value, From: at})
		}
		left := func(directive, text string) {
			n := at
			n.Directive, n.Text = directive, text
			p.notices = append(p.notices, n)
		}
		if l.Protocol == "http_api" {
			continue // told of when it was read
		}
		key, name := l.setting()
		if taken[key] {
			left("listener", fmt.Sprintf("HearthMQ has one port of this sort: %s stays behind", l.Address()))
			continue
		}
		taken[key] = true
		add(key, l.Address())
		switch {
		case !l.TLS.On():
		case secure == nil:
			secure = l
			for _, kv := range l.TLS.settings() {
				add(kv[0], kv[1])
			}
			if l.TLS.CAPath != "" {
				left("capath", "HearthMQ reads authorities from one file: put those of the folder together for the setting cafile")
			}
		case !l.TLS.like(&secure.TLS):
			left("listener", fmt.Sprintf("HearthMQ has one set of certificates and of what is asked of clients': that of %s counts for %s, too", secure.Address(), l.Address()))
		}
		if len(l.Origins) > 0 && !taken["ws_origins"] {
			taken["ws_origins"] = true
			add("ws_origins", inJSON(l.Origins))
		}
		if l.MaxConnections > 0 {
			limits = append(limits, fmt.Sprintf(`{"listener": %q, "max_connections": %d}`, name, l.MaxConnections))
		}
		if sec := c.SecurityOf(l); sec.AllowAnonymous {
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
		} {
			if x.on {
				left(x.what, fmt.Sprintf("this is not among what is imported for %s; hearthmq serve -c runs with it", l.Address()))
			}
		}
		if l.Proxy > 0 {
			left("enable_proxy_protocol", "HearthMQ believes only proxies that it knows: the setting proxy_protocol takes their networks")
		}
	}
	if len(limits) > 0 {
		p.Report.Settings = append(p.Report.Settings, Setting{
			Key: "listener_limits", Value: "[" + strings.Join(limits, ", ") + "]", From: Notice{File: c.File},
		})
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

// setting is the key of the address that does what l does, and the name of that listener.
func (l *Listener) setting() (key, name string) {
	switch {
	case l.Socket != "":
		return "unix_socket", "unix"
	case l.Protocol == "websockets" && l.TLS.On():
		return "wss_address", "wss"
	case l.Protocol == "websockets":
		return "ws_address", "ws"
	case l.TLS.On():
		return "mqtts_address", "mqtts"
	}
	return "mqtt_address", "mqtt"
}

// settings are those that do what t does. Whom certificates name, and which are revoked,
// counts for Mosquitto only where it asks clients for one.
func (t *TLS) settings() [][2]string {
	all := [][2]string{{"certfile", t.CertFile}, {"keyfile", t.KeyFile}, {"cafile", t.CAFile}}
	if t.RequireCertificate {
		all = append(all, [2]string{"require_certificate", "true"}, [2]string{"crlfile", t.CRLFile})
		switch {
		case t.IdentityAsUsername:
			all = append(all, [2]string{"certificate_user", "cn"})
		case t.SubjectAsUsername:
			all = append(all, [2]string{"certificate_user", "subject"})
		}
	}
	return slices.DeleteFunc(all, func(kv [2]string) bool { return kv[1] == "" })
}

// like reports whether the same settings do what both do.
func (t *TLS) like(o *TLS) bool {
	return slices.Equal(t.settings(), o.settings()) && t.CAPath == o.CAPath
}

func inJSON(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
