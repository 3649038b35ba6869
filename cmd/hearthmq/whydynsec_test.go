package main

import (
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
)

// With dynamic security in Mosquitto's place, what its roles decide is found by the command
// and in the admin, with the role; and nothing is proposed for a user of HearthMQ's own who
// happens to have the name.
func TestWhyOfDynamicSecurity(t *testing.T) {
	need(t, "mosquitto_ctrl", have("mosquitto_ctrl"))
	s := newStand(t)
	data, web := filepath.Join(s.dir, "data"), brokertest.FreeAddress(t)
	for _, args := range [][]string{{"anna", "--admin"}, {"lamp", "--rule", "allow both elsewhere"}, {"meter"}} {
		if r := command(t, data, ownerPassword, append([]string{"user", "add", "--password-stdin"}, args...)...); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	s.args, s.environ = []string{"--data", data}, []string{"HEARTHMQ_WEB_ADDRESS=" + web}
	path := filepath.Join(s.dir, "dynamic-security.json")
	if out, err := exec.CommandContext(t.Context(), "mosquitto_ctrl", "dynsec", "init", path, "admin", "first-password").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.up("listener @1 127.0.0.1\nallow_anonymous false\nplugin /usr/lib/mosquitto_dynamic_security.so\nplugin_opt_config_file @DIR/dynamic-security.json\n")
	address := net.JoinHostPort("127.0.0.1", s.ports[0])
	for _, args := range []string{
		"createRole family", "addRoleACL family subscribePattern home/# allow", "addRoleACL family publishClientReceive home/secret deny 5",
		"addRoleACL family publishClientSend home/# allow", "addRoleACL family publishClientSend home/lock deny 5", "addRoleACL family subscribeLiteral home/safe deny",
		"createClient lamp -p x", "addClientRole lamp family", "createClient meter -p x", "addClientRole meter family", "createClient gone -p x", "disableClient gone",
	} {
		if got := ctrl(t, address, "admin", "first-password", strings.Fields(args)...); strings.Contains(got, "rror") {
			t.Errorf("%s: %s", args, got)
		}
	}
	w := &whySite{T: t, testServer: &testServer{tb: t, dir: data, mqtt: address, log: s.log}}
	w.admin = newPerson(t, "http://"+web)
	w.admin.post("/login", url.Values{"username": {"anna"}, "password": {ownerPassword}})
	subscribe := func(c mqtt.Client, filter string) { c.Subscribe(filter, 1, nil).Wait() } // what is refused is what is meant

	subscribe(w.in("cellar", "lamp"), "cellar/#")
	w.finds(access.MayNotSubscribe, "cellar", `Client "cellar" of user "lamp" may not subscribe to cellar/#`, "default", "dynamic security")
	subscribe(w.in("burglar", "lamp"), "home/safe")
	w.finds(access.MayNotSubscribe, "burglar", "subscribeLiteral home/safe (role family)", "dynamic security")
	subscribe(w.in("spy", "lamp"), "home/secret")
	w.finds(access.Narrowed, "spy", "publishClientReceive home/secret (role family)")
	subscribe(w.in("door", "lamp"), "home/lock")
	w.in("sender", "meter").Publish("home/lock", 1, false, "1").Wait()
	w.finds(access.SourceDenied, "door", "publishClientSend home/lock (role family)", "dynamic security")
	w.finds(access.MayNotPublish, "sender", "publishClientSend home/lock (role family)")
	w.refused(11, "gone-1", "gone", "x", nil)
	w.finds(access.Cause(broker.UserDisabled), "gone-1")
	w.refused(12, "washer", "lamb", "x", nil)
	w.finds(access.Cause(broker.UnknownUser), "washer", "dynamic security")
	w.in("stray", "meter").Publish("abroad", 1, false, "1").Wait()

	for _, args := range [][]string{{"denied"}, {"why", "lamp"}, {"why", "meter"}} {
		got := command(t, data, "", args...)
		if got.code != 0 || !strings.Contains(got.stdout, "cellar/#") && args[len(args)-1] != "meter" || strings.Contains(got.stdout, "hearthmq ") ||
			strings.Contains(got.stdout, "add the rule") || strings.Contains(got.stdout, "elsewhere") || strings.Contains(got.stdout, "allowed by now") {
			t.Errorf("%q speaks of HearthMQ's own users:\n%s%s", args, got.stdout, got.stderr)
		}
	}
	page := w.admin.get("/access")
	if !strings.Contains(page, "cellar/#") || strings.Contains(page, "/access/allow") {
		t.Error("the page Access proposes a rule for a user of HearthMQ's own")
	}
	if got := command(t, data, "", "acl", "check", "lamp", "publish", "elsewhere"); got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, "mosquitto.conf") {
		t.Errorf("a check answers by rules that decide nothing: %+v", got)
	}
	form := url.Values{"user": {"lamp"}, "action": {"publish"}, "topic": {"elsewhere"}}.Encode()
	if _, page := w.admin.send(http.MethodPost, "/access/check", "application/x-www-form-urlencoded", strings.NewReader(form)); !strings.Contains(page, "mosquitto.conf") || strings.Contains(page, "answer-yes") {
		t.Error("the page answers by rules that decide nothing")
	}
	s.stop(t)
}
