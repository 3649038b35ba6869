package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2/memstore"
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/net/html"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/feed"
)

const (
	setupToken = "M0ckSetupTokenOf128BitsOrMore" // as long as a real one
	adminName  = "anna"
	adminPass  = "correct horse battery"
)

// site is the whole admin over a real broker, real accounts and a real feed.
type site struct {
	t        testing.TB
	server   *Server
	broker   *broker.Broker
	accounts *access.Accounts
	dir      *access.Directory
	denials  *access.Denials
	sessions *memstore.MemStore
	tokens   *access.Tokens
	bans     *access.Bans
	mqtt     string // host:port of the broker
	// What Home Assistant says of its user "1"; changed by tests before they ask.
	haAdmin func(context.Context, string) (bool, error)
}

// newSite returns a site without an administrator; change alters its Config.
func newSite(t testing.TB, change func(*Config)) *site {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := &site{t: t, denials: access.NewDenials(), sessions: memstore.NewWithCleanupInterval(0)}
	s.haAdmin = func(context.Context, string) (bool, error) { return true, nil }
	s.dir = access.NewDirectory(access.Policy{
		Hashing: access.Hashing{Cost: access.Cost{Time: 1, MemoryKiB: 64, Threads: 1}},
		Logins:  []access.Login{{Username: "from-settings", Password: "from the settings"}},
	})
	repo := access.NewMemoryRepository()
	s.tokens, s.bans = access.NewTokens(repo), access.NewBans(repo)
	s.accounts = access.NewAccounts(repo, s.dir, nil, log)
	if err := s.accounts.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := feed.New(feed.Limits{})
	var err error
	s.broker, err = broker.New(broker.DefaultConfig(), broker.Deps{
		Authenticator: s.bans.Guard(s.dir), Authorizer: s.dir, Observer: broker.Observers{f, s.denials, s.accounts.Learner()}, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.accounts.SetRevalidator(s.broker)
	t.Cleanup(func() { _ = s.broker.Shutdown(context.Background()) })
	cfg := Config{
		Broker: s.broker, Directory: s.dir, Accounts: s.accounts, Denials: s.denials, Feed: f, Sessions: s.sessions, Tokens: s.tokens, Bans: s.bans, Logins: &fakeLogins{},
		Endpoints: []Endpoint{
			{Label: "MQTT", Port: 1883}, {Label: "MQTT, encrypted", Port: 8883, TLS: true}, {Label: "WebSocket", Port: 1884, WebSocket: true},
		},
		SetupToken: func() string { return setupToken }, AdminOnly: true, Version: "HearthMQ test", Log: log,
		IngressAdmin: func(ctx context.Context, id string) (bool, error) { return s.haAdmin(ctx, id) },
	}
	if change != nil {
		change(&cfg)
	}
	if s.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return s
}

// furnished returns a site with an administrator, users, a role, rules and, when
// withClients, connected clients, one of them hostile.
func furnished(t *testing.T, withClients bool) *site {
	t.Helper()
	return furnishedWith(t, withClients, nil)
}

// furnishedWith is furnished with another Config.
func furnishedWith(t *testing.T, withClients bool, change func(*Config)) *site {
	t.Helper()
	s := newSite(t, change)
	s.createUser(access.NewUser{Name: adminName, Password: adminPass, Admin: true, Note: "Lives here"})
	s.must(s.accounts.CreateRole(t.Context(), "sensors", "Report measurements below sensors/", mustRules(t,
		"allow publish sensors/%u/# no-retain", "allow subscribe sensors/%u/set", "deny publish sensors/%u/admin/#")))
	s.createUser(access.NewUser{Name: "washing-machine", Password: "device password", Roles: []string{"sensors"}, Note: "Cellar, behind the door",
		Rules: mustRules(t, "allow both home/laundry/# qos<=1 from=192.168.1.0/24")})
	s.createUser(access.NewUser{Name: "zigbee2mqtt", Password: "device password", Roles: []string{access.RoleEverything}})
	s.createUser(access.NewUser{Name: "old-tablet", Generate: true, Note: "Sold"})
	disabled := true
	s.must(s.accounts.ChangeUser(t.Context(), "old-tablet", access.UserChange{Disabled: &disabled}))
	s.createUser(access.NewUser{Name: hostileName, Password: "device password", Note: hostileName, Roles: []string{access.RoleReadOnly}})
	if !withClients {
		return s
	}
	s.listen()
	s.connect("zigbee2mqtt_bridge", "zigbee2mqtt").subscribe("zigbee2mqtt/#", "homeassistant/status")
	washer := s.connect("washer-0815", "washing-machine")
	washer.publish("sensors/washing-machine/power", "42")
	washer.publish("zigbee2mqtt/lamp/set", "on") // denied
	washer.publish("zigbee2mqtt/lamp/set", "off")
	washer.subscribe("sensors/#")
	s.connect(hostileName, hostileName).publish(hostileName, hostileName)
	return s
}

// hostileName is markup, script and text that turns direction (case W5).
const hostileName = `"><img src=x onerror=pwned=1><script>pwned=1</script>{{7*7}}` + "\u200d" + `javascript:pwned=1`

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) createUser(n access.NewUser) access.User {
	s.t.Helper()
	u, _, err := s.accounts.CreateUser(s.t.Context(), n)
	s.must(err)
	return u
}

func (s *site) user(name string) access.User {
	s.t.Helper()
	u, ok := s.dir.User(name)
	if !ok {
		s.t.Fatalf("there is no user %q", name)
	}
	return u
}

func mustRules(t testing.TB, lines ...string) []access.Rule {
	t.Helper()
	rules, err := parseRules(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// listen opens the broker to clients.
func (s *site) listen() {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = s.broker.Serve(ctx, ln, broker.ListenerInfo{Name: "mqtt"}); close(done) }()
	s.t.Cleanup(func() { cancel(); ln.Close(); <-done })
	s.mqtt = ln.Addr().String()
}

type device struct {
	t testing.TB
	c mqtt.Client
}

func (s *site) connect(clientID, user string) device {
	s.t.Helper()
	return s.connectAs(clientID, user, "device password")
}

func (s *site) connectAs(clientID, user, password string) device {
	s.t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.mqtt).SetClientID(clientID).
		SetUsername(user).SetPassword(password).SetProtocolVersion(4).SetAutoReconnect(false))
	d := device{s.t, c}
	d.wait(c.Connect())
	s.t.Cleanup(func() { c.Disconnect(0) })
	return d
}

func (d device) wait(token mqtt.Token) {
	d.t.Helper()
	if !token.WaitTimeout(3 * time.Minute) {
		d.t.Fatal("the broker did not answer")
	}
}

func (d device) publish(topic, payload string) { d.wait(d.c.Publish(topic, 0, false, payload)) }

func (d device) subscribe(filters ...string) {
	for _, f := range filters {
		d.wait(d.c.Subscribe(f, 0, nil))
	}
}

// browser is a client of the admin that behaves as browsers do.
type browser struct {
	t    testing.TB
	base string // URL in front of the admin's paths
	http *http.Client
}

func (s *site) direct() *browser {
	srv := httptest.NewServer(s.server.Direct())
	s.t.Cleanup(srv.Close)
	return newBrowser(s.t, srv, "")
}

// ingress is a browser in front of something that does what Home Assistant's
// Core and Supervisor do.
func (s *site) ingress() *browser {
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	s.t.Cleanup(srv.Close)
	return newBrowser(s.t, srv, ingressBase)
}

func ingressProxy(h http.Handler, base string) http.Handler {
	return http.StripPrefix(base, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "172.30.32.2:40000"
		r.Header.Set("X-Ingress-Path", base)
		r.Header.Set("X-Hass-Source", "core.ingress")
		r.Header.Set("X-Remote-User-Id", "1")
		r.Header.Set("X-Remote-User-Name", "anna")
		r.Header.Set("X-Remote-User-Display-Name", "Anna")
		r.Header.Set("X-Forwarded-For", "192.168.1.20, 172.30.32.1")
		r.Header.Set("X-Forwarded-Host", r.Host)
		h.ServeHTTP(w, r)
	}))
}

func newBrowser(t testing.TB, srv *httptest.Server, path string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := srv.Client()
	c.Jar = jar
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{t, srv.URL + path, c}
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
}

func (b *browser) do(req *http.Request) answer {
	b.t.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, path, nil))
}

func (b *browser) post(path string, form url.Values) answer {
	b.t.Helper()
	req := b.request(http.MethodPost, path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

func (b *browser) request(method, path string, body io.Reader) *http.Request {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return req
}

func (b *browser) login() *browser {
	b.t.Helper()
	a := b.post("/login", url.Values{"username": {adminName}, "password": {adminPass}})
	a.is(b.t, http.StatusSeeOther)
	return b
}

func (a answer) is(t testing.TB, status int) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d\n%s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, text(a.body))
	}
	return a
}

// leads checks where a redirect goes, without the part in front of our paths.
func (a answer) leads(t *testing.T, b *browser, path string) {
	t.Helper()
	a.is(t, http.StatusSeeOther)
	u, _ := url.Parse(b.base)
	if got := a.Header.Get("Location"); got != u.Path+path {
		t.Errorf("leads to %q, want %q", got, u.Path+path)
	}
}

// says checks that all of these stand in the page's text.
func (a answer) says(t *testing.T, wants ...string) {
	t.Helper()
	got := text(a.body)
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("%s %s does not say %q:\n%s", a.Request.Method, a.Request.URL.Path, want, got)
		}
	}
}

// text is what a person reads of a page.
func text(page string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return strings.Join(strings.Fields(b.String()), " ")
		case html.TextToken:
			b.Write(z.Text())
			b.WriteByte(' ')
		}
	}
}

// path of a user's page.
func (s *site) userPath(name string) string { return userPath(s.user(name).ID) }

func (s *site) rolePath(name string) string {
	s.t.Helper()
	r, ok := s.dir.Role(name)
	if !ok {
		s.t.Fatalf("there is no role %q", name)
	}
	return rolePath(r.ID)
}

func revisionOf(n int64) string { return fmt.Sprint(n) }
