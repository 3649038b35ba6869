package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What a command changes holds for the login in the next line of the same script: nobody is
// refused who was just added, and nobody let in who was just removed.
func TestCommandsHoldAtOnce(t *testing.T) {
	s := start(t, nil)
	lets := func(name, password string, want bool) {
		t.Helper()
		d, err := connectDevice(s.mqtt, name, name, password, false)
		if err == nil {
			d.Close()
		} else if !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		if (err == nil) != want {
			t.Errorf("%s: let in: %v (%v), want %v", name, err == nil, err, want)
		}
	}
	do := func(args ...string) {
		t.Helper()
		if got := command(t, s.dir, "", append([]string{"user"}, args...)...); got.code != 0 {
			t.Fatalf("%s: %s", args, got.stderr)
		}
	}
	for i := range 2 {
		name := fmt.Sprint("lamp", i)
		old := s.user(name)
		lets(name, old, true)
		now := strings.TrimSpace(command(t, s.dir, "", "user", "passwd", name, "--generate").stdout)
		lets(name, old, false)
		lets(name, now, true)
		do("disable", name)
		lets(name, now, false)
		do("enable", name)
		lets(name, now, true)
		do("networks", name, "192.0.2.0/24")
		lets(name, now, false)
		do("networks", name, "127.0.0.0/8")
		lets(name, now, true)
		do("delete", name)
		lets(name, now, false)
	}
	// The admin's login is one, too.
	boss := s.user("boss", "--admin")
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.admin+"/login", strings.NewReader(url.Values{"username": {"boss"}, "password": {boss}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		t.Errorf("the admin's login: %s", res.Status)
	}
}
