package addontest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// IngressToken stands in the path below which browsers reach the app.
const IngressToken = "Zm9yLXRlc3RzLW9ubHktbm90LWEtc2VjcmV0"

// IngressPath is that path, without a slash at the end.
const IngressPath = "/api/hassio_ingress/" + IngressToken

const (
	ingressBody  = 16 << 20 // bytes of a request that the Supervisor takes
	ingressFrame = 4 << 20  // bytes of a WebSocket message that Core takes
)

// Person is who sits in front of the browser. Fields may be empty: the Supervisor
// then sends no such header.
type Person struct{ ID, Name, DisplayName string }

// Ingress is Core and the Supervisor between a browser and the app: both their
// filters, the headers they add, take away and change, and WebSockets that are taken
// apart and put together again. It is an http.Handler for IngressPath.
type Ingress struct {
	// Dial connects to the app's ingress port; DialFrom makes one.
	Dial func(ctx context.Context) (net.Conn, error)

	mu     sync.Mutex
	person *Person // nil: not logged in
	client *http.Client
}

// NewIngress returns the proxy to an app, for a person.
func NewIngress(dial func(ctx context.Context) (net.Conn, error), p *Person) *Ingress {
	return &Ingress{Dial: dial, person: p, client: &http.Client{
		Transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// SetPerson changes who is logged in to Home Assistant; nil: nobody.
func (i *Ingress) SetPerson(p *Person) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.person = p
}

// Close ends connections that nobody uses.
func (i *Ingress) Close() { i.client.CloseIdleConnections() }

// DialFrom returns a Dial that connects to address from a local IP address, which
// the machine has to have: the Supervisor's is 172.30.32.2.
func DialFrom(ip, address string) func(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
}

// What both of Home Assistant's filters call an exploit, in path and query.
var exploit = regexp.MustCompile(`(?i)proc/self/environ|(<|%3C).*script.*(>|%3E)|(\.\.//?)+|[a-zA-Z0-9_]=/([a-z0-9_.]//?)+|union.*select.*\(|union.*all.*select.*|concat.*\(`)

// filtered reports whether a path or query is refused, after decoding it as long as
// that changes anything.
func filtered(text string) bool {
	for range 10 {
		decoded, err := url.PathUnescape(text)
		if err != nil || decoded == text {
			break
		}
		text = decoded
	}
	return exploit.MatchString(text) || strings.ContainsAny(text, "\t\r\n")
}

// ServeHTTP implements http.Handler.
func (i *Ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if filtered(r.URL.EscapedPath()) || filtered(r.URL.RawQuery) {
		plain(w, http.StatusBadRequest)
		return
	}
	path, found := strings.CutPrefix(r.URL.Path, IngressPath+"/")
	if !found {
		plain(w, http.StatusNotFound)
		return
	}
	i.mu.Lock()
	person := i.person
	i.mu.Unlock()
	if person == nil {
		plain(w, http.StatusUnauthorized)
		return
	}
	target := &url.URL{Scheme: "http", Host: "172.30.33.5:8099", Path: "/" + path, RawQuery: r.URL.RawQuery}
	if websocket.IsWebSocketUpgrade(r) {
		target.Scheme = "ws"
		i.socket(w, r, target, person)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ingressBody))
	if err != nil {
		plain(w, http.StatusRequestEntityTooLarge)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		plain(w, http.StatusBadRequest)
		return
	}
	req.Header, req.Host = headers(r, person), r.Host
	resp, err := i.client.Do(req)
	if err != nil {
		plain(w, http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for k, values := range resp.Header {
		switch k {
		case "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive":
		case "Content-Type":
			kind, _, _ := strings.Cut(values[0], ";") // its charset gets lost
			w.Header().Set(k, strings.TrimSpace(kind))
		default:
			w.Header()[k] = values
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // the browser may be gone
}

// headers are those of a request that reach the app.
func headers(r *http.Request, p *Person) http.Header {
	h := r.Header.Clone()
	for name := range h {
		if strings.HasPrefix(name, "Sec-Websocket-") || strings.HasPrefix(name, "X-Remote-User-") {
			h.Del(name)
		}
	}
	for _, name := range []string{
		"Content-Length", "Content-Encoding", "Transfer-Encoding", "X-Supervisor-Token", "X-Hassio-Key", "Accept-Encoding",
		"Connection", "Upgrade", "Keep-Alive",
	} {
		h.Del(name)
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	forwarded := host + ", 172.30.32.1"
	if before := h.Get("X-Forwarded-For"); before != "" {
		forwarded = before + ", " + forwarded
	}
	h.Set("X-Ingress-Path", IngressPath)
	h.Set("X-Hass-Source", "core.ingress")
	h.Set("X-Forwarded-For", forwarded)
	h.Set("X-Forwarded-Host", r.Host)
	if h.Get("X-Forwarded-Proto") == "" {
		h.Set("X-Forwarded-Proto", "http")
	}
	for name, value := range map[string]string{"X-Remote-User-Id": p.ID, "X-Remote-User-Name": p.Name, "X-Remote-User-Display-Name": p.DisplayName} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}

// socket is a WebSocket that is ended here and made anew towards the app. The
// browser is answered first, as by the real ones.
func (i *Ingress) socket(w http.ResponseWriter, r *http.Request, target *url.URL, p *Person) {
	protocols := websocket.Subprotocols(r)
	up := websocket.Upgrader{Subprotocols: protocols, CheckOrigin: func(*http.Request) bool { return true }}
	browser, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = browser.Close() }()
	d := websocket.Dialer{
		Subprotocols: protocols, HandshakeTimeout: 10 * time.Second,
		NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return i.Dial(ctx) },
	}
	h := headers(r, p)
	h.Set("Host", r.Host)
	app, _, err := d.DialContext(r.Context(), target.String(), h)
	if err != nil {
		return
	}
	defer func() { _ = app.Close() }()
	var both sync.WaitGroup
	both.Go(func() { relay(browser, app) })
	both.Go(func() { relay(app, browser) })
	both.Wait()
}

// relay copies messages until one side ends, which ends the other. Close codes get lost.
func relay(from, to *websocket.Conn) {
	defer func() { _ = to.Close() }()
	from.SetReadLimit(ingressFrame)
	control := func(kind int) func(string) error {
		return func(data string) error {
			return to.WriteControl(kind, []byte(data), time.Now().Add(5*time.Second))
		}
	}
	from.SetPingHandler(control(websocket.PingMessage)) // nobody answers but the other end
	from.SetPongHandler(control(websocket.PongMessage))
	for {
		kind, data, err := from.ReadMessage()
		if err != nil {
			return
		}
		if to.WriteMessage(kind, data) != nil {
			return
		}
	}
}
