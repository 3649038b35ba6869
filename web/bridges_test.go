package web

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
)

func accessUser(name string) access.NewUser {
	return access.NewUser{Name: name, Password: "device password", Roles: []string{access.RoleEverything}}
}

// shelf is a bridge.Repository in memory.
type shelf struct {
	mu   sync.Mutex
	list map[string]bridge.Settings
}

func (r *shelf) Bridges(context.Context) ([]bridge.Settings, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []bridge.Settings
	for _, name := range slices.Sorted(maps.Keys(r.list)) {
		list = append(list, r.list[name])
	}
	return list, nil
}

func (r *shelf) InsertBridge(_ context.Context, s bridge.Settings) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.list[s.Name]; ok {
		return bridge.ErrExists
	}
	if r.list == nil {
		r.list = map[string]bridge.Settings{}
	}
	s.Revision = 1
	r.list[s.Name] = s
	return nil
}

func (r *shelf) UpdateBridge(_ context.Context, s bridge.Settings) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch old, ok := r.list[s.Name]; {
	case !ok:
		return bridge.ErrNotFound
	case old.Revision != s.Revision:
		return bridge.ErrConflict
	}
	s.Revision++
	r.list[s.Name] = s
	return nil
}

func (r *shelf) DeleteBridge(_ context.Context, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.list[name]; !ok {
		return bridge.ErrNotFound
	}
	delete(r.list, name)
	return nil
}

// withBridges gives a site bridges; they may not leave it.
func (s *site) withBridges() *bridge.Book {
	s.t.Helper()
	m := &bridge.Manager{Local: s.broker, Log: s.server.log, ID: "test", Guard: bridge.Outside(nil)}
	s.t.Cleanup(m.Close)
	book := &bridge.Book{Repository: &shelf{}, Manager: m}
	s.server.cfg.Bridges = book
	return book
}

func bridgeForm(change ...string) url.Values {
	form := url.Values{
		"name": {"holiday-home"}, "addresses": {"127.0.0.1"}, "topics": {"sensors/# out 1\nhomeassistant/status in 0 \"\" away/"}, "version": {"5"},
		"client_id": {"home-1"}, "username": {"u"}, "password": {"s3cret-canary"}, "start": {"automatic"}, "local_user": {""},
	}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return form
}

func TestBridges(t *testing.T) {
	s := furnished(t, false)
	book := s.withBridges()
	b := s.ingress()
	b.get("/bridges").is(t, http.StatusOK).says(t, "No bridges", "Add bridge")
	b.get("/bridges/new").is(t, http.StatusOK).says(t, "Address of the other broker", "What zigbee2mqtt may")

	b.post("/bridges/new", bridgeForm()).leads(t, b, "/bridges?done=bridge-added")
	b.get("/bridges?done=bridge-added").says(t, "The bridge was added.", "holiday-home", "127.0.0.1:1883", "2 topics")
	stored := func() bridge.Settings {
		t.Helper()
		list, err := book.Repository.Bridges(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		return list[0]
	}
	if got := stored(); got.Password != "s3cret-canary" || len(got.Topics) != 2 || got.Topics[1] != (bridge.Topic{Pattern: "homeassistant/status", In: true, Remote: "away/"}) {
		t.Errorf("%+v", got)
	}

	// The password is on no page and stays where nobody types another (cases W17, W18).
	page := b.get("/bridges/edit/holiday-home").is(t, http.StatusOK)
	page.says(t, "Leave it empty to keep the one that is stored.")
	for _, body := range []string{page.body, b.get("/bridges").body, b.get("/live/bridges").body} {
		if strings.Contains(body, "canary") {
			t.Error("the password is shown")
		}
	}
	b.post("/bridges/edit/holiday-home", bridgeForm("password", "", "addresses", "[::1]:1884\nlocalhost", "tls", "yes", "revision", "1")).leads(t, b, "/bridges?done=bridge-changed")
	if got := stored(); got.Password != "s3cret-canary" || !slices.Equal(got.Addresses, []string{"[::1]:1884", "localhost:8883"}) || !got.TLS.On {
		t.Errorf("%+v", got)
	}
	b.post("/bridges/edit/holiday-home", bridgeForm("revision", "1")).is(t, http.StatusConflict) // case W26
	b.post("/bridges/edit/holiday-home", bridgeForm("password", "", "username", "", "revision", "2")).leads(t, b, "/bridges?done=bridge-changed")
	if got := stored(); got.Password != "" {
		t.Error("a password without its user stayed")
	}

	b.post("/bridges/edit/holiday-home/state", url.Values{"disabled": {"yes"}, "revision": {"3"}}).leads(t, b, "/bridges?done=bridge-changed")
	b.get("/bridges").says(t, "Disabled")
	b.get("/bridges/edit/holiday-home").says(t, "The bridge is disabled", "Enable")
	b.get("/bridges/edit/holiday-home/delete").says(t, "Delete holiday-home?")
	b.post("/bridges/edit/holiday-home/delete", nil).leads(t, b, "/bridges?done=bridge-deleted")
	b.get("/bridges/edit/holiday-home").is(t, http.StatusNotFound)
}

func TestBridgeProblems(t *testing.T) {
	s := furnished(t, false)
	s.withBridges()
	b := s.ingress()
	b.post("/bridges/new", bridgeForm()).is(t, http.StatusSeeOther)
	for name, c := range map[string]struct {
		change []string
		says   string
	}{
		"name taken":     {[]string{"client_id", "x"}, "There is a bridge of this name already."},
		"identifier":     {[]string{"name", "other"}, "The bridge holiday-home has the same."},
		"no name":        {[]string{"name", ""}, "Letters, digits"},
		"markup":         {[]string{"name", hostileName}, "Letters, digits"},
		"no address":     {[]string{"name", "n", "addresses", ""}, "Say where the other broker is."},
		"address":        {[]string{"name", "n", "addresses", "a:b:c:d"}, "is not host:port"},
		"no topics":      {[]string{"name", "n", "topics", ""}, "Say which topics are carried."},
		"topic":          {[]string{"name", "n", "topics", "a/#\nb sideways"}, `Line 2: "sideways" is not in, out or both.`},
		"filter":         {[]string{"name", "n", "topics", "a/#/b in"}, "Line 1:"},
		"version":        {[]string{"name", "n", "version", "9"}, "3.1, 3.1.1 or 5.0"},
		"start":          {[]string{"name", "n", "start", "never"}, "Automatic, lazy or once"},
		"user here":      {[]string{"name", "n", "local_user", "nobody"}, "There is no such user."},
		"half a pair":    {[]string{"name", "n", "cert_file", "/x"}, "Certificate and key come together."},
		"password alone": {[]string{"name", "n", "username", "", "version", "4"}, "Needs a user name before MQTT 5."},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.post("/bridges/new", bridgeForm(c.change...)).is(t, http.StatusUnprocessableEntity)
			a.says(t, c.says)
			if strings.Contains(a.body, "canary") || strings.Contains(a.body, "<img") {
				t.Error("the page holds what it must not")
			}
		})
	}
}

func TestBridgeTest(t *testing.T) { // case W20
	s := furnished(t, false)
	book := s.withBridges()
	b := s.ingress()
	a := b.post("/bridges/new", bridgeForm("do", "test", "addresses", "127.0.0.1 169.254.169.254:80 172.30.32.2:80 [::1]:22")).is(t, http.StatusOK)
	a.says(t, "The test failed.", "127.0.0.1:1883: a bridge may not go to this address", "169.254.169.254:80: a bridge may not", "172.30.32.2:80: a bridge may not", "[::1]:22: a bridge may not")
	book.Manager.Guard = nil
	far := newSite(t, nil)
	far.listen()
	b.post("/bridges/new", bridgeForm("do", "test", "addresses", far.mqtt, "username", "", "password", "")).says(t, "it does not let this user in")
	far.createUser(accessUser("bridge"))
	b.post("/bridges/new", bridgeForm("do", "test", "addresses", far.mqtt, "username", "bridge", "password", "device password")).
		says(t, "The other broker answers and lets the bridge in.")
	if list, _ := book.List(t.Context()); len(list) != 0 {
		t.Error("a test stored something")
	}
}

// TestBridgesInBrowser takes the pictures and looks for what sticks out.
func TestBridgesInBrowser(t *testing.T) {
	s := furnished(t, false)
	book := s.withBridges()
	book.Manager.Guard = nil
	far := newSite(t, nil)
	far.createUser(accessUser("bridge"))
	far.listen()
	srv := httptest.NewServer(s.server.Direct())
	t.Cleanup(srv.Close)
	for _, w := range []int64{1280, 390} {
		b := openTab(t, srv.URL+"/login", w, 900)
		b.until(loaded)
		b.typeInto("username", adminName)
		b.typeInto("password", adminPass)
		b.submit("button[type=submit]")
		name := map[int64]string{1280: "wide", 390: "narrow"}[w]
		b.open(srv.URL + "/bridges")
		b.fits("no bridges")
		if w == 1280 {
			direct := newBrowser(t, srv, "").login()
			direct.post("/bridges/new", bridgeForm("addresses", far.mqtt, "username", "bridge", "password", "device password")).is(t, http.StatusSeeOther)
			direct.post("/bridges/new", bridgeForm("name", "cloud", "client_id", "c", "addresses", "127.0.0.1:1")).is(t, http.StatusSeeOther)
		}
		b.open(srv.URL + "/bridges")
		b.until(`document.body.innerText.includes('Connected')`)
		b.until(`document.body.innerText.includes('Tries again') && document.body.innerText.includes('It can')`)
		b.fits("bridges")
		b.whole("bridges-" + name)
		b.open(srv.URL + "/bridges/edit/holiday-home")
		b.fits("a bridge")
		b.whole("bridge-" + name)
	}
}
