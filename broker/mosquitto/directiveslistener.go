package mosquitto

import (
	"errors"
	"fmt"
	"math"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

var (
	errDuration = errors.New("this is not a duration such as 14d (s, h, d, w, m, y)")
	errNested   = errors.New("only the main file may include others")
	errIncluded = errors.New("more than 1000 files are included")
	errTwoFiles = errors.New("there is a log file already")
	errMount    = errors.New("a mount_point is the beginning of a topic, without wildcards")
	errPrefix   = errors.New("at most 50 bytes are possible")
)

func addListenerDirectives(t map[string]directive) {
	l := (*confReader).l
	t["listener"] = directive{set: (*confReader).newListener}
	t["port"] = directive{set: func(r *confReader, rest string) error {
		v, err := integer(rest, 1, math.MaxUint16)
		if err == nil {
			err = r.useStandard()
		}
		if err == nil {
			r.conf.localOnly = false
			r.l().Port = uint16(v)
		}
		return err
	}}
	t["bind_address"] = directive{set: func(r *confReader, rest string) error {
		v, err := text(rest)
		if err == nil {
			err = r.useStandard()
		}
		if err == nil {
			r.conf.localOnly = false
			r.l().Host = v
		}
		return err
	}}
	t["bind_interface"] = words(ofListenerOrDirect, func(r *confReader) *string { return &l(r).Interface }).
		noted(Unsafe, "HearthMQ can't keep a port to one network interface; name the address in the listener line")
	t["socket_domain"] = directive{scope: ofListenerOrDirect, set: func(r *confReader, rest string) (err error) {
		l(r).Domain, err = oneOf(rest, "ipv4", "ipv6")
		return err
	}}
	t["protocol"] = directive{scope: ofListenerOrDirect, set: func(r *confReader, rest string) (err error) {
		if l(r).Protocol, err = oneOf(rest, "mqtt", "websockets", "http_api"); l(r).Protocol == "http_api" {
			r.tell(Left, "protocol", "HearthMQ has an interface of its own for programs")
		}
		return err
	}}
	t["http_dir"] = words(ofListener, func(r *confReader) *string { return &l(r).HTTPDir }).noted(Left, "HearthMQ serves no files")
	t["websockets_origin"] = directive{scope: ofListener, set: func(r *confReader, rest string) error {
		v, err := text(rest)
		if err == nil {
			l(r).Origins = append(l(r).Origins, v)
		}
		return err
	}}
	t["max_connections"] = bounded(ofListenerOrDirect, -1, func(r *confReader) *int { return &l(r).MaxConnections })
	t["max_qos"] = directive{scope: ofListenerOrDirect, set: func(r *confReader, rest string) error {
		v, err := integer(rest, 0, 2)
		l(r).MaxQoS = byte(v)
		return err
	}}
	t["maximum_qos"] = t["max_qos"]
	alias := func(at func(*confReader) *uint16) directive {
		return directive{scope: ofListener, set: func(r *confReader, rest string) error {
			v, err := integer(rest, 0, math.MaxUint16)
			*at(r) = uint16(v)
			return err
		}}
	}
	t["max_topic_alias"] = alias(func(r *confReader) *uint16 { return &l(r).MaxTopicAlias })
	t["max_topic_alias_broker"] = alias(func(r *confReader) *uint16 { return &l(r).MaxTopicAliasBroker })
	t["mount_point"] = directive{scope: ofListener, set: func(r *confReader, rest string) error {
		v, err := text(rest)
		if err == nil && topic.ValidName(v) != nil {
			err = errMount
		}
		l(r).MountPoint = v
		return err
	}}
	t["use_username_as_clientid"] = flag(ofListenerOrDirect, func(r *confReader) *bool { return &l(r).UsernameAsClientID })
	t["accept_protocol_versions"] = directive{scope: ofListener, set: (*confReader).protocolVersions}
	t["enable_proxy_protocol"] = number(ofListener, 1, 2, func(r *confReader) *int { return &l(r).Proxy })
	t["proxy_protocol_v2_require_tls"] = flag(ofListener, func(r *confReader) *bool { return &l(r).ProxyRequireTLS })
	t["listener_allow_anonymous"] = directive{scope: ofListener, set: func(r *confReader, rest string) error {
		return setAnonymous(&l(r).Security, rest)
	}}
	t["listener_auto_id_prefix"] = directive{scope: ofListener, set: func(r *confReader, rest string) error {
		return setPrefix(&l(r).Security, rest)
	}}
}

func (r *confReader) newListener(rest string) error {
	port, err := integer(rest, 0, math.MaxUint16)
	if err != nil {
		return err
	}
	_, rest = word(rest)
	where, _ := word(rest)
	if strings.HasPrefix(where, "#") {
		where = ""
	}
	l := defaultListener(r.file, r.line)
	l.Port = uint16(port)
	switch {
	case port == 0 && where == "":
		return errors.New("port 0 needs the path of a Unix socket")
	case port == 0:
		l.Socket = where
	default:
		l.Host = where
	}
	r.conf.localOnly = false
	return r.addListener(l)
}

func (r *confReader) protocolVersions(rest string) error {
	list := strings.FieldsFunc(rest, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
	if len(list) == 0 {
		return errEmpty
	}
	versions := []packet.Version{}
	for _, w := range list {
		v, ok := map[string]packet.Version{"3": packet.V31, "4": packet.V311, "5": packet.V50}[w]
		if !ok {
			return fmt.Errorf("%s is not 3, 4 or 5", quote(w))
		}
		if !slices.Contains(versions, v) {
			versions = append(versions, v)
		}
	}
	r.l().Versions = versions
	return nil
}

// Address is the listener's as package net writes it: host:port, or the path of a socket.
func (l *Listener) Address() string {
	if l.Port == 0 {
		return l.Socket
	}
	return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))
}

func addTLSDirectives(t map[string]directive) {
	tls := func(r *confReader) *TLS { return &r.l().TLS }
	t["cafile"] = words(ofListener, func(r *confReader) *string { return &tls(r).CAFile })
	t["capath"] = words(ofListenerOrDirect, func(r *confReader) *string { return &tls(r).CAPath })
	t["certfile"] = words(ofListenerOrDirect, func(r *confReader) *string { return &tls(r).CertFile })
	t["keyfile"] = words(ofListenerOrDirect, func(r *confReader) *string { return &tls(r).KeyFile })
	t["crlfile"] = words(ofListenerOrDirect, func(r *confReader) *string { return &tls(r).CRLFile })
	t["require_certificate"] = flag(ofListenerOrDirect, func(r *confReader) *bool { return &tls(r).RequireCertificate })
	t["use_identity_as_username"] = flag(ofListenerOrDirect, func(r *confReader) *bool { return &tls(r).IdentityAsUsername })
	t["use_subject_as_username"] = flag(ofListenerOrDirect, func(r *confReader) *bool { return &tls(r).SubjectAsUsername })
	t["disable_client_cert_date_checks"] = flag(ofListener, func(r *confReader) *bool { return &tls(r).IgnoreDates })
	t["tls_version"] = directive{scope: ofListener, set: func(r *confReader, rest string) (err error) {
		if tls(r).Version, err = oneOf(rest, "tlsv1.3", "tlsv1.2", "tlsv1.1", "tlsv1"); tls(r).Version < "tlsv1.2" && err == nil {
			r.tell(Changed, "tls_version", "clients need TLS 1.2 or later: what came before is not safe any more")
		}
		return err
	}}
	t["psk_hint"] = words(ofListenerOrDirect, func(r *confReader) *string { return &tls(r).PSKHint }).
		noted(Unsafe, "HearthMQ has no encryption with pre-shared keys; give the clients certificates or passwords")
	for _, k := range []string{"ciphers", "ciphers_tls1.3"} {
		t[k] = words(ofListenerOrDirect, func(*confReader) *string { return new(string) }).
			noted(Harmless, "HearthMQ offers the ciphers that are held to be safe, and no others")
	}
	for _, k := range []string{"tls_engine", "tls_engine_kpass_sha1"} {
		t[k] = words(ofListenerOrDirect, func(*confReader) *string { return new(string) }).noted(Unsafe, "HearthMQ reads keys from files alone")
	}
	t["tls_keyform"] = directive{scope: ofListenerOrDirect, set: func(r *confReader, rest string) error {
		form, err := oneOf(rest, "pem", "engine")
		if form == "engine" {
			r.tell(Unsafe, "tls_keyform", "HearthMQ reads keys from files alone")
		}
		return err
	}}
}

func addSecurityDirectives(t map[string]directive) {
	sec := (*confReader).sec
	t["per_listener_settings"] = directive{set: func(r *confReader, rest string) error {
		v, err := boolean(rest)
		switch {
		case err != nil || r.conf.PerListener: // once set it stays
			return err
		case v && r.security:
			return errors.New("this has to come before any other setting about security")
		}
		r.conf.PerListener = v
		return nil
	}}
	t["allow_anonymous"] = directive{scope: ofSecurity, set: func(r *confReader, rest string) error { return setAnonymous(sec(r), rest) }}
	t["auto_id_prefix"] = directive{scope: ofSecurity, set: func(r *confReader, rest string) error { return setPrefix(sec(r), rest) }}
	t["allow_zero_length_clientid"] = flag(ofSecurity, func(r *confReader) *bool { return &sec(r).AllowZeroClientID })
	t["password_file"] = words(ofSecurity, func(r *confReader) *string { return &sec(r).PasswordFile })
	t["acl_file"] = words(ofSecurity, func(r *confReader) *string { return &sec(r).ACLFile })
	t["psk_file"] = words(ofSecurity, func(r *confReader) *string { return &sec(r).PSKFile }).
		noted(Unsafe, "HearthMQ has no encryption with pre-shared keys; give the clients certificates or passwords")
	load := func(r *confReader, name, path string, used bool) error {
		if path == "" {
			return errEmpty
		}
		r.conf.Plugins = append(r.conf.Plugins, Plugin{File: r.file, Line: r.line, Name: name, Path: path, Used: used, Options: map[string]string{}})
		r.plugin = len(r.conf.Plugins) - 1
		return nil
	}
	use := func(s *Security, plugin int) { s.Plugins = append(s.Plugins, plugin) }
	for _, k := range []string{"plugin", "auth_plugin"} {
		t[k] = directive{scope: ofSecurity, set: func(r *confReader, rest string) error {
			path, _ := word(rest)
			err := load(r, "", path, true)
			if err == nil {
				use(sec(r), r.plugin)
			}
			return err
		}}
	}
	t["global_plugin"] = directive{set: func(r *confReader, rest string) error {
		path, _ := word(rest)
		err := load(r, "", path, true)
		if err == nil {
			use(&r.conf.Security, r.plugin)
		}
		return err
	}}
	t["plugin_load"] = directive{set: func(r *confReader, rest string) error {
		name, rest := word(rest)
		if name != "" && slices.ContainsFunc(r.conf.Plugins, func(p Plugin) bool { return p.Name == name }) {
			return fmt.Errorf("there is a plugin %s already", quote(name))
		}
		return load(r, name, strings.Trim(rest, " \t"), false)
	}}
	t["plugin_use"] = directive{scope: ofListener, set: func(r *confReader, rest string) error {
		name, err := text(rest)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(r.conf.Plugins, func(p Plugin) bool { return p.Name == name })
		if i < 0 {
			return fmt.Errorf("no plugin %s was loaded", quote(name))
		}
		r.plugin = i
		r.conf.Plugins[i].Used = true
		use(&r.l().Security, i)
		return nil
	}}
	t["auth_plugin_deny_special_chars"] = flag(ofPlugin, func(*confReader) *bool { return new(bool) }).
		noted(Harmless, "names with wildcards match no rule in HearthMQ")
}

func setAnonymous(s *Security, rest string) error {
	v, err := boolean(rest)
	if err == nil {
		s.anonymous = strconv.FormatBool(v)
	}
	return err
}

func setPrefix(s *Security, rest string) error {
	v, err := text(rest)
	switch {
	case err != nil:
		return err
	case len(v) > 50:
		return errPrefix
	}
	s.AutoIDPrefix, s.prefixed = v, true
	return nil
}

// PluginKind is a plugin that is known.
type PluginKind string

const (
	PluginUnknown   PluginKind = ""
	PluginDynsec    PluginKind = "dynamic-security"
	PluginPasswords PluginKind = "password-file"
	PluginACL       PluginKind = "acl-file"
	PluginSQLite    PluginKind = "persist-sqlite"
	PluginSparkplug PluginKind = "sparkplug-aware"
	PluginGoAuth    PluginKind = "go-auth"
)

// Kind recognises the plugin by the name of its file.
func (p *Plugin) Kind() PluginKind {
	base := path.Base(strings.ReplaceAll(p.Path, `\`, "/"))
	for part, kind := range map[string]PluginKind{
		"dynamic_security": PluginDynsec, "password_file": PluginPasswords, "acl_file": PluginACL,
		"persist_sqlite": PluginSQLite, "sparkplug_aware": PluginSparkplug, "go-auth": PluginGoAuth,
	} {
		if strings.Contains(base, part) {
			return kind
		}
	}
	return PluginUnknown
}
