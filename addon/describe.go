package addon

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// Setting is one setting for people: what the admin's page, `hearthmq serve --help`
// and the table in DOCS.md say of it. It holds no secret.
type Setting struct {
	Key     string
	Group   string
	Value   string // "" when there is none
	Default string
	// Origin is where the value comes from: OriginDefault, the file's name, or the
	// environment variable.
	Origin  string
	Meaning string // one sentence or two, with `code` in it
}

// OriginDefault is the Origin of what nobody has set.
const OriginDefault = "default"

// description is what is written by hand of a setting.
type description struct {
	key, group, meaning string
	unset               string // what the default is called where its value says nothing
}

// Groups of settings, in the order in which they are shown.
const (
	groupUsers   = "Who may come in"
	groupPorts   = "Ports"
	groupCerts   = "Certificates"
	groupStore   = "Storage"
	groupLimits  = "Limits"
	groupAdmin   = "Admin and log"
	groupAddonHA = "Home Assistant"
)

// descriptions has every setting but those that owners never see.
var descriptions = []description{
	{"logins", groupUsers, "Users of the settings, with full access, as Mosquitto's app has them: `[{\"username\": …, \"password\": …}]`. They are shown in the admin and changed only here. With `password_pre_hashed` the password is a hash that Mosquitto made.", "none"},
	{"anonymous", groupUsers, "Clients without a user name: `off`, `restricted` (what the role *anonymous* allows) or `full`.", ""},
	{"anonymous_listeners", groupUsers, "The listeners for which `anonymous` counts, of `mqtt`, `ws`, `mqtts`, `wss` and `unix`; on the others a client without a user name is refused.", "all"},
	{"check_retain_source", groupUsers, "A retained message is given to new subscribers only while who published it may still publish there; see *When a right is taken away*.", ""},
	{"jwt_keys", groupUsers, "File with the public keys (PEM or a JSON Web Key Set) of an issuer whose tokens (JWT) clients may give as their password. Read again when it changes.", "none"},
	{"jwt_user_claim", groupUsers, "The claim of a token that is the user's name.", ""},
	{"jwt_roles_claim", groupUsers, "The claim that holds the roles, of those that exist here; dots lead into objects. A token of a user of HearthMQ needs none.", ""},
	{"jwt_issuer", groupUsers, "Take tokens of this issuer alone.", "any"},
	{"jwt_audience", groupUsers, "Take tokens for this audience alone.", "any"},

	{"mqtt_address", groupPorts, "MQTT; empty: closed.", ""},
	{"ws_address", groupPorts, "MQTT over WebSocket; empty: closed.", ""},
	{"mqtts_address", groupPorts, "MQTT, encrypted; it opens once certificate and key exist.", ""},
	{"wss_address", groupPorts, "MQTT over WebSocket, encrypted; it opens once certificate and key exist.", ""},
	{"unix_socket", groupPorts, "Path of a socket for programs on the same machine.", "none"},
	{"proxy_protocol", groupPorts, "Networks whose proxies tell the client's address with the PROXY protocol. From there nothing else is taken.", "none"},
	{"trusted_proxies", groupPorts, "Networks whose HTTP proxies (nginx, Caddy, Traefik …) are believed whom they speak for: their `X-Forwarded-For` counts for MQTT over WebSocket and for the admin, in limits, blocks, network rules and logs.", "none"},
	{"bridge_networks", groupPorts, "Networks that bridges to other brokers may reach although they are near: without, a bridge never goes to this machine itself, to link-local addresses or to Home Assistant's own network, 172.30.32.0/23.", "none"},
	{"ws_origins", groupPorts, "Web pages that may connect over WebSocket beside those of the same host: origins such as `https://panel.example`.", "none"},

	{"certfile", groupCerts, "The certificate for the encrypted ports; in `/ssl` in the app, in the data folder elsewhere. Read again when the files change, nobody is dropped.", ""},
	{"keyfile", groupCerts, "The certificate's private key, without a passphrase.", ""},
	{"cafile", groupCerts, "Certificates that sign the certificates of devices.", "none"},
	{"crlfile", groupCerts, "List of revoked client certificates, read again when it changes. A list whose time is over counts on, and the admin says so.", "none"},
	{"require_certificate", groupCerts, "On the encrypted ports only devices with a certificate of that authority may connect.", ""},
	{"certificate_user", groupCerts, "Which part of a client certificate is the name of its user, who then needs no password: `cn` (Common Name), `san` (first alternative name) or `subject`; `off`: none.", ""},
	{"certificate_users", groupCerts, "The user of a single certificate, by its SHA-256 fingerprint, Common Name or alternative name: `[{\"certificate\": …, \"username\": …}]`. Goes before `certificate_user`.", "none"},

	{"durability", groupStore, "When an acknowledged message is on disk: `durable`, `balanced`, `sd_saver` or `memory`; see *What a crash or a power cut may cost*.", ""},
	{"retained_max_messages", groupStore, "How many messages are retained; 0: no limit.", ""},
	{"retained_max_bytes", groupStore, "How large they may be together; 0: no limit.", ""},

	{"max_connections", groupLimits, "Connections at the same time; 0: no limit.", ""},
	{"max_connections_per_address", groupLimits, "Connections from one address at the same time; as many new ones may come at once, and a fifth of that a second afterwards. 0: no limit. This machine, Home Assistant, `exempt_addresses` and proxies that are named are exempt.", ""},
	{"exempt_addresses", groupLimits, "Networks or addresses for which the limits of single addresses don't count: such as that of a router or a proxy by which many devices come and that can't tell theirs.", "none"},
	{"max_message_rate", groupLimits, "Messages a second that are taken from one client; who sends faster is read more slowly, nothing is lost. 0: no limit.", ""},
	{"max_byte_rate", groupLimits, "The same in bytes a second.", "no limit"},
	{"max_message_rate_per_address", groupLimits, "Messages a second that all clients of one address together may send; those who send more are read more slowly. 0: no limit. The same are exempt as for `max_connections_per_address`.", ""},
	{"max_byte_rate_per_address", groupLimits, "The same in bytes a second.", "no limit"},
	{"max_packet_size", groupLimits, "Largest packet that is taken from a client.", ""},
	{"max_inflight", groupLimits, "Messages of QoS 1 and 2 under way to a client without acknowledgement.", ""},
	{"max_queued_messages", groupLimits, "How many messages are kept for a client that is away or slow.", ""},
	{"max_queued_bytes", groupLimits, "How large they may be together.", ""},
	{"max_subscriptions", groupLimits, "Subscriptions of one client.", ""},
	{"max_topic_levels", groupLimits, "Levels of the topics that a client publishes to, subscribes to and names in its will; 201 at most.", ""},
	{"listener_limits", groupLimits, "What clients of one listener may, beside what holds for all: `[{\"listener\": \"wss\", \"max_connections\": 20, \"max_message_rate\": 10}]`; see *Limits of listeners and addresses*.", "none"},
	{"queue_full", groupLimits, "What happens beyond: `drop_oldest`, `drop_newest` or `disconnect`.", ""},
	{"max_keepalive", groupLimits, "Longest keep alive.", "no limit"},
	{"session_expiry_max", groupLimits, "Longest time that a session is kept for a client that is away.", "no limit"},
	{"memory_limit", groupLimits, "What the program may use in all.", "80 % of the container's, or half of the machine's"},
	{"strict_protocol", groupLimits, "Disconnect clients that break the MQTT specification. Otherwise what many devices do is tolerated, counted and shown with the client.", ""},

	{"web_address", groupAdmin, "The admin with its own login; in the app off, since the sidebar leads there.", ""},
	{"log_level", groupAdmin, "`trace`, `debug`, `info`, `warning` or `error`.", ""},

	{"ui_admin_only", groupAddonHA, "In the sidebar, only administrators of Home Assistant may use the admin.", ""},
	{"home_assistant_role", groupAddonHA, "In the app: what users of Home Assistant may do who log in to MQTT with their own name and password; `off`: they may not.", ""},
	{"home_assistant_device", groupAddonHA, "In the app: HearthMQ shows its health as a device in Home Assistant.", ""},
	{"home_assistant_presence", groupAddonHA, "That device also tells of each user whether a client of it is connected.", ""},
	{"notify_unknown_device", groupAddonHA, "In the app: a notification in Home Assistant when a device with a user that does not exist wants to connect.", ""},
	{"notify_lock_out", groupAddonHA, "In the app: a notification in Home Assistant when a device is locked out after too many wrong passwords.", ""},
}

// hiddenKeys are settings that are not meant for owners.
var hiddenKeys = []string{"ingress_address"}

// Describe returns every setting of o for people, in groups.
func (o *Options) Describe() []Setting {
	defaults := Defaults(o.app)
	values, standard := o.fields(), defaults.fields()
	list := make([]Setting, 0, len(descriptions))
	for _, d := range descriptions {
		s := Setting{Key: d.key, Group: d.group, Meaning: d.meaning, Origin: cmp.Or(o.origins[d.key], OriginDefault)}
		s.Value, s.Default = showValue(values[d.key]), showValue(standard[d.key])
		if d.unset != "" && s.Default == zeroValue(standard[d.key]) {
			if s.Value == s.Default {
				s.Value = d.unset
			}
			s.Default = d.unset
		}
		list = append(list, s)
	}
	return list
}

// zeroValue is what an unset field of the same type is shown as.
func zeroValue(v reflect.Value) string { return showValue(reflect.Zero(v.Type())) }

// showValue writes a setting's value. Of logins it names the users alone.
func showValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case []Login:
		names := make([]string, len(x))
		for i, l := range x {
			names[i] = l.Username
		}
		return strings.Join(names, ", ")
	case []CertificateUser:
		texts := make([]string, len(x))
		for i, c := range x {
			texts[i] = c.Certificate + ": " + c.Username
		}
		return strings.Join(texts, ", ")
	case []ListenerLimit:
		texts := make([]string, len(x))
		for i, l := range x {
			texts[i] = l.String()
		}
		return strings.Join(texts, ", ")
	case []string:
		return strings.Join(x, ", ")
	case []netip.Prefix:
		texts := make([]string, len(x))
		for i, p := range x {
			texts[i] = p.String()
		}
		return strings.Join(texts, ", ")
	}
	return fmt.Sprint(v.Interface())
}

// SettingsTable is the table of DOCS.md.
func SettingsTable() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for _, s := range Defaults(false).Describe() {
		standard := s.Default
		i := slices.IndexFunc(descriptions, func(d description) bool { return d.key == s.Key })
		switch {
		case s.Key == "home_assistant_device", s.Key == "notify_unknown_device", s.Key == "notify_lock_out":
			standard = "`true`" // where it means something
		case standard != descriptions[i].unset || standard == "":
			standard = "`" + standard + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Key, standard, s.Meaning)
	}
	return b.String()
}

// SettingsHelp is the same for a terminal.
func SettingsHelp() string {
	var b strings.Builder
	group := ""
	for _, s := range Defaults(false).Describe() {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		fmt.Fprintf(&b, "  %s (%s)\n      %s\n", s.Key, s.Default, strings.NewReplacer("`", "", "*", "").Replace(s.Meaning))
	}
	return b.String()
}
