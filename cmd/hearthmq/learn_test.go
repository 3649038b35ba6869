package main

import (
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
