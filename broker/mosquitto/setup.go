package mosquitto

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"

	"hearthmq/broker"
)

// Setup is a mosquitto.conf in HearthMQ's terms, with the files that it names, ready
// to be run with.
type Setup struct {
	Conf   *Conf
	Broker broker.Config
	Ports  []Port
	// Dynsec is the configuration file of the plugin for dynamic security, "" without it.
	Dynsec string
	// DynsecInit is the file with the password that a new one begins with, "" without it.
	DynsecInit string

	entrances entrances
	read      map[string]*readFile // by name
}

// Port is one listener, or one address of it.
type Port struct {
	Setting   string // where it stands, for messages
	Network   string // tcp, tcp4, tcp6, unix
	Address   string // host:port, or the path of a socket
	WebSocket bool
	Origins   []string // web origins that may open a WebSocket; "*" is all
	TLS       TLS
	// Proxy is the version of the PROXY protocol that every connection starts with, 0:
	// none does; with ProxyRequireTLS it has to say that the client's was encrypted.
	Proxy           int
	ProxyRequireTLS bool
	Info            broker.ListenerInfo
	// Optional says that it does not matter if the port can't be opened: the second
	// address of a listener on a machine without IPv6.
	Optional bool
}

// Same reports whether a port can stay open when q takes its place. What differs then
// are the rules for connections that come.
func (p *Port) Same(q *Port) bool {
	return p.Network == q.Network && p.Address == q.Address && p.WebSocket == q.WebSocket && slices.Equal(p.Origins, q.Origins) &&
		p.TLS == q.TLS && p.Proxy == q.Proxy && p.ProxyRequireTLS == q.ProxyRequireTLS
}

// SetupOptions are what the command line adds to a mosquitto.conf.
type SetupOptions struct {
	File string // "": none, as if it were empty
	// Port is used in place of 1883 where the file defines no listener.
	Port uint16
}

// NewSetup reads a mosquitto.conf and its files. Nothing but files is touched. With a
// Notice that is Broken or Unsafe there is no Setup.
func NewSetup(ctx context.Context, files Files, opt SetupOptions) (*Setup, []Notice) {
	conf, found := defaultConf(""), []Notice(nil)
	if opt.File != "" {
		conf, found = ReadConf(files, opt.File)
	} else {
		conf.Listeners = []Listener{localListener("")}
	}
	if conf.localOnly && opt.Port != 0 {
		conf.Listeners[0].Port = opt.Port
	}
	s := &Setup{Conf: conf, Broker: conf.broker(), read: map[string]*readFile{}}
	r := &setupReader{files: files, setup: s, found: found}
	r.ports()
	r.access(ctx)
	sortNotices(r.found)
	if Worst(r.found) >= Unsafe {
		return nil, r.found
	}
	return s, r.found
}

type setupReader struct {
	files Files
	setup *Setup
	found []Notice
}

func (r *setupReader) tell(l *Listener, level Level, directive, format string, args ...any) {
	r.found = append(r.found, Notice{File: l.File, Line: l.Line, Level: level, Directive: directive, Text: fmt.Sprintf(format, args...)})
}

// unbounded stands for Mosquitto's "no limit" where HearthMQ has to have one.
const unbounded = math.MaxInt32

// broker is what the configuration says about the broker as a whole.
func (c *Conf) broker() broker.Config {
	l := c.Limits
	cfg := broker.DefaultConfig()
	cfg.MaxConnections = max(l.MaxConnections, 0)
	cfg.MaxConnectionsPerAddress = 0 // Mosquitto counts none, and files may rely on that
	cfg.MaxSessions = max(l.MaxClients, 0)
	cfg.MaxPacketSize = uint32(l.MaxPacketSize)
	cfg.MaxPayload = l.MessageSizeLimit
	cfg.MaxInflight = uint16(cmp.Or(l.MaxInflightMessages, math.MaxUint16))
	cfg.MaxInflightBytes = l.MaxInflightBytes
	cfg.ReceiveMaximum = cfg.MaxInflight
	cfg.LikeMosquitto = true
	cfg.MaxQueuedMessages = cmp.Or(l.MaxQueuedMessages, unbounded)
	cfg.MaxQueuedBytes = cmp.Or(l.MaxQueuedBytes, cfg.MaxQueuedBytes)
	cfg.QueueFull = broker.DropNewest
	cfg.MaxKeepAlive = uint16(l.MaxKeepAlive)
	cfg.MaxSessionExpiry = l.ClientExpiration
	cfg.Durability = broker.Memory
	if c.Persists() {
		cfg.Durability = broker.Durable
	}
	cfg.NoRetain = !c.RetainAvailable
	cfg.RetainedExpiry = c.RetainExpiry
	cfg.CheckRetainedSource = c.CheckRetainSource
	cfg.QueueQoS0 = c.QueueQoS0
	cfg.UpgradeQoS = c.UpgradeQoS
	if cfg.SysInterval = c.SysInterval; c.SysInterval == 0 {
		cfg.SysInterval = -1
	}
	return cfg
}

// ports makes the listeners.
func (r *setupReader) ports() {
	for i := range r.setup.Conf.Listeners {
		l := &r.setup.Conf.Listeners[i]
		if l.Protocol == "http_api" {
			continue // told of when it was read
		}
		for j, host := range l.hosts() {
			p := r.port(l, host)
			p.Optional = j > 0
			r.setup.Ports = append(r.setup.Ports, p)
		}
	}
	if len(r.setup.Ports) == 0 {
		r.tell(&Listener{File: r.setup.Conf.File}, Broken, "listener", "there is no port that HearthMQ can open")
	}
	names := map[string]bool{}
	for _, p := range r.setup.Ports {
		if at := p.Network + p.Address; names[at] {
			r.tell(&Listener{File: r.setup.Conf.File}, Broken, "listener", "two listeners have the address %s", p.Address)
		} else {
			names[at] = true
		}
	}
}

// hosts are the addresses of a listener: "localhost" is two.
func (l *Listener) hosts() []string {
	if l.Port != 0 && l.Host == "localhost" {
		switch l.Domain {
		case "ipv4":
			return []string{"127.0.0.1"}
		case "ipv6":
			return []string{"::1"}
		}
		return []string{"127.0.0.1", "::1"}
	}
	return []string{l.Host}
}

// Name is how logs, rules and sessions call the listener.
func (l *Listener) Name() string {
	if l.Port != 0 && (l.Host == "" || l.Host == "localhost") {
		return strconv.Itoa(int(l.Port))
	}
	return l.Address()
}

func (r *setupReader) port(l *Listener, host string) Port {
	c := r.setup.Conf
	sec := c.SecurityOf(l)
	web := l.Protocol == "websockets"
	p := Port{Setting: l.where(), Network: "tcp", WebSocket: web, TLS: l.TLS, Proxy: l.Proxy, ProxyRequireTLS: l.ProxyRequireTLS}
	switch {
	case l.Socket != "":
		p.Network, p.Address = "unix", l.Socket
	default:
		p.Network += map[string]string{"ipv4": "4", "ipv6": "6"}[l.Domain]
		p.Address = net.JoinHostPort(host, strconv.Itoa(int(l.Port)))
	}
	if p.Origins = l.Origins; web && len(l.Origins) == 0 {
		p.Origins = []string{"*"} // as Mosquitto without websockets_origin
	}
	rules := &broker.ListenerRules{
		MaxConnections: max(l.MaxConnections, 0), Versions: l.Versions, MountPoint: l.MountPoint,
		TopicAliasMaximum: &l.MaxTopicAlias, OutgoingAliases: &l.MaxTopicAliasBroker,
		UserAsClientID: l.UsernameAsClientID, NoEmptyClientID: !sec.AllowZeroClientID, AutoIDPrefix: sec.AutoIDPrefix,
	}
	if l.MaxQoS < 2 {
		rules.MaximumQoS = &l.MaxQoS
	}
	p.Info = broker.ListenerInfo{Name: l.Name(), TLS: l.TLS.On(), WebSocket: web, Rules: rules}
	return p
}

// where is the place in the file, in words for a port's errors.
func (l *Listener) where() string {
	return Notice{File: l.File, Line: l.Line, Directive: "listener"}.at()
}

func (l *Listener) certificateUsers() bool {
	return l.TLS.IdentityAsUsername || l.TLS.SubjectAsUsername
}

// securities are the different Securities of the file with the names of their listeners.
func (c *Conf) securities() (list []Security, names [][]string) {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		s := c.SecurityOf(l)
		s.Plugins = slices.Concat(s.Plugins, l.Security.Plugins)
		if c.PerListener {
			s.Plugins = slices.Concat(c.Security.Plugins, l.Security.Plugins)
		}
		list, names = append(list, s), append(names, []string{l.Name()})
	}
	return list, names
}
