package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ctrl runs mosquitto_ctrl dynsec as a user and returns what it said.
func ctrl(t *testing.T, address, user, password string, args ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	const warning = "including passwords."
	all := append([]string{"-h", host, "-p", port, "-u", user, "-P", password, "dynsec"}, args...)
	out, err := exec.CommandContext(t.Context(), "mosquitto_ctrl", all...).CombinedOutput()
	if err != nil && len(out) == 0 {
		return err.Error()
	}
	_, said, found := strings.Cut(string(out), warning)
	if !found {
		said = string(out)
	}
	return strings.TrimSpace(said)
}

// Mosquitto's own tool makes users, roles and rules.
func TestDynsecCommands(t *testing.T) {
	need(t, "mosquitto_ctrl", have("mosquitto_ctrl"))
	s := startE2E(t, nil)
	password := s.user("owner", "--admin")
	eventually(t, "the user counts", func() bool { return strings.Contains(ctrl(t, s.mqtt, "owner", password, "listRoles"), "read-only") })
	for _, x := range []struct{ args, want string }{
		{"createRole sensor", ""},
		{"addRoleACL sensor publishClientSend sensors/%u/# allow", ""},
		{"addRoleACL sensor subscribePattern config/# allow", ""},
		{"addRoleACL sensor subscribePattern config/secret deny", ""},
		{"addRoleACL sensor publishClientReceive x/# allow", "without the right to subscribe"},
		{"addRoleACL sensor publishClientSend $CONTROL/# allow", "by being administrators"},
		{"addRoleACL sensor publishClientSend y/# allow 5", "no priorities"},
		{"getRole sensor", "sensors/%u/#"},
		{"listRoles", "sensor"},
		{"createClient lamp -p shine-on", ""},
		{"createClient other -p x -c only-this", "binds no user to a client identifier"},
		{"addClientRole lamp sensor", ""},
		{"addClientRole lamp nothing", "there is no role"},
		{"getClient lamp", "sensor"},
		{"listClients", "lamp"},
		{"createGroup family", "no groups"},
		{"listGroups", ""},
		{"getDefaultACLAccess", "publishClientSend"},
		{"disableClient lamp", ""},
		{"enableClient lamp", ""},
		{"removeRoleACL sensor subscribePattern config/#", ""},
		{"setClientPassword lamp shine-brighter", ""},
		{"getClient nobody", "not found"},
		{"deleteClient owner", "last user who can use the admin"},
	} {
		got := ctrl(t, s.mqtt, "owner", password, strings.Fields(x.args)...)
		if x.want == "" && strings.Contains(got, "Error") || !strings.Contains(got, x.want) {
			t.Errorf("%s: %q, want %q", x.args, got, x.want)
		}
	}
	for _, x := range []struct {
		topic string
		allow bool
	}{{"sensors/lamp/1", true}, {"sensors/other/1", false}, {"config/x", false}} {
		if r := command(t, s.dir, "", "acl", "check", "lamp", "publish", x.topic); (r.code == 0) != x.allow {
			t.Errorf("publish %s: %s", x.topic, r.stdout)
		}
	}
	// Who has no right gets no answer, and changes nothing.
	if got := ctrl(t, s.mqtt, "lamp", "shine-brighter", "deleteClient", "owner"); got == "" {
		t.Error("lamp may delete users")
	}
	if got := ctrl(t, s.mqtt, "owner", password, "deleteClient", "lamp"); got != "" {
		t.Error(got)
	}
	if r := command(t, s.dir, "", "user", "list"); strings.Contains(r.stdout, "lamp") || !strings.Contains(r.stdout, "owner") {
		t.Error(r.stdout)
	}
}

// A Mosquitto with dynamic security: its administrator goes on with its tool, all commands
// mean what they meant, and the way back to Mosquitto is open.
func TestStandInDynsec(t *testing.T) {
	need(t, "mosquitto_ctrl", have("mosquitto_ctrl"))
	s := newStand(t)
	path := filepath.Join(s.dir, "dynamic-security.json")
	if out, err := exec.CommandContext(t.Context(), "mosquitto_ctrl", "dynsec", "init", path, "admin", "first-password").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const plugin = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so"
	const conf = "user root\nmax_packet_size 2000000\nlistener @1 127.0.0.1\nallow_anonymous false\nplugin " + plugin + "\nplugin_opt_config_file @DIR/dynamic-security.json\n"
	s.up(conf)
	address := net.JoinHostPort("127.0.0.1", s.ports[0])
	for _, args := range []string{
		"createRole r", "addRoleACL r publishClientSend a/# allow 1", "addRoleACL r publishClientSend a/b deny 5", "addRoleACL r subscribePattern a/# allow",
		"createClient lamp -p shine-on -c only", "createGroup g", "addGroupRole g r", "addGroupClient g lamp",
	} {
		if got := ctrl(t, address, "admin", "first-password", strings.Fields(args)...); strings.Contains(got, "rror") {
			t.Errorf("%s: %s", args, got)
		}
	}
	if got := ctrl(t, address, "admin", "first-password", "getClient", "lamp"); !strings.Contains(got, "only") || !strings.Contains(got, "g") {
		t.Error(got)
	}
	const script = "a1 connect id=only user=lamp pass=shine-on v=5\na1 sub a/# qos=0\na1 sub b qos=0\na1 pub a/b qos=1 payload=1\nb1 connect id=b\nc1 connect id=other user=lamp pass=shine-on"
	said := s.play(script)
	s.stop(t)
	s.up(conf) // what was changed stays
	again := s.play(script)
	s.stop(t)
	if !slices.Equal(said, again) || !strings.Contains(said[0], "CONNACK 0x0") {
		t.Errorf("%q\nafter a restart %q", said, again)
	}
	if files, err := filepath.Glob(filepath.Join(s.dir, "*.hearthmq")); err != nil || len(files) > 0 {
		t.Error("left behind:", files, err)
	}
	if _, err := os.Stat(plugin); err != nil {
		return // another architecture
	}
	real := new(realBroker)
	real.start(t, s.write("mosquitto.conf", conf))
	theirs := s.play(script)
	real.stop(t)
	if !slices.Equal(said, theirs) {
		t.Errorf("%q\nMosquitto with the same file %q", said, theirs)
	}
}
