package mosquitto_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/mosquitto"
	"hearthmq/broker/packet"
)

// guide is the configuration of a complete guide.
const guide = `# Mosquitto
persistence true
persistence_location /var/lib/mosquitto/
log_dest file /var/log/mosquitto/mosquitto.log
log_type error
log_type warning
connection_messages true
log_timestamp true
allow_anonymous false
password_file /etc/mosquitto/passwd
acl_file /etc/mosquitto/acl
max_connections 1000
max_inflight_messages 20
max_queued_messages 1000

listener 1883
protocol mqtt

listener 8883
protocol mqtt
cafile /etc/mosquitto/certs/ca.crt
certfile /etc/mosquitto/certs/server.crt
keyfile /etc/mosquitto/certs/server.key
require_certificate false
tls_version tlsv1.2

listener 9001
protocol websockets

connection cloud
address cloud.example.com:8883
topic homeassistant/# out 1
topic commands/# in 1
remote_username bridge
remote_password secret
bridge_cafile /etc/ssl/certs/ca.crt
try_private true
restart_timeout 5 30
`

func read(files mosquitto.Uploaded) (*mosquitto.Conf, []mosquitto.Notice) {
	return mosquitto.ReadConf(files, "/m.conf")
}

func TestConfGuide(t *testing.T) {
	conf, found := read(mosquitto.Uploaded{"/m.conf": []byte(strings.ReplaceAll(guide, "\n", "\r\n"))})
	if mosquitto.Worst(found) > mosquitto.Changed {
		t.Fatal(found)
	}
	// max_connections before the first listener is about port 1883, which has a listener, too.
	var ports []string
	for _, l := range conf.Listeners {
		ports = append(ports, fmt.Sprintf("%s %s %v %d", l.Address(), l.Protocol, l.TLS.On(), l.MaxConnections))
	}
	want := "[:1883 mqtt false 1000 :8883 mqtt true -1 :9001 websockets false -1]"
	if fmt.Sprint(ports) != want {
		t.Errorf("listeners %v, want %s", ports, want)
	}
	if s := conf.SecurityOf(&conf.Listeners[0]); s.AllowAnonymous || s.PasswordFile != "/etc/mosquitto/passwd" || s.ACLFile != "/etc/mosquitto/acl" {
		t.Errorf("security %+v", s)
	}
	if conf.Persistence.Path() != "/var/lib/mosquitto//mosquitto.db" || conf.Limits.MaxInflightMessages != 20 || conf.Log.File == "" {
		t.Errorf("%+v %+v %+v", conf.Persistence, conf.Limits, conf.Log)
	}
	b := conf.Bridges[0]
	if b.Addresses[0] != "cloud.example.com:8883" || len(b.Topics) != 2 || b.RestartCap != 30*time.Second || b.RemotePassword != "secret" {
		t.Errorf("bridge %+v", b)
	}
	if out, in := b.Topics[0], b.Topics[1]; !out.Out || out.In || out.QoS != 1 || in.Out || !in.In || in.Pattern != "commands/#" {
		t.Errorf("topics %+v", b.Topics)
	}
	if strings.Contains(fmt.Sprint(b, found), "secret") {
		t.Error("the password shows")
	}
}

func TestConfScopes(t *testing.T) {
	tests := []struct {
		name, text string
		check      func(c *mosquitto.Conf) string
	}{
		{"nothing", "", func(c *mosquitto.Conf) string {
			l := &c.Listeners[0]
			return fmt.Sprint(l.Address(), c.SecurityOf(l).AllowAnonymous)
		}},
		{"a listener alone lets nobody in", "listener 1884", func(c *mosquitto.Conf) string {
			return fmt.Sprint(c.Listeners[0].Address(), c.SecurityOf(&c.Listeners[0]).AllowAnonymous)
		}},
		{"per listener", "per_listener_settings true\nlistener 1\nallow_anonymous true\nlistener 2\npassword_file p", func(c *mosquitto.Conf) string {
			a, b := c.SecurityOf(&c.Listeners[0]), c.SecurityOf(&c.Listeners[1])
			return fmt.Sprint(a.AllowAnonymous, a.PasswordFile, b.AllowAnonymous, b.PasswordFile)
		}},
		{"per listener on the standard one", "per_listener_settings true\nport 1883\nallow_anonymous true", func(c *mosquitto.Conf) string { // case A15
			return fmt.Sprint(c.Listeners[0].Port, c.SecurityOf(&c.Listeners[0]).AllowAnonymous)
		}},
		{"certificates open nothing", "listener 8883\ncertfile c\nkeyfile k\nlistener 8884\ncafile a\ncertfile c\nkeyfile k\nrequire_certificate true", func(c *mosquitto.Conf) string { // case A15
			return fmt.Sprint(c.SecurityOf(&c.Listeners[0]).AllowAnonymous, c.SecurityOf(&c.Listeners[1]).AllowAnonymous)
		}},
		{"certificates on the standard one", "port 8883\ncertfile c\nkeyfile k", func(c *mosquitto.Conf) string { // case A15
			return fmt.Sprint(c.Listeners[0].Port, c.SecurityOf(&c.Listeners[0]).AllowAnonymous)
		}},
		{"listener_allow_anonymous", "allow_anonymous false\nlistener 1\nlistener_allow_anonymous true\nlistener 2", func(c *mosquitto.Conf) string {
			return fmt.Sprint(c.SecurityOf(&c.Listeners[0]).AllowAnonymous, c.SecurityOf(&c.Listeners[1]).AllowAnonymous)
		}},
		{"unix socket", "listener 0 /run/m.sock\naccept_protocol_versions 4, 5", func(c *mosquitto.Conf) string {
			return fmt.Sprint(c.Listeners[0].Address(), c.Listeners[0].Versions[1] == packet.V50)
		}},
		{"plugin files", "listener 1\nplugin /usr/lib/mosquitto_dynamic_security.so\nplugin_opt_config_file /d.json", func(c *mosquitto.Conf) string {
			return fmt.Sprint(c.UsedFiles().Dynsec)
		}},
		{"expiration", "persistent_client_expiration 2w", func(c *mosquitto.Conf) string { return c.Limits.ClientExpiration.String() }},
		{"quoted bridge topic", "connection x\naddress h\ntopic \"a b/#\" both 2 l/ r/", func(c *mosquitto.Conf) string {
			return fmt.Sprintf("%+v %v", c.Bridges[0].Topics[0], c.Bridges[0].Addresses)
		}},
	}
	want := map[string]string{
		"nothing":                          "localhost:1883true",
		"a listener alone lets nobody in":  ":1884false",
		"per listener":                     "truefalsep",
		"per listener on the standard one": "1883 true",
		"listener_allow_anonymous":         "true false",
		"certificates open nothing":        "false false",
		"certificates on the standard one": "8883 false",
		"unix socket":                      "/run/m.socktrue",
		"plugin files":                     "[/d.json]",
		"expiration":                       "336h0m0s",
		"quoted bridge topic":              "{Pattern:a b/# In:true Out:true QoS:2 Local:l/ Remote:r/} [h:1883]",
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conf, found := read(mosquitto.Uploaded{"/m.conf": []byte(tt.text)})
			if mosquitto.Worst(found) >= mosquitto.Unsafe {
				t.Fatal(found)
			}
			if got := tt.check(conf); got != want[tt.name] {
				t.Errorf("%s, want %s", got, want[tt.name])
			}
		})
	}
}

func TestConfRefused(t *testing.T) {
	for text, want := range map[string]string{
		"acl_flie x":                 "/m.conf:1: \"acl_flie\" is not a directive",
		"\n listener\t1883":          "a tab does not separate",
		"listener":                   "the value is missing",
		"listener 99999":             "not from 0 to 65535",
		"listener 0":                 "needs the path",
		"cafile x":                   "a listener has to come before",
		"topic a":                    "a connection has to come before",
		"plugin_opt_a b":             "a plugin has to come before",
		"allow_anonymous maybe":      "is not true or false",
		"listener 1\ncertfile x":     "belong together",
		"connection x\naddress y":    "has no topic",
		"connection x\ntopic # both": "has no address",
		"connection x\nconnection x": "a bridge \"x\" already",
		"allow_anonymous true\nper_listener_settings true": "has to come before any other",
		"psk_file x":                      "pre-shared keys",
		"plugin /lib/other.so":            "nothing in place of",
		"include_dir /none":               "/m.conf:1: include_dir",
		"persistent_client_expiration 3x": "not a duration",
		"max_queued_messages " + strings.Repeat("9", 70000): "longer than 64 KiB",
	} {
		_, found := read(mosquitto.Uploaded{"/m.conf": []byte(text)})
		if mosquitto.Worst(found) < mosquitto.Unsafe || !strings.Contains(fmt.Sprint(found), want) {
			t.Errorf("%.40q: %v, want %q", text, found, want)
		}
	}
}

// Files of include_dir come in the order of the C locale, each starts without a
// listener, and messages name the file.
func TestConfInclude(t *testing.T) {
	conf, found := read(mosquitto.Uploaded{
		"/m.conf":          []byte("listener 1\ninclude_dir /conf.d\nmax_qos 1"),
		"/conf.d/b.conf":   []byte("listener 2"),
		"/conf.d/B.conf":   []byte("listener 3"),
		"/conf.d/a.config": []byte("nonsense"),
		"/conf.d/c.conf":   []byte("\ncafile x"),
	})
	if got := fmt.Sprint(conf.Listeners[0].MaxQoS, conf.Listeners[1].Port, conf.Listeners[2].Port); got != "1 3 2" {
		t.Errorf("order %s", got)
	}
	if len(found) != 1 || found[0].File != "/conf.d/c.conf" || found[0].Line != 2 {
		t.Errorf("%v", found)
	}
}

// Every keyword of Mosquitto 1.6 to 2.1 is known; plugin_opt_ and auth_opt_ are prefixes.
func TestDirectivesAreAll(t *testing.T) {
	known := mosquitto.Directives()
	all := strings.Fields(`accept_protocol_versions acl_file address addresses allow_anonymous allow_duplicate_messages allow_zero_length_clientid auth_plugin
		auth_plugin_deny_special_chars auto_id_prefix autosave_interval autosave_on_changes bind_address bind_interface bridge_alpn bridge_attempt_unsubscribe
		bridge_bind_address bridge_cafile bridge_capath bridge_certfile bridge_ciphers bridge_ciphers_tls1.3 bridge_identity bridge_insecure
		bridge_keyfile bridge_max_packet_size bridge_max_topic_alias bridge_outgoing_retain bridge_protocol_version bridge_psk bridge_receive_maximum bridge_reload_type
		bridge_require_ocsp bridge_session_expiry_interval bridge_tcp_keepalive bridge_tcp_user_timeout bridge_tls_use_os_certs bridge_tls_version cafile capath
		certfile check_retain_source ciphers ciphers_tls1.3 cleansession clientid clientid_prefixes connection
		connection_messages crlfile dhparamfile disable_client_cert_date_checks enable_control_api enable_proxy_protocol global_max_clients global_max_connections
		global_plugin http_dir idle_timeout include_dir keepalive_interval keyfile listener listener_allow_anonymous
		listener_auto_id_prefix local_cleansession local_clientid local_password local_username log_dest log_facility log_timestamp
		log_timestamp_format log_type max_connections max_inflight_bytes max_inflight_messages max_keepalive max_packet_size max_qos
		max_queued_bytes max_queued_messages max_topic_alias max_topic_alias_broker maximum_qos memory_limit message_size_limit mount_point
		notification_topic notifications notifications_local_only packet_buffer_size password password_file per_listener_settings persistence
		persistence_file persistence_location persistent_client_expiration pid_file plugin plugin_load plugin_use port
		protocol proxy_protocol_v2_require_tls psk_file psk_hint queue_qos0_messages remote_clientid remote_password remote_username
		require_certificate restart_timeout retain_available retain_expiry_interval retained_persistence retry_interval round_robin set_tcp_nodelay
		socket_domain start_type store_clean_interval sys_interval threshold tls_engine tls_engine_kpass_sha1 tls_keyform
		tls_version topic try_private upgrade_outgoing_qos use_identity_as_username use_subject_as_username use_username_as_clientid user
		username websockets_headers_size websockets_log_level websockets_origin`)
	for _, k := range all {
		if !slices.Contains(known, k) {
			t.Errorf("%s is not known", k)
		}
	}
	if len(known) != len(all) {
		t.Errorf("%d directives are known, %d exist", len(known), len(all))
	}
}
