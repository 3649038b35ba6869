package mosquitto

import (
	"slices"
	"time"

	"hearthmq/broker/packet"
)

// Conf is a mosquitto.conf with what it includes.
type Conf struct {
	File string
	// Listeners in the order of the file. Without any in the file there is one, on
	// port 1883 of this machine alone.
	Listeners []Listener
	// PerListener says that Security belongs to each listener (per_listener_settings).
	PerListener bool
	Security    Security
	Limits      Limits
	Persistence Persistence
	Log         Log
	Bridges     []Bridge
	Plugins     []Plugin

	SysInterval       time.Duration // of $SYS, 0: off
	RetainAvailable   bool
	RetainExpiry      time.Duration // 0: retained messages don't expire
	CheckRetainSource bool          // rights are looked at again when a retained message is delivered
	QueueQoS0         bool          // QoS 0 messages are queued for offline sessions
	UpgradeQoS        bool          // deliver with the QoS of the subscription
	NoDelay           bool
	ControlAPI        bool   // $CONTROL/broker/v1
	User              string // the account to run as
	PIDFile           string // holds the number of the process while it runs
	ClientIDPrefixes  string // only such Client Identifiers are let in, "": all
	localOnly         bool
	lines             []string // every setting as it stands there, secrets left out
}

// Listener is one port.
type Listener struct {
	File string
	Line int

	Port      uint16 // 0: Socket
	Host      string // "": all addresses
	Socket    string // path of a Unix domain socket
	Interface string // bind_interface
	Domain    string // "", "ipv4", "ipv6"
	Protocol  string // "mqtt", "websockets", "http_api"

	MaxConnections      int // -1: no limit
	MaxQoS              byte
	MaxTopicAlias       uint16 // for clients
	MaxTopicAliasBroker uint16 // for the broker
	MountPoint          string // in front of every topic
	UsernameAsClientID  bool
	Versions            []packet.Version // nil: all
	HTTPDir             string
	Origins             []string // websockets_origin
	TLS                 TLS
	Proxy               int // version of the PROXY protocol that is expected, 0: none
	ProxyRequireTLS     bool
	Security            Security
	isStart             bool
}

// TLS are the files and settings of an encrypted listener or bridge.
type TLS struct {
	CAFile, CAPath, CertFile, KeyFile, CRLFile string
	Version                                    string // lowest one, "" for Mosquitto's choice
	RequireCertificate                         bool
	IdentityAsUsername, SubjectAsUsername      bool
	IgnoreDates                                bool // disable_client_cert_date_checks
	PSKHint                                    string
}

// On reports whether the listener is encrypted.
func (t *TLS) On() bool { return t.CertFile != "" || t.KeyFile != "" || t.PSKHint != "" }

// Security is who is let in and where that is written.
type Security struct {
	// AllowAnonymous lets clients in that have no user name.
	AllowAnonymous    bool
	PasswordFile      string
	ACLFile           string
	PSKFile           string
	AllowZeroClientID bool
	AutoIDPrefix      string
	Plugins           []int // indexes in Conf.Plugins

	anonymous string // "", "true", "false" as written
	prefixed  bool
}

// Plugin is a loaded plugin with its options.
type Plugin struct {
	File    string
	Line    int
	Name    string // of plugin_load, "" else
	Path    string
	Options map[string]string
	Used    bool // by a plugin_use, or loaded by plugin or auth_plugin
}

// Sparkplug reports whether the plugin for Sparkplug is used.
func (c *Conf) Sparkplug() bool {
	return slices.ContainsFunc(c.Plugins, func(p Plugin) bool { return p.Used && p.Kind() == PluginSparkplug })
}

// Limits bound what clients may take.
type Limits struct {
	MaxInflightMessages int // 0: no limit
	MaxInflightBytes    int
	MaxQueuedMessages   int
	MaxQueuedBytes      int
	MaxKeepAlive        int // seconds, 0: no limit
	MaxPacketSize       int // bytes
	MessageSizeLimit    int // bytes of payload, 0: no limit
	MemoryLimit         int
	MaxClients          int // -1: no limit
	MaxConnections      int
	ClientExpiration    time.Duration // persistent_client_expiration, 0: never
}

// Persistence says what is kept on disk.
type Persistence struct {
	On            bool
	File          string
	Location      string
	SaveEvery     int // autosave_interval: seconds, or changes
	SaveOnChanges bool
}

// Path is where mosquitto.db is, as Mosquitto puts it together.
func (p *Persistence) Path() string {
	if p.Location == "" {
		return p.File
	}
	return p.Location + "/" + p.File
}

// Persists reports whether messages outlive the process: by persistence, or by the plugin
// that does it instead.
func (c *Conf) Persists() bool { return c.Persistence.On || len(c.UsedFiles().SQLite) > 0 }

// StoredIn is the database with Mosquitto's messages: mosquitto.db, or mosquitto.sqlite3
// where the plugin for that is used.
func (c *Conf) StoredIn() string {
	if list := c.UsedFiles().SQLite; len(list) > 0 {
		return list[0]
	}
	return c.Persistence.Path()
}

// Log says what is logged, and where to.
type Log struct {
	Destinations       []string // stdout, stderr, syslog, topic, file, …; nil: stderr
	File               string
	Types              []string // error, warning, …; nil: Mosquitto's choice
	Timestamp          bool
	TimestampFormat    string
	ConnectionMessages bool
	Facility           int
}

// Bridge is a connection to another broker.
type Bridge struct {
	File      string
	Line      int
	Name      string
	Addresses []string // host:port
	Topics    []BridgeTopic

	RemoteClientID, RemoteUsername, RemotePassword string
	LocalClientID, LocalUsername, LocalPassword    string

	Version            packet.Version
	StartType          string // "automatic", "lazy", "once"
	Threshold          int    // messages that start a lazy one
	IdleTimeout        time.Duration
	RestartBase        time.Duration // with RestartCap 0: always this long
	RestartCap         time.Duration
	RestartStable      time.Duration
	KeepAlive          uint16
	CleanSession       bool
	LocalCleanSession  *bool // nil: as CleanSession
	RoundRobin         bool
	TryPrivate         bool
	AttemptUnsubscribe bool
	OutgoingRetain     bool
	Notifications      bool
	NotificationsLocal bool
	NotificationTopic  string
	MaxPacketSize      int
	MaxTopicAlias      int
	ReceiveMaximum     int
	SessionExpiry      uint32
	BindAddress        string
	TCPKeepAlive       [3]int // idle, interval, count
	TCPUserTimeout     int
	ReloadImmediate    bool

	TLS         TLS
	TLSInsecure bool // the certificate's name is not checked
	TLSUseOS    bool
	ALPN        string
	OCSP        bool
	Identity    string // of a pre-shared key
	hasPSK      bool
}

// BridgeTopic is one topic line of a bridge.
type BridgeTopic struct {
	Pattern       string // "" with prefixes alone
	In, Out       bool
	QoS           byte
	Local, Remote string // prefixes
}

// String names the bridge, so that no %v shows its passwords.
func (b Bridge) String() string { return "bridge " + b.Name }

// SecurityOf returns what holds for a listener.
func (c *Conf) SecurityOf(l *Listener) Security {
	s := c.Security
	if c.PerListener {
		s = l.Security
	} else {
		if l.Security.anonymous != "" { // listener_allow_anonymous
			s.anonymous = l.Security.anonymous
		}
		if l.Security.prefixed {
			s.AutoIDPrefix = l.Security.AutoIDPrefix
		}
	}
	s.AllowAnonymous = s.anonymous == "true" || s.anonymous == "" && c.localOnly
	return s
}

// defaultConf is Mosquitto without any setting.
func defaultConf(file string) *Conf {
	return &Conf{
		File:            file,
		Security:        defaultSecurity(),
		Limits:          Limits{MaxInflightMessages: 20, MaxQueuedMessages: 1000, MaxPacketSize: 2_000_000, MaxClients: -1, MaxConnections: -1},
		Persistence:     Persistence{File: "mosquitto.db", SaveEvery: 1800},
		Log:             Log{Timestamp: true, ConnectionMessages: true},
		SysInterval:     10 * time.Second,
		RetainAvailable: true, CheckRetainSource: true, localOnly: true,
	}
}

func defaultSecurity() Security { return Security{AllowZeroClientID: true, AutoIDPrefix: "auto-"} }

func defaultListener(file string, line int) Listener {
	return Listener{
		File: file, Line: line, Protocol: "mqtt", MaxConnections: -1, MaxQoS: 2, MaxTopicAlias: 10, MaxTopicAliasBroker: 10,
		Security: defaultSecurity(),
	}
}

// localListener is the one without any in the file: this machine alone is let in.
func localListener(file string) Listener {
	l := defaultListener(file, 0)
	l.Port, l.Host = 1883, "localhost"
	return l
}

func defaultBridge(name, file string, line int) Bridge {
	return Bridge{
		File: file, Line: line, Name: name, Version: packet.V311, StartType: "automatic", Threshold: 10, IdleTimeout: time.Minute,
		RestartBase: 5 * time.Second, RestartCap: 30 * time.Second, KeepAlive: 60, TryPrivate: true, AttemptUnsubscribe: true,
		OutgoingRetain: true, Notifications: true, MaxTopicAlias: 10,
	}
}
