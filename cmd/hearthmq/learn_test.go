package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The commands about learning see what the running server has seen until now, though it
// stores that seldom, from the next login on; and nothing is taken over, and no watch ended, before there is something.
func TestLearnCommandsSeeAllAtOnce(t *testing.T) {
	h := newHouse(t)
	w := &whySite{T: t, house: h, testServer: h.start(t, nil)}
	w.users("add", "heater", "--password-stdin")
	learn := func(args ...string) result {
		return command(t, w.dir, "", append([]string{"learn"}, args...)...)
	}
	if got := learn("start", "heater", "--for", "1h", "--open"); got.code != 0 {
		t.Fatal(got)
	}
	if got := learn("accept", "heater"); got.code != 1 || !strings.Contains(got.stderr, "nothing was seen of user heater yet") {
		t.Errorf("accepted nothing: %+v", got)
	}
	c := w.in("heater", "heater")
	if token := c.Subscribe("home/heater/set", 0, nil); !token.Wait() || token.Error() != nil {
		t.Fatal(token.Error())
	}
	if got := learn("show", "heater"); !strings.Contains(got.stdout, "allow subscribe home/heater/set\n") {
		t.Errorf("shown: %+v", got)
	}
	if got := learn("accept", "heater"); got.code != 0 || !strings.Contains(got.stderr, "has the rules") {
		t.Errorf("accepted: %+v", got)
	}
	if got := command(t, w.dir, "", "acl", "check", "heater", "subscribe", "home/heater/set"); got.code != 0 {
		t.Errorf("the rule does not count: %+v", got)
	}
}

// A watch that is begun on the page or by the API counts with the next login, too, and so
// does the permission to do everything meanwhile.
func TestWatchBegunInTheAdminCountsAtOnce(t *testing.T) {
	s := start(t, nil)
	admin := owner(t, s)
	token := strings.TrimSpace(command(t, s.dir, "", "token", "create", "--label", "script", "--scope", "admin").stdout)
	api := func(method, path, body string, answer any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.admin+"/api/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(answer); err != nil || resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %s, %v", method, path, resp.Status, err)
		}
	}
	for i, begin := range []func(path string){
		func(path string) { admin.post(path+"/learn", url.Values{"for": {"1h"}, "open": {"yes"}}) },
		func(path string) { api("POST", path+"/learning", `{"seconds": 3600, "open": true}`, new(any)) },
	} {
		name := fmt.Sprint("heater", i)
		var made struct {
			Password string `json:"generated_password"`
			User     struct{ ID int64 }
		}
		api("POST", "/users", `{"name": "`+name+`"}`, &made)
		path := fmt.Sprint("/users/", made.User.ID)
		begin(path)
		c, err := connect(t, s.mqtt, name, name, made.Password)
		if err != nil {
			t.Fatal(err)
		}
		if token := c.Subscribe("home/heater/set", 0, nil); !token.Wait() || token.Error() != nil {
			t.Error(token.Error())
		}
		c.Publish("home/heater/state", 1, false, "on").Wait()
		var seen struct {
			Running bool
			Rules   []string
		}
		api("GET", path+"/learning", "", &seen)
		if want := []string{"allow publish home/heater/state", "allow subscribe home/heater/set"}; !seen.Running || !slices.Equal(seen.Rules, want) {
			t.Errorf("%s: seen %+v, want %q", name, seen, want)
		}
		if page := admin.get(path); !strings.Contains(page, "home/heater/state") || !strings.Contains(page, "Watching until") {
			t.Errorf("%s: the page does not show it", name)
		}
	}
}
