package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker/forwarded"
)

// maxHandshakeBytes bounds the request line and headers of a WebSocket handshake.
const maxHandshakeBytes = 8 << 10

// readBufferSize is for the heads of frames, and for small messages with them; what
// package http used for the handshake is eight times as large, and stays.
const readBufferSize = 512

// webSocketListener upgrades the connections of a listener, at any path, and
// hands out those that speak MQTT. Its goroutines are net/http's: one until
// the socket closes, one for each handshake of at most handshakeTimeout.
type webSocketListener struct {
	*outlet
	server   *http.Server
	upgrader websocket.Upgrader
	limit    int64
	trusted  []netip.Prefix
	like     bool                  // answers like Mosquitto
	refused  func(net.Addr, error) // nil: nobody is told
	crowd    crowd                 // in its handshake
	log      *slog.Logger          // names the listener

	deadlines sync.Map // of the handshakes under way: net.Conn → *time.Timer
}

// subprotocols are the names that a client may offer [MQTT-6.0.0-3]; the second
// is what libraries used before there was a standard.
var subprotocols = []string{"mqtt", "mqttv3.1"} // [MQTT-6.0.0-4]

func newWebSocketListener(ln net.Listener, cfg Config) *webSocketListener {
	g := newGate(ln)
	w := &webSocketListener{outlet: g.outlet(), limit: cfg.ReadLimit, trusted: cfg.Forwarders, like: cfg.LikeMosquitto, refused: cfg.Refused, log: cfg.log().With("listener", cfg.Name)}
	if w.limit <= 0 {
		w.limit = defaultReadLimit
	}
	w.upgrader = websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		Subprotocols:     subprotocols,
		ReadBufferSize:   readBufferSize,
		WriteBufferPool:  &sync.Pool{}, // a connection that writes nothing holds no buffer
		CheckOrigin:      func(r *http.Request) bool { return allowOrigin(r, cfg.Origins) },
	}
	w.server = &http.Server{
		Handler:           w,
		ReadHeaderTimeout: handshakeTimeout,
		MaxHeaderBytes:    maxHandshakeBytes - 4096, // net/http takes 4 KiB more than it is told
		ErrorLog:          slog.NewLogLogger(w.log.Handler(), slog.LevelDebug),
		ConnState:         w.count,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	w.server.SetKeepAlivesEnabled(false)
	served := make(chan struct{})
	go func() {
		defer close(served)
		err := w.server.Serve(ln) // ends when ln is closed
		w.log.Debug("WebSocket port closed", "err", err)
		_ = g.stop() // the socket's own error was Serve's
	}()
	w.outlet.close = func() error {
		err := g.stop()
		<-served
		return err
	}
	return w
}

// connKey finds the connection of a request.
type connKey struct{}

// count keeps the number of handshakes under way within bounds, and their time, TLS and
// headers together, whatever arrives meanwhile (cases R1, R2).
func (w *webSocketListener) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		w.crowd.enter(c)
		w.deadlines.Store(c, time.AfterFunc(handshakeTimeout, func() {
			w.deadlines.Delete(c)
			c.Close()
		}))
	case http.StateHijacked:
		w.crowd.leave(c)
	case http.StateClosed:
		w.crowd.leave(c)
		w.inTime(c) // or the timer would hold what it had
	}
}

// inTime stops the timer that ends a handshake; false: it has ended it.
func (w *webSocketListener) inTime(c net.Conn) bool {
	timer, there := w.deadlines.LoadAndDelete(c)
	return there && timer.(*time.Timer).Stop()
}

// ServeHTTP makes a WebSocket of a request. It implements http.Handler.
func (w *webSocketListener) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		http.Error(rw, "This port speaks MQTT over WebSocket.", http.StatusUpgradeRequired)
		return
	}
	remote, err := w.client(r)
	if err != nil { // case A24
		w.log.Warn("A proxy does not say for whom it speaks", "remote", r.RemoteAddr, "err", err)
		http.Error(rw, "X-Forwarded-For can't be read.", http.StatusBadRequest)
		return
	}
	if !offersMQTT(r) {
		w.turnAway(r, remote, &ClientError{WrongDoor: true, Err: errors.New("the client opens a WebSocket and does not offer the subprotocol mqtt")})
		http.Error(rw, "Offer the WebSocket subprotocol mqtt.", http.StatusBadRequest)
		return
	}
	allowed := w.upgrader.CheckOrigin(r)
	if !allowed { // case W12
		w.turnAway(r, remote, &ClientError{Stranger: true, Err: fmt.Errorf("the web page comes from %s", printable(r.Header.Get("Origin")))})
	}
	if w.like {
		if !allowed {
			hangUp(rw)
			return
		}
		rw = spelled{rw}
	}
	ws, err := w.upgrader.Upgrade(rw, r, nil)
	if err != nil { // the client was answered
		w.log.Debug("WebSocket handshake refused", "remote", r.RemoteAddr, "err", err)
		return
	}
	if c, ok := r.Context().Value(connKey{}).(net.Conn); !ok || !w.inTime(c) {
		ws.Close()
		return
	}
	ws.SetReadLimit(w.limit)
	w.give(&webSocketConn{ws: ws, remote: remote})
}

// turnAway tells of a client whose request is answered with an error. remote is client's.
func (w *webSocketListener) turnAway(r *http.Request, remote net.Addr, reason *ClientError) {
	if w.refused == nil {
		return
	}
	if remote == nil {
		remote = &net.UnixAddr{Name: r.RemoteAddr, Net: "unix"}
		if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			remote = net.TCPAddrFromAddrPort(peer)
		}
	}
	w.refused(remote, reason)
}

// client returns the address of the client for whom a trusted proxy speaks, with the port
// of the proxy's connection; nil where the connection's own address is the client's.
func (w *webSocketListener) client(r *http.Request) (net.Addr, error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return nil, nil // no address of a network, hence of no proxy
	}
	client, err := forwarded.Client(peer.Addr(), r.Header[forwarded.Header], w.trusted)
	if err != nil || client == peer.Addr() {
		return nil, err
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(client, peer.Port())), nil
}

func offersMQTT(r *http.Request) bool {
	return slices.ContainsFunc(websocket.Subprotocols(r), func(offered string) bool {
		return slices.Contains(subprotocols, offered)
	})
}

// allowOrigin lets in programs, which send no Origin, pages of this host on
// any port, and the origins of the list. Without it any web page could make its
// visitors' browsers talk to the broker.
func allowOrigin(r *http.Request, allowed []string) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	for _, a := range allowed {
		if a == "*" || strings.EqualFold(strings.TrimSuffix(a, "/"), origin) {
			return true
		}
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return false
	}
	host := url.URL{Host: r.Host}
	return strings.EqualFold(u.Hostname(), host.Hostname())
}
