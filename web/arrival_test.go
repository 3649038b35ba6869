package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/broker/access"
)

// TestArrival follows a device from its user to its first messages, as the page that
// shows the password does.
func TestArrival(t *testing.T) {
	s := furnished(t, true)
	u := s.createUser(access.NewUser{Name: "plug-1", Password: "device password", Rules: mustRules(t, "allow publish tele/plug-1/#")})
	b := s.ingress()
	path := "/live" + userPath(u.ID) + "/arrival"
	now := func() (a arrival) {
		t.Helper()
		if err := json.Unmarshal([]byte(b.get(path).is(t, http.StatusOK).body), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	until := func(state, title, text string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for {
			a := now()
			if a.State == state && a.Title == title && strings.Contains(a.Text, text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%+v, want %s %q %q", a, state, title, text)
			}
		}
	}
	until("waiting", "Waiting for it to connect…", "")
	wrong := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.mqtt).SetClientID("p").SetUsername("plug-1").SetPassword("wrong").SetConnectRetry(false))
	wrong.Connect().WaitTimeout(time.Minute)
	until("problem", "It was not let in", "Wrong password.")
	d := s.connect("p", "plug-1")
	until("here", "It is connected", "Client p logged in.")
	d.publish("tele/plug1/state", "on")
	until("problem", "It logged in, and not everything is allowed", "It may not publish to tele/plug1/state.")

	// What the page asks leads on from there, with what was probably meant.
	b.post("/access/why", map[string][]string{"about": {"plug-1"}}).is(t, http.StatusOK).says(t, "tele/plug-1/#", "is the topic misspelt")
	b.get("/live/users/4711/arrival").is(t, http.StatusNotFound)
}

// TestAddWhoTried goes from a login of somebody unknown to a user of that name, which
// is in no URL.
func TestAddWhoTried(t *testing.T) {
	s := furnished(t, true)
	for i := range 3 {
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.mqtt).SetClientID(fmt.Sprintf("mower-%d", i)).SetUsername("mover").SetPassword("x"))
		c.Connect().WaitTimeout(time.Minute)
	}
	s.createUser(access.NewUser{Name: "mower", Password: "device password"})
	b := s.ingress()
	b.get("/access").says(t, "mover", "was not let in", "What to do")
	a := b.post("/access/why", map[string][]string{"about": {"mover"}}).is(t, http.StatusOK)
	a.says(t, `There is a user "mower"`, "Add the user")
	if strings.Count(a.body, "/users/new/named") != 1 {
		t.Error("it is offered more than once")
	}
	page := b.post("/users/new/named", map[string][]string{"name": {"mover"}}).is(t, http.StatusOK)
	if !strings.Contains(page.body, `value="mover"`) {
		t.Error("the name is not filled in")
	}
	if _, ok := s.dir.User("mover"); ok {
		t.Error("the user is there already")
	}
}
