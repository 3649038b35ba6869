package mosquitto_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/mosquitto"
	"hearthmq/broker/packet"
)

// setup makes a Setup of a configuration that has to be sound.
func setup(tb testing.TB, conf string, files mosquitto.Uploaded) *mosquitto.Setup {
	tb.Helper()
	s, found := trySetup(tb.Context(), conf, files)
	if s == nil {
		tb.Fatal(found)
	}
	return s
}

func trySetup(ctx context.Context, conf string, files mosquitto.Uploaded) (*mosquitto.Setup, []mosquitto.Notice) {
	all := mosquitto.Uploaded{"/m.conf": []byte(conf)}
	for name, text := range files {
		all[name] = text
	}
	return mosquitto.NewSetup(ctx, all, mosquitto.SetupOptions{File: "/m.conf"})
}

// aliceAndBob have the passwords "password".
const aliceAndBob = "alice:$7$1000$h0tqVxBwkB9rKAXukTtffzdbBQtNy1q5FBTDwSW4hucfjpqunBbxW10NVnRk7Cfh0lQndnOv2+k4wJavgz1JNw==$02ujkUXlKkJGFzlQHNjUgXwG3XRB1mr3vs8NX5teGCJGbN4hdgSpHNHuj47j8r5SHXsO7GeHpmkpPNhLraVVcQ==\n" +
	"bob:$7$1000$h0tqVxBwkB9rKAXukTtffzdbBQtNy1q5FBTDwSW4hucfjpqunBbxW10NVnRk7Cfh0lQndnOv2+k4wJavgz1JNw==$02ujkUXlKkJGFzlQHNjUgXwG3XRB1mr3vs8NX5teGCJGbN4hdgSpHNHuj47j8r5SHXsO7GeHpmkpPNhLraVVcQ==\n"

func TestSetupGuide(t *testing.T) {
	s := setup(t, guide, mosquitto.Uploaded{"/etc/mosquitto/passwd": []byte(aliceAndBob), "/etc/mosquitto/acl": []byte("pattern read $SYS/broker/load/#\n")})
	var ports []string
	for _, p := range s.Ports {
		ports = append(ports, fmt.Sprintf("%s %s ws=%v tls=%v %d", p.Info.Name, p.Address, p.WebSocket, p.Info.TLS, p.Info.Rules.MaxConnections))
	}
	want := "[1883 :1883 ws=false tls=false 1000 8883 :8883 ws=false tls=true 0 9001 :9001 ws=true tls=false 0]"
	if fmt.Sprint(ports) != want {
		t.Errorf("%v, want %s", ports, want)
	}
	b := s.Broker
	if b.MaxInflight != 20 || b.ReceiveMaximum != 20 || b.MaxQueuedMessages != 1000 || b.MaxPacketSize != 2_000_000 ||
		b.Durability != broker.Durable || b.QueueFull != broker.DropNewest || !b.CheckRetainedSource || b.SysInterval != 10*time.Second || b.MaxConnectionsPerAddress != 0 {
		t.Errorf("%+v", b)
	}
	if len(s.Conf.Bridges) != 1 {
		t.Error("the bridge is lost")
	}
}

// A configuration that would be less safe than its owner thinks does not start.
func TestSetupRefused(t *testing.T) {
	for conf, want := range map[string]string{
		"listener 1\npsk_hint x\n":                                    "/m.conf:2: psk_hint",
		"listener 1\nbind_interface eth0\n":                           "/m.conf:2: bind_interface",
		"plugin /lib/other.so\n":                                      "/m.conf:1: plugin",
		"listener 1\nnonsense yes\n":                                  "/m.conf:2: \"nonsense\" is not a directive",
		"listener 1\npassword_file /none\n":                           "/none: can't be read",
		"listener 1\nacl_file /acl\n":                                 "/acl:2: \"allow\" is not a keyword",
		"listener 1\ntls_engine x\n":                                  "keys from files alone",
		"listener 5\nlistener 5\n":                                    "two listeners have the address :5",
		"listener 5\nprotocol http_api\n":                             "no port that HearthMQ can open",
		"listener 1\ntls_version sslv3\n":                             "not one of tlsv1.3",
		"plugin /lib/mosquitto-go-auth.so\nauth_opt_backends mysql\n": "HearthMQ can't ask it",
	} {
		s, found := trySetup(t.Context(), conf, mosquitto.Uploaded{"/acl": []byte("user a\nallow #\n")})
		if s != nil || !strings.Contains(fmt.Sprint(found), want) {
			t.Errorf("%q: %v %v, want %q", conf, s, found, want)
		}
	}
}

func login(g *mosquitto.Guard, listener, user, password string, mod func(*broker.Credentials)) (*broker.Identity, error) {
	c := &broker.Credentials{
		ClientID: "c", HasUser: user != "", User: user, HasPassword: password != "", Password: []byte(password),
		Listener: broker.ListenerInfo{Name: listener}, Version: packet.V311,
	}
	if mod != nil {
		mod(c)
	}
	return g.Authenticate(context.Background(), c)
}

func TestGuardPerListener(t *testing.T) {
	s := setup(t, `per_listener_settings true
listener 1
allow_anonymous true
listener 2
password_file /pw
acl_file /acl
clientid_prefixes c
listener 3
certfile c
keyfile k
require_certificate true
use_identity_as_username true
acl_file /acl
listener 4
allow_anonymous false
`, mosquitto.Uploaded{"/pw": []byte(aliceAndBob), "/acl": []byte("user alice\ntopic a/#\n")})
	g := mosquitto.NewGuard(s, nil)
	for _, x := range []struct {
		listener, user, password, cert string
		ok                             bool
	}{
		{"1", "", "", "", true}, {"1", "anybody", "at all", "", true},
		{"2", "", "", "", false}, {"2", "alice", "password", "", true}, {"2", "alice", "wrong", "", false}, {"2", "eve", "password", "", false}, {"2", "alice", "", "", false},
		{"3", "alice", "password", "", false}, {"3", "", "", "alice", true}, {"3", "bob", "whatever", "alice", true},
		{"4", "", "", "", false}, {"4", "alice", "password", "", false},
		{"5", "", "", "", false},
	} {
		id, err := login(g, x.listener, x.user, x.password, func(c *broker.Credentials) { c.TLSName = x.cert })
		if (err == nil) != x.ok {
			t.Errorf("%+v: %v", x, err)
			continue
		}
		if err == nil && x.cert != "" && id.User != x.cert {
			t.Errorf("%+v: user %q", x, id.User)
		}
	}
	if _, err := login(g, "2", "alice", "password", func(c *broker.Credentials) { c.ClientID = "other" }); err == nil {
		t.Error("clientid_prefixes lets everybody in")
	}
	may := func(listener, user, name string) bool {
		return g.Authorize(&broker.Identity{User: user, Listener: listener}, broker.Publish, name).Allow
	}
	for _, x := range []struct {
		listener, user, name string
		ok                   bool
	}{
		{"1", "", "anything", true}, {"2", "alice", "a/b", true}, {"2", "alice", "b", false}, {"2", "bob", "a/b", false}, {"3", "alice", "a/b", true},
		{"gone", "alice", "a/b", false},
	} {
		if may(x.listener, x.user, x.name) != x.ok {
			t.Errorf("%+v", x)
		}
	}
	if g.Authorize(nil, broker.Publish, "x").Allow {
		t.Error("nobody may publish")
	}
}

// The acl_file is followed to the letter: the same answers as Mosquitto, not narrower ones.
func TestGuardACLExact(t *testing.T) {
	topics := names([]string{"a", "u", "c", "u-c"}, 3)
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	r := rand.New(rand.NewPCG(8, 3))
	for range rounds {
		text := randomACL(r)
		acl, _ := mosquitto.ReadACL("acl", strings.NewReader(text))
		g := mosquitto.NewGuard(setup(t, "listener 1\nallow_anonymous true\nacl_file /acl\n", mosquitto.Uploaded{"/acl": []byte(text)}), nil)
		for _, user := range []string{"u", "v", ""} {
			for _, client := range []string{"c", "d", "c+", "c#"} {
				id := &broker.Identity{User: user, ClientID: client, Listener: "1"}
				if d := g.Authorize(id, broker.Subscribe, "#"); !d.Allow || !d.Narrowed {
					t.Fatal("a SUBSCRIBE is refused")
				}
				for _, name := range topics {
					for action, bit := range map[broker.Action]mosquitto.Access{broker.Publish: mosquitto.Write, broker.Receive: mosquitto.Read} {
						if got, want := g.Authorize(id, action, name).Allow, oracleACL(acl, user, client, name, bit); got != want {
							t.Fatalf("%s\nuser %q client %q %s %s: %v, Mosquitto %v", text, user, client, action, name, got, want)
						}
					}
				}
			}
		}
	}
}

func TestGuardNobodyNamesHimselfIntoSys(t *testing.T) {
	g := mosquitto.NewGuard(setup(t, "listener 1\nallow_anonymous true\nacl_file /acl\n", mosquitto.Uploaded{"/acl": []byte("pattern read %c/#\n")}), nil)
	if g.Authorize(&broker.Identity{ClientID: "$SYS", Listener: "1"}, broker.Receive, "$SYS/broker/uptime").Allow {
		t.Error("a client named $SYS reads $SYS")
	}
}

func TestGuardReview(t *testing.T) {
	const conf = "listener 1\nallow_anonymous true\npassword_file /pw\n"
	g := mosquitto.NewGuard(setup(t, conf, mosquitto.Uploaded{"/pw": []byte(aliceAndBob)}), nil)
	alice, err := login(g, "1", "alice", "password", nil)
	if err != nil {
		t.Fatal(err)
	}
	bob, err := login(g, "1", "bob", "password", nil)
	if err != nil {
		t.Fatal(err)
	}
	none, err := login(g, "1", "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	before := g.Generation()
	line, _, _ := strings.Cut(aliceAndBob, "\n")
	g.Use(setup(t, "listener 1\npassword_file /pw\n", mosquitto.Uploaded{"/pw": []byte(line + "\n")}))
	if g.Generation() == before {
		t.Error("the rules have another generation")
	}
	for _, x := range []struct {
		id     *broker.Identity
		reason broker.Reason
	}{{alice, ""}, {bob, broker.UnknownUser}, {none, broker.AnonymousOff}} {
		if _, reason := g.Review(x.id); reason != x.reason {
			t.Errorf("%q: %q, want %q", x.id.User, reason, x.reason)
		}
	}
	other := strings.Replace(line, "$7$1000$", "$7$1001$", 1)
	g.Use(setup(t, conf, mosquitto.Uploaded{"/pw": []byte(other + "\n")}))
	if _, reason := g.Review(alice); reason != access.AccountChanged {
		t.Errorf("another password: %q", reason)
	}
}

// What an owner reads after SIGHUP: their own lines, and no secret.
func TestSetupChanges(t *testing.T) {
	const conf = "listener 1\nmax_connections 5\npassword_file /pw\nacl_file /acl\nconnection b\naddress h\ntopic #\nremote_password one\n"
	files := mosquitto.Uploaded{"/pw": []byte(aliceAndBob), "/acl": []byte("topic a\n")}
	old := setup(t, conf, files)
	if list := setup(t, conf, files).Changes(old); len(list) != 0 {
		t.Errorf("nothing changed: %q", list)
	}
	line, _, _ := strings.Cut(aliceAndBob, "\n")
	carol := strings.Replace(line, "alice", "carol", 1)
	now := setup(t, strings.NewReplacer("connections 5", "connections 6", "one", "two").Replace(conf), mosquitto.Uploaded{
		"/pw": []byte(strings.Replace(line, "1000", "1001", 1) + "\n" + carol + "\n"), "/acl": []byte("topic b\n"),
	})
	got := strings.Join(now.Changes(old), "\n")
	for _, want := range []string{
		"gone: listener 1: max_connections 5", "new: listener 1: max_connections 6", `/pw: new users "carol"`, `/pw: users gone: "bob"`,
		`/pw: new passwords of "alice"`, "/acl: the rights changed", "new: connection b: remote_password (",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "two") || strings.Contains(got, "$7$") {
		t.Errorf("a secret shows:\n%s", got)
	}
}

func TestEmptyDatabase(t *testing.T) {
	db, found := mosquitto.ReadDatabase("x", strings.NewReader(string(mosquitto.EmptyDatabase())))
	if len(found) > 0 || len(db.Messages)+len(db.Clients)+len(db.Retained) > 0 {
		t.Error(db, found)
	}
}
