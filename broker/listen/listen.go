package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Config says how to open one listener.
type Config struct {
	Setting   string // key of the setting it comes from, for messages
	Name      string // as rules and the admin call it: mqtt, ws, mqtts, wss, unix
	Network   string // "tcp" or "unix"
	Address   string // host:port, or the path of a Unix domain socket
	WebSocket bool   // MQTT over WebSocket (section 6)
	TLS       *TLS   // nil: no encryption; the same pointer in several shares what is read
	// Refused is told of clients that were turned away before MQTT began: a *ClientError
	// says why. It must return at once; nil: nobody is told.
	Refused func(remote net.Addr, err error)
	// Proxies are the networks whose connections start with a PROXY protocol
	// header. Nobody else's header is believed.
	Proxies []netip.Prefix
	// Forwarders are the networks whose HTTP proxies are believed whom they speak for
	// (X-Forwarded-For), on MQTT over WebSocket. A PROXY header goes before: what counts is
	// the address it tells.
	Forwarders []netip.Prefix
	// ProxyVersion is the one version of the protocol that is taken, and that to the last
	// byte, as Mosquitto takes it; 0: either, as its description lets a receiver do.
	ProxyVersion int
	// ProxyTLS lets in only clients of which the proxy says, in version 2 of the
	// protocol, that they spoke TLS with it.
	ProxyTLS bool
	// ProxyCertificate lets in only clients of which it says that it has verified a
	// certificate.
	ProxyCertificate bool
	// ProxyNames has the Common Name of the certificate that a proxy says it has verified,
	// in version 2 of the protocol, name the user.
	ProxyNames bool
	// Origins are web origins that may open a WebSocket beside those on this
	// host, such as "https://panel.example". Programs send none and are let in.
	Origins []string
	// LikeMosquitto answers WebSocket handshakes byte for byte as Mosquitto does.
	LikeMosquitto bool
	// ReadLimit bounds one WebSocket message in bytes; 0 means 64 MiB. The
	// message is never held in memory as a whole.
	ReadLimit int64
	Log       *slog.Logger // nil: slog.Default()
}

// handshakeTimeout is how long a client may take, all in all, for what comes
// before MQTT: PROXY header, TLS and WebSocket handshake where this package
// makes them, and the first bytes on a shared port.
const handshakeTimeout = 5 * time.Second

// maxHandshakes bounds connections in that state, per listener. For further ones those go
// that have waited longest.
const maxHandshakes = 2048

const defaultReadLimit = 64 << 20

// ErrNoCertificate says that a TLS listener stays closed because its
// certificate or its key does not exist (yet).
var ErrNoCertificate = errors.New("no certificate")

// Opened is what became of one Config: exactly one of Listener and Err is set.
type Opened struct {
	Config   Config
	Listener net.Listener
	Err      error // one sentence that names the port and the setting

	keys *certificates // nil without TLS
}

// Certificate says how the certificate fares, and rereads its files when they changed;
// ok is false where there is none.
func (o *Opened) Certificate(now time.Time) (s CertificateStatus, ok bool) {
	if o.keys == nil {
		return CertificateStatus{}, false
	}
	return o.keys.Status(now), true
}

// Open opens listeners, each for itself: one that fails leaves the others
// alone. Two with the same address, one of them for WebSocket, share a port.
// The result is in the order of cfgs.
func Open(ctx context.Context, cfgs []Config) []Opened {
	opened := make([]Opened, len(cfgs))
	done := make([]bool, len(cfgs))
	keys := make(keyring)
	for i, cfg := range cfgs {
		if done[i] {
			continue
		}
		opened[i].Config = cfg
		j := partner(cfgs, i)
		if j < 0 {
			opened[i].open(ctx, keys)
			continue
		}
		done[j] = true
		opened[j].Config = cfgs[j]
		mqtt, ws := &opened[i], &opened[j]
		if cfg.WebSocket {
			mqtt, ws = ws, mqtt
		}
		ln, set, err := open(ctx, mqtt.Config, keys)
		mqtt.keys, ws.keys, mqtt.Err, ws.Err = set, set, err, err
		if err == nil {
			mqtt.Listener, ws.Listener = shared(ln, mqtt.Config, ws.Config)
		}
	}
	return opened
}

func (o *Opened) open(ctx context.Context, keys keyring) {
	var ln net.Listener
	if ln, o.keys, o.Err = open(ctx, o.Config, keys); o.Err != nil {
		return
	}
	if o.Listener = ln; o.Config.WebSocket {
		o.Listener = newWebSocketListener(afterFirstBytes(ln, o.Config), o.Config)
	}
}

// keyring holds what was read for each TLS.
type keyring map[*TLS]*certificates

func (k keyring) load(t *TLS, log *slog.Logger) (*certificates, error) {
	if have := k[t]; have != nil {
		return have, nil
	}
	c, err := loadCertificates(*t, log)
	if err == nil {
		k[t] = c
	}
	return c, err
}

// partner returns the index of a later Config that shares cfgs[i]'s port, or -1.
func partner(cfgs []Config, i int) int {
	a := cfgs[i]
	if _, port, err := net.SplitHostPort(a.Address); err != nil || port == "0" {
		return -1
	}
	for j := i + 1; j < len(cfgs); j++ {
		b := cfgs[j]
		if a.Network == b.Network && a.Address == b.Address && a.WebSocket != b.WebSocket && (a.TLS == nil) == (b.TLS == nil) {
			return j
		}
	}
	return -1
}

// Listen opens one listener. It serves until it is closed; ctx bounds the
// opening alone.
func Listen(ctx context.Context, cfg Config) (net.Listener, error) {
	o := Opened{Config: cfg}
	o.open(ctx, make(keyring))
	return o.Listener, o.Err
}

// ListenShared opens one port for MQTT and MQTT over WebSocket: a connection
// whose first bytes are "GET " is a WebSocket's. Closing either listener closes
// the port. Address, TLS and Proxies are those of mqtt.
func ListenShared(ctx context.Context, mqtt, ws Config) (mqttListener, wsListener net.Listener, err error) {
	ln, _, err := open(ctx, mqtt, make(keyring))
	if err != nil {
		return nil, nil, err
	}
	mqttListener, wsListener = shared(ln, mqtt, ws)
	return mqttListener, wsListener, nil
}

func shared(ln net.Listener, mqtt, ws Config) (mqttListener, wsListener net.Listener) {
	plain, web := share(ln, mqtt.log())
	return plain, newWebSocketListener(web, ws)
}

// open opens the socket with all layers below MQTT and WebSocket.
func open(ctx context.Context, cfg Config, ring keyring) (net.Listener, *certificates, error) {
	var keys *certificates
	if cfg.TLS != nil {
		var err error
		if keys, err = ring.load(cfg.TLS, cfg.log()); err != nil {
			return nil, nil, fmt.Errorf("%s (setting %s) stays closed: %w", where(cfg), cfg.Setting, err)
		}
	}
	ln, err := bind(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	if len(cfg.Proxies) > 0 && cfg.Network != "unix" {
		ln = behindProxies(ln, cfg)
	}
	if keys != nil {
		ln = &tlsListener{Listener: ln, keys: keys, refused: cfg.Refused}
	}
	return ln, keys, nil
}

func bind(ctx context.Context, cfg Config) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4,
	}}
	// Devices speak no Multipath TCP, and its sockets cost more per packet.
	lc.SetMultipathTCP(false)
	if cfg.Network == "unix" {
		return bindUnix(ctx, &lc, cfg)
	}
	ln, err := lc.Listen(ctx, cfg.Network, cfg.Address)
	if err != nil {
		return nil, explain(cfg, err)
	}
	return ln, nil
}

// bindUnix opens a Unix domain socket, over one that a dead process left behind.
func bindUnix(ctx context.Context, lc *net.ListenConfig, cfg Config) (net.Listener, error) {
	if info, err := os.Lstat(cfg.Address); err == nil && info.Mode()&fs.ModeSocket != 0 {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", cfg.Address)
		switch {
		case err == nil:
			c.Close()
			return nil, explain(cfg, syscall.EADDRINUSE)
		case errors.Is(err, syscall.ECONNREFUSED):
			if err := os.Remove(cfg.Address); err != nil {
				return nil, explain(cfg, err)
			}
		}
	}
	ln, err := lc.Listen(ctx, "unix", cfg.Address)
	if err != nil {
		return nil, explain(cfg, err)
	}
	if err := os.Chmod(cfg.Address, 0o660); err != nil {
		ln.Close()
		return nil, explain(cfg, err)
	}
	return ln, nil
}

// explain makes a sentence of a socket's error that an owner can act on.
func explain(cfg Config, err error) error {
	what := where(cfg) + " (setting " + cfg.Setting + ")"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is already in use: is another MQTT broker running? (%w)", what, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be opened by this user (%w)", what, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s can't be opened: %s is not an address of this machine (%w)", what, cfg.Address, err)
	}
	return fmt.Errorf("%s can't be opened: %w", what, err)
}

// where names the place in an owner's words: "port 1883" or "socket /run/mqtt.sock".
func where(cfg Config) string {
	if cfg.Network == "unix" {
		return "socket " + cfg.Address
	}
	if _, port, err := net.SplitHostPort(cfg.Address); err == nil {
		return "port " + port
	}
	return "address " + cfg.Address
}

func (c Config) log() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	return slog.Default()
}
