package addon

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/listen"
	"hearthmq/broker/topic"
)

// Options are the settings that hold from start to stop. Their koanf tags are
// the keys of options.json, of the environment (HEARTHMQ_<KEY>) and of the schema
// in config.yaml. What is edited while the broker runs is in the database instead.
type Options struct {
	Logins []Login `koanf:"logins"`

	CertFile           string `koanf:"certfile"`
	KeyFile            string `koanf:"keyfile"`
	CAFile             string `koanf:"cafile"`
	CRLFile            string `koanf:"crlfile"`
	RequireCertificate bool   `koanf:"require_certificate"`
	// CertificateUser says which part of a client certificate is the user's name;
	// CertificateUsers names users for single certificates, and goes first.
	CertificateUser  string            `koanf:"certificate_user"`
	CertificateUsers []CertificateUser `koanf:"certificate_users"`

	MQTTAddress   string         `koanf:"mqtt_address"`
	WSAddress     string         `koanf:"ws_address"`
	MQTTSAddress  string         `koanf:"mqtts_address"`
	WSSAddress    string         `koanf:"wss_address"`
	UnixSocket    string         `koanf:"unix_socket"`
	WebAddress    string         `koanf:"web_address"`
	ProxyProtocol []netip.Prefix `koanf:"proxy_protocol"`
	// TrustedProxies are believed whom they speak for, by HTTP.
	TrustedProxies []netip.Prefix `koanf:"trusted_proxies"`
	WSOrigins      []string       `koanf:"ws_origins"`
	// BridgeNetworks are networks near this machine that bridges may reach.
	BridgeNetworks []netip.Prefix `koanf:"bridge_networks"`
	// IngressAddress is where Home Assistant's ingress finds the admin. It is
	// set in the app alone and is not meant for owners.
	IngressAddress string `koanf:"ingress_address"`

	// JWTKeys is a file with the public keys of tokens; "": none are taken.
	JWTKeys       string `koanf:"jwt_keys"`
	JWTUserClaim  string `koanf:"jwt_user_claim"`
	JWTRolesClaim string `koanf:"jwt_roles_claim"`
	JWTIssuer     string `koanf:"jwt_issuer"`
	JWTAudience   string `koanf:"jwt_audience"`

	Anonymous string `koanf:"anonymous"`
	// AnonymousListeners are the listeners for which Anonymous counts; empty: all.
	AnonymousListeners []string `koanf:"anonymous_listeners"`
	Durability         string   `koanf:"durability"`
	// CheckRetainSource keeps what is retained from new subscribers once its author may
	// not publish it any more. Name and default are Mosquitto's.
	CheckRetainSource bool `koanf:"check_retain_source"`

	MaxConnections int `koanf:"max_connections"`
	// MaxConnectionsPerAddress also bounds how many a second one address may open.
	MaxConnectionsPerAddress int `koanf:"max_connections_per_address"`
	// ExemptAddresses are networks for which no limit of single addresses counts.
	ExemptAddresses []netip.Prefix `koanf:"exempt_addresses"`
	MaxMessageRate  int            `koanf:"max_message_rate"` // of one client, a second
	MaxByteRate     Size           `koanf:"max_byte_rate"`
	// MaxMessageRatePerAddress and MaxByteRatePerAddress are of all clients at one address.
	MaxMessageRatePerAddress int             `koanf:"max_message_rate_per_address"`
	MaxByteRatePerAddress    Size            `koanf:"max_byte_rate_per_address"`
	MaxPacketSize            Size            `koanf:"max_packet_size"`
	MaxInflight              int             `koanf:"max_inflight"`
	MaxQueuedMessages        int             `koanf:"max_queued_messages"`
	MaxQueuedBytes           Size            `koanf:"max_queued_bytes"`
	MaxSubscriptions         int             `koanf:"max_subscriptions"` // of one client
	MaxTopicLevels           int             `koanf:"max_topic_levels"`
	ListenerLimits           []ListenerLimit `koanf:"listener_limits"`
	MaxKeepAlive             Duration        `koanf:"max_keepalive"`
	SessionExpiryMax         Duration        `koanf:"session_expiry_max"`
	RetainedMaxMessages      int             `koanf:"retained_max_messages"`
	RetainedMaxBytes         Size            `koanf:"retained_max_bytes"`
	// MemoryLimit is what the process may use in all, for the garbage
	// collector to keep to; 0: 80 % of the container's limit, if there is one.
	MemoryLimit Size   `koanf:"memory_limit"`
	QueueFull   string `koanf:"queue_full"`

	// StrictProtocol ends connections over violations of the specification that
	// are otherwise tolerated and counted.
	StrictProtocol bool `koanf:"strict_protocol"`

	LogLevel    string `koanf:"log_level"`
	UIAdminOnly bool   `koanf:"ui_admin_only"`
	// HomeAssistantRole is the role that users of Home Assistant have who log in
	// to MQTT; NoRole keeps them out. Without effect outside the app.
	HomeAssistantRole string `koanf:"home_assistant_role"`
	// HomeAssistantDevice shows the broker's health in Home Assistant.
	HomeAssistantDevice bool `koanf:"home_assistant_device"`
	// HomeAssistantPresence adds to that device who of the users is connected.
	HomeAssistantPresence bool `koanf:"home_assistant_presence"`
	// NotifyUnknownDevice and NotifyLockOut show notifications in Home Assistant.
	NotifyUnknownDevice bool `koanf:"notify_unknown_device"`
	NotifyLockOut       bool `koanf:"notify_lock_out"`

	app    bool   // Home Assistant's Supervisor runs this process
	folder string // where relative file names start
	// origins says by key where what was set comes from.
	origins map[string]string
}

// Login is a user of the settings, as Mosquitto's app has them.
type Login struct {
	Username  string `koanf:"username"`
	Password  string `koanf:"password"`
	PreHashed bool   `koanf:"password_pre_hashed"`
}

// CertificateUser says whom one client certificate names.
type CertificateUser struct {
	// Certificate is its SHA-256 fingerprint, Common Name or an alternative name.
	Certificate string `koanf:"certificate"`
	Username    string `koanf:"username"`
}

// CertificateUserOff is the value of certificate_user for which certificates name nobody.
const CertificateUserOff = "off"

// NoRole is the value of home_assistant_role that lets no user of Home Assistant in.
const NoRole = "off"

// sslFolder is where the Supervisor shows certificates to apps.
const sslFolder = "/ssl"

// InApp reports whether Home Assistant's Supervisor started this process.
func InApp(environ []string) bool {
	for _, e := range environ {
		if key, value, _ := strings.Cut(e, "="); value != "" && (key == "SUPERVISOR_TOKEN" || key == "HASSIO_TOKEN") {
			return true
		}
	}
	return false
}

// Defaults returns the settings of somebody who set nothing.
func Defaults(app bool) *Options {
	b := broker.DefaultConfig()
	o := &Options{
		CertFile:                 "fullchain.pem",
		KeyFile:                  "privkey.pem",
		MQTTAddress:              ":1883",
		WSAddress:                ":1884",
		MQTTSAddress:             ":8883",
		WSSAddress:               ":8884",
		WebAddress:               "localhost:8080",
		CertificateUser:          CertificateUserOff,
		JWTUserClaim:             "sub",
		JWTRolesClaim:            "roles",
		Anonymous:                access.AnonymousOff,
		CheckRetainSource:        b.CheckRetainedSource,
		Durability:               string(b.Durability),
		MaxConnections:           b.MaxConnections,
		MaxConnectionsPerAddress: b.MaxConnectionsPerAddress,
		MaxPacketSize:            Size(b.MaxPacketSize),
		MaxInflight:              int(b.MaxInflight),
		MaxQueuedMessages:        b.MaxQueuedMessages,
		MaxQueuedBytes:           Size(b.MaxQueuedBytes),
		MaxSubscriptions:         b.MaxSubscriptions,
		MaxTopicLevels:           topic.MaxLevels,
		MaxKeepAlive:             seconds(int64(b.MaxKeepAlive)),
		SessionExpiryMax:         Duration(b.MaxSessionExpiry),
		RetainedMaxMessages:      b.RetainedMaxMessages,
		RetainedMaxBytes:         Size(b.RetainedMaxBytes),
		QueueFull:                string(b.QueueFull),
		LogLevel:                 "info",
		UIAdminOnly:              true,
		HomeAssistantRole:        access.RoleEverything, // as Mosquitto's app has it
		HomeAssistantDevice:      app,
		NotifyUnknownDevice:      app,
		NotifyLockOut:            app,
		app:                      app,
	}
	if app {
		o.WebAddress = ""
		o.IngressAddress = ":8099"
	}
	return o
}

// App reports whether these are the settings of Home Assistant's app.
func (o *Options) App() bool { return o.app }

// Broker returns the core's part of the settings.
func (o *Options) Broker() broker.Config {
	c := broker.DefaultConfig()
	c.MaxConnections = o.MaxConnections
	c.MaxConnectionsPerAddress = o.MaxConnectionsPerAddress
	c.EachClient = broker.Limits{MessageRate: float64(o.MaxMessageRate), ByteRate: float64(o.MaxByteRate)}
	if o.MaxTopicLevels < topic.MaxLevels { // that many hold anyway
		c.EachClient.TopicLevels = o.MaxTopicLevels
	}
	c.ListenerLimits = o.listenerLimits()
	c.MessageRatePerAddress, c.ByteRatePerAddress = float64(o.MaxMessageRatePerAddress), float64(o.MaxByteRatePerAddress)
	c.MaxSubscriptions = o.MaxSubscriptions
	c.ExemptAddresses = o.exempt()
	c.MaxPacketSize = uint32(o.MaxPacketSize)
	c.MaxInflight = uint16(o.MaxInflight)
	c.MaxQueuedMessages = o.MaxQueuedMessages
	c.MaxQueuedBytes = int(o.MaxQueuedBytes)
	c.MaxKeepAlive = uint16(o.MaxKeepAlive.Std().Seconds())
	c.MaxSessionExpiry = o.SessionExpiryMax.Std()
	c.RetainedMaxMessages = o.RetainedMaxMessages
	c.RetainedMaxBytes = int64(o.RetainedMaxBytes)
	c.QueueFull = broker.QueuePolicy(o.QueueFull)
	c.Durability = broker.Durability(o.Durability)
	c.StrictProtocol = o.StrictProtocol
	c.CheckRetainedSource = o.CheckRetainSource
	return c
}

// exempt are the networks whose addresses may have as many connections as they like:
// those that the owner names, proxies, who speak for others, and Home Assistant with its apps.
func (o *Options) exempt() []netip.Prefix {
	list := slices.Concat(o.ExemptAddresses, o.ProxyProtocol, o.TrustedProxies)
	if o.app {
		list = append(list, netip.MustParsePrefix("172.30.32.0/23"))
	}
	return list
}

// Access returns what the settings say about who may come in.
func (o *Options) Access() access.Policy {
	p := access.Policy{Anonymous: o.Anonymous, AnonymousListeners: o.AnonymousListeners, Tokens: o.JWTKeys != ""}
	for _, l := range o.Logins {
		p.Logins = append(p.Logins, access.Login{Username: l.Username, Password: l.Password, PreHashed: l.PreHashed})
	}
	if o.app && o.HomeAssistantRole != NoRole {
		p.OutsideRoles = []string{o.HomeAssistantRole}
	}
	return p
}

// WebTokens returns which JSON Web Tokens are taken; ok is false for none.
func (o *Options) WebTokens() (c access.WebTokenConfig, ok bool) {
	return access.WebTokenConfig{
		KeyFile: o.file(o.JWTKeys), UserClaim: o.JWTUserClaim, RolesClaim: o.JWTRolesClaim, Issuer: o.JWTIssuer, Audience: o.JWTAudience,
	}, o.JWTKeys != ""
}

// Listeners returns what to open for MQTT clients, the most used first.
func (o *Options) Listeners() []listen.Config {
	tls := &listen.TLS{
		CertFile: o.file(o.CertFile), KeyFile: o.file(o.KeyFile), CAFile: o.file(o.CAFile), CRLFile: o.file(o.CRLFile),
		RequireCertificate: o.RequireCertificate, Names: o.certificateNames(),
	}
	var all []listen.Config
	for _, l := range []listen.Config{
		{Setting: "mqtt_address", Name: "mqtt", Address: o.MQTTAddress},
		{Setting: "ws_address", Name: "ws", Address: o.WSAddress, WebSocket: true},
		{Setting: "mqtts_address", Name: "mqtts", Address: o.MQTTSAddress, TLS: tls},
		{Setting: "wss_address", Name: "wss", Address: o.WSSAddress, WebSocket: true, TLS: tls},
	} {
		if l.Address == "" || l.TLS != nil && (o.CertFile == "" || o.KeyFile == "") {
			continue
		}
		l.Network = "tcp"
		l.Proxies = o.ProxyProtocol
		if l.WebSocket {
			l.Origins, l.Forwarders = o.WSOrigins, o.TrustedProxies
		}
		l.ReadLimit = 4 * int64(o.MaxPacketSize) // a message may carry several packets
		all = append(all, l)
	}
	if o.UnixSocket != "" {
		all = append(all, listen.Config{Setting: "unix_socket", Name: "unix", Network: "unix", Address: o.file(o.UnixSocket)})
	}
	return all
}

// certificateNames says whom client certificates name.
func (o *Options) certificateNames() listen.Names {
	var n listen.Names
	if o.CertificateUser != CertificateUserOff {
		n.From = o.CertificateUser
	}
	for _, c := range o.CertificateUsers {
		if n.Users == nil {
			n.Users = make(map[string]string)
		}
		n.Users[c.Certificate] = c.Username
	}
	return n
}

// file resolves a file name of the settings: under /ssl in the app, beside the
// data elsewhere. "" stays "".
func (o *Options) file(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	if o.app {
		return filepath.Join(sslFolder, name)
	}
	return filepath.Join(o.folder, name)
}
