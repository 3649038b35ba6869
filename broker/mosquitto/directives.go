package mosquitto

import (
	"math"
	"strings"
	"time"
)

// directive is one keyword of mosquitto.conf. A note tells, once, what becomes of it;
// without one it is taken over as it is.
type directive struct {
	scope scope
	set   func(r *confReader, rest string) error
	level Level
	note  string
}

func (d directive) noted(l Level, note string) directive {
	d.level, d.note = l, note
	return d
}

func flag(s scope, at func(*confReader) *bool) directive {
	return directive{scope: s, set: func(r *confReader, rest string) error {
		v, err := boolean(rest)
		if err == nil {
			*at(r) = v
		}
		return err
	}}
}

func number(s scope, least, most int, at func(*confReader) *int) directive {
	return directive{scope: s, set: func(r *confReader, rest string) error {
		v, err := integer(rest, least, most)
		if err == nil {
			*at(r) = v
		}
		return err
	}}
}

// bounded is a number where a negative one means the value none.
func bounded(s scope, none int, at func(*confReader) *int) directive {
	return directive{scope: s, set: func(r *confReader, rest string) error {
		v, err := integer(rest, math.MinInt32, math.MaxInt32)
		if err == nil {
			if v < 0 {
				v = none
			}
			*at(r) = v
		}
		return err
	}}
}

// words is a text; the last one counts.
func words(s scope, at func(*confReader) *string) directive {
	return directive{scope: s, set: func(r *confReader, rest string) error {
		v, err := text(rest)
		if err == nil {
			*at(r) = v
		}
		return err
	}}
}

// ignored is a directive whose value makes no difference here.
func ignored(s scope, l Level, note string) directive {
	return directive{scope: s, level: l, note: note, set: func(*confReader, string) error { return nil }}
}

// directives is every keyword of Mosquitto 1.6 to 2.1.
func directives() map[string]directive {
	t := map[string]directive{}
	addListenerDirectives(t)
	addTLSDirectives(t)
	addSecurityDirectives(t)
	addGlobalDirectives(t)
	addLogDirectives(t)
	addBridgeDirectives(t)
	return t
}

func addGlobalDirectives(t map[string]directive) {
	conf := func(r *confReader) *Conf { return r.conf }
	limits := func(r *confReader) *Limits { return &r.conf.Limits }
	t["include_dir"] = directive{set: (*confReader).includeDir}
	t["max_inflight_messages"] = directive{set: func(r *confReader, rest string) error {
		v, err := integer(rest, math.MinInt32, math.MaxUint16)
		if err == nil && (v < 0 || v == math.MaxUint16) {
			v = 0
		}
		if err == nil {
			r.conf.Limits.MaxInflightMessages = v
		}
		return err
	}}
	t["max_inflight_bytes"] = bounded(global, 0, func(r *confReader) *int { return &limits(r).MaxInflightBytes })
	t["max_queued_messages"] = bounded(global, 0, func(r *confReader) *int { return &limits(r).MaxQueuedMessages })
	t["max_queued_bytes"] = bounded(global, 0, func(r *confReader) *int { return &limits(r).MaxQueuedBytes })
	t["max_keepalive"] = number(global, 0, math.MaxUint16, func(r *confReader) *int { return &limits(r).MaxKeepAlive })
	t["max_packet_size"] = number(global, 20, math.MaxInt32, func(r *confReader) *int { return &limits(r).MaxPacketSize })
	t["message_size_limit"] = number(global, 0, maxPayload, func(r *confReader) *int { return &limits(r).MessageSizeLimit })
	t["memory_limit"] = number(global, 0, math.MaxInt, func(r *confReader) *int { return &limits(r).MemoryLimit })
	t["global_max_clients"] = bounded(global, -1, func(r *confReader) *int { return &limits(r).MaxClients })
	t["global_max_connections"] = bounded(global, -1, func(r *confReader) *int { return &limits(r).MaxConnections })
	t["persistent_client_expiration"] = directive{set: (*confReader).clientExpiration}

	t["persistence"] = flag(global, func(r *confReader) *bool { return &r.conf.Persistence.On })
	t["retained_persistence"] = t["persistence"]
	t["persistence_file"] = words(global, func(r *confReader) *string { return &r.conf.Persistence.File })
	t["persistence_location"] = words(global, func(r *confReader) *string { return &r.conf.Persistence.Location })
	t["autosave_interval"] = bounded(global, 0, func(r *confReader) *int { return &r.conf.Persistence.SaveEvery }).
		noted(Harmless, "HearthMQ stores everything at once")
	t["autosave_on_changes"] = flag(global, func(r *confReader) *bool { return &r.conf.Persistence.SaveOnChanges }).
		noted(Harmless, "HearthMQ stores everything at once")

	t["retain_available"] = flag(global, func(r *confReader) *bool { return &r.conf.RetainAvailable })
	t["retain_expiry_interval"] = directive{set: func(r *confReader, rest string) error {
		v, err := integer(rest, 1, math.MaxInt32)
		r.conf.RetainExpiry = time.Duration(min(v, 10_000_000)) * time.Minute
		return err
	}}
	t["check_retain_source"] = flag(global, func(r *confReader) *bool { return &r.conf.CheckRetainSource })
	t["queue_qos0_messages"] = flag(global, func(r *confReader) *bool { return &r.conf.QueueQoS0 })
	t["upgrade_outgoing_qos"] = flag(global, func(r *confReader) *bool { return &r.conf.UpgradeQoS })
	t["set_tcp_nodelay"] = flag(global, func(r *confReader) *bool { return &r.conf.NoDelay }).noted(Harmless, "HearthMQ always sends at once")
	t["enable_control_api"] = flag(global, func(r *confReader) *bool { return &r.conf.ControlAPI })
	t["sys_interval"] = directive{set: func(r *confReader, rest string) error {
		v, err := integer(rest, 0, math.MaxUint16)
		r.conf.SysInterval = time.Duration(v) * time.Second
		return err
	}}
	t["clientid_prefixes"] = words(global, func(r *confReader) *string { return &conf(r).ClientIDPrefixes })
	t["allow_duplicate_messages"] = flag(global, func(*confReader) *bool { return new(bool) }).
		noted(Harmless, "a message is delivered once for each subscription that matches")

	t["user"] = words(global, func(r *confReader) *string { return &r.conf.User })
	t["pid_file"] = words(global, func(r *confReader) *string { return &r.conf.PIDFile })
	for _, k := range []string{"retry_interval", "store_clean_interval", "dhparamfile"} {
		t[k] = ignored(global, Harmless, "Mosquitto ignores it, too")
	}
	for _, k := range []string{"packet_buffer_size", "websockets_headers_size", "websockets_log_level"} {
		t[k] = number(global, 0, math.MaxUint16, func(*confReader) *int { return new(int) }).noted(Harmless, "HearthMQ needs no such setting")
	}
}

func (r *confReader) clientExpiration(rest string) error {
	first, _ := word(rest)
	if first == "" {
		return errEmpty
	}
	const day = 24 * time.Hour
	units := map[byte]time.Duration{'s': time.Second, 'h': time.Hour, 'd': day, 'w': 7 * day, 'm': 30 * day, 'y': 365 * day}
	unit, ok := units[first[len(first)-1]]
	v, err := integer(first[:len(first)-1], 1, math.MaxInt32)
	if !ok || err != nil || int64(v) > math.MaxInt64/int64(unit) {
		return errDuration
	}
	r.conf.Limits.ClientExpiration = time.Duration(v) * unit
	return nil
}

// includeDir reads the files of a folder, in the order of the C locale.
func (r *confReader) includeDir(rest string) error {
	dir, err := text(rest)
	if err != nil {
		return err
	}
	if r.level > 0 {
		return errNested
	}
	names, err := r.files.List(dir)
	if err != nil {
		return reason(err)
	}
	for _, name := range confNames(names) {
		if r.included++; r.included > maxIncluded {
			return errIncluded
		}
		r.readFile(name, 1)
	}
	return nil
}

func addLogDirectives(t map[string]directive) {
	log := func(r *confReader) *Log { return &r.conf.Log }
	t["log_dest"] = directive{set: func(r *confReader, rest string) error {
		dest, err := oneOf(rest, "stdout", "stderr", "syslog", "topic", "file", "dlt", "android", "none")
		if err != nil {
			return err
		}
		if dest == "file" {
			_, name := word(rest)
			if log(r).File != "" {
				return errTwoFiles
			}
			if log(r).File, err = text(name); err != nil {
				return err
			}
		}
		if dest == "none" {
			log(r).Destinations = nil
		}
		log(r).Destinations = append(log(r).Destinations, dest)
		return nil
	}}
	t["log_type"] = directive{set: func(r *confReader, rest string) error {
		kind, err := oneOf(rest, "error", "warning", "notice", "information", "debug", "subscribe", "unsubscribe", "internal", "websockets", "all", "none")
		if kind == "all" || kind == "none" {
			log(r).Types = nil
		}
		if err == nil {
			log(r).Types = append(log(r).Types, kind)
		}
		return err
	}}
	t["log_timestamp"] = flag(global, func(r *confReader) *bool { return &log(r).Timestamp })
	t["log_timestamp_format"] = words(global, func(r *confReader) *string { return &log(r).TimestampFormat })
	t["connection_messages"] = flag(global, func(r *confReader) *bool { return &log(r).ConnectionMessages })
	t["log_facility"] = number(global, 0, 7, func(r *confReader) *int { return &log(r).Facility })
}

// pluginOption notes an option of the plugin that came last.
func (r *confReader) pluginOption(key, rest string) error {
	v, err := text(strings.TrimLeft(rest, " \t"))
	if err != nil {
		return err
	}
	if key == "" {
		return errEmpty
	}
	r.conf.Plugins[r.plugin].Options[key] = v
	return nil
}
