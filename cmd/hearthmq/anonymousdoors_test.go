package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/sqlite"
)

// nobodysRights is what a client without a user name meets in each version of MQTT: the
// role anonymous says open/# and by/%c/#, and nothing that is named %u is anybody's.
var nobodysRights = []struct {
	version  string
	connect  string   // as "anna"
	messages []string // after it
	answers  []string // to them, and the CONNACK's first
	refused  string   // the CONNACK of a door that is shut
}{
	{
		"3.1", `10{"MQIsdp" 03 02 003c "anna"}`,
		[]string{`82{0001 "open/#" 00}`, `82{0002 "of/roger/#" 00}`, `82{0003 "of/anonymous/#" 00}`, `82{0004 "of/anna/#" 00}`, `82{0005 "by/anna/#" 00}`, `82{0006 "by/roger/#" 00}`, `82{0007 "secret/#" 00}`},
		[]string{"20020000", "9003000100", "9003000280", "9003000380", "9003000480", "9003000500", "9003000680", "9003000780"}, "20020005",
	},
	{
		"3.1.1", `C4("anna")`,
		[]string{`82{0001 "open/#" 00}`, `82{0002 "of/roger/#" 00}`, `82{0003 "of/anonymous/#" 00}`, `82{0004 "of/anna/#" 00}`, `82{0005 "by/anna/#" 00}`, `82{0006 "by/roger/#" 00}`, `82{0007 "secret/#" 00}`},
		[]string{"20020000", "9003000100", "9003000280", "9003000380", "9003000480", "9003000500", "9003000680", "9003000780"}, "20020005",
	},
	{
		"5", `C5({} "anna")`,
		[]string{`32{"open/x" 0001 {} 'x'}`, `32{"of/roger/x" 0001 {} 'x'}`, `32{"of/anonymous/x" 0001 {} 'x'}`, `32{"of//x" 0001 {} 'x'}`, `32{"by/anna/x" 0001 {} 'x'}`, `32{"by/roger/x" 0001 {} 'x'}`, `32{"secret/x" 0001 {} 'x'}`},
		[]string{"", "40020001", "87", "87", "87", "40020001", "87", "87"}, "87",
	},
}

// case A21, case A15: with our own settings as well, who has no user name gets in by the
// listeners of anonymous_listeners alone, in each version of MQTT, as nobody but itself. That
// certificates are there, or that a port serves two sorts, opens nothing.
func TestAnonymousListeners(t *testing.T) {
	h := newHouse(t)
	h.issue("server")
	for _, tt := range []struct {
		name, mode string
		open       []string // nil: the setting is not there
		one        bool     // one port for MQTT and WebSocket each
	}{
		{"off", access.AnonymousOff, []string{}, false},
		{"not set", access.AnonymousRestricted, nil, false},
		{"mqtt, the standard one", access.AnonymousRestricted, []string{"mqtt"}, false},
		{"ws on the port of mqtt", access.AnonymousRestricted, []string{"ws"}, true},
		{"unix and wss", access.AnonymousRestricted, []string{"unix", "wss"}, false},
		{"mqtts on the port of wss", access.AnonymousRestricted, []string{"mqtts"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "hm") //nolint:usetesting // t.TempDir may be too long for a socket's path
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			ports := freePorts(t, 4)
			if tt.one {
				ports[1], ports[3] = ports[0], ports[2]
			}
			o := options{"anonymous": tt.mode, "unix_socket": "s", "certfile": h.path("server.pem"), "keyfile": h.path("server.key")}
			if tt.open != nil {
				o["anonymous_listeners"] = tt.open
			}
			doors := []entrance{{name: "unix", at: "0 s"}}
			for i, name := range []string{"mqtt", "ws", "mqtts", "wss"} {
				o[name+"_address"] = net.JoinHostPort("127.0.0.1", ports[i])
				doors = append(doors, entrance{name: name, at: ports[i], tls: i > 1, web: i%2 == 1})
			}
			password := nobodysHouse(t, dir)
			startIn(t, dir, o)
			if got := doors[0].knock(t, dir, say(t, fmt.Sprintf(`10{"MQTT" 04 c0 003c "rogers" "roger" "%s"}`, password))); !slices.Equal(got, []string{"20020000"}) {
				t.Fatalf("roger: %s", got)
			}
			opens := func(e entrance) bool { return tt.open == nil || slices.Contains(tt.open, e.name) }
			// Those that are shut come last: a refusal that a login followed is forgotten.
			slices.SortStableFunc(doors, func(a, b entrance) int {
				return cmp.Compare(strconv.FormatBool(opens(b)), strconv.FormatBool(opens(a)))
			})
			for _, door := range doors {
				name, open := door.name, opens(door)
				for _, v := range nobodysRights {
					messages := [][]byte{say(t, v.connect)}
					for _, m := range v.messages {
						messages = append(messages, say(t, m))
					}
					got, want := door.knock(t, dir, messages...), v.answers
					if !open {
						want = []string{v.refused}
					}
					for i := range got {
						if v.version == "5" { // its properties are the broker's business
							got[i] = briefly(got[i])
						}
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s, MQTT %s: %q, want %q", name, v.version, got, want)
					}
				}
				// A name has to be proven by every door, and without one nobody has another's session.
				if got := door.knock(t, dir, say(t, `10{"MQTT" 04 82 003c "anna" "roger"}`)); !slices.Equal(got, []string{"20020005"}) && !slices.Equal(got, []string{"20020004"}) {
					t.Errorf("%s, a name without a password: %s", name, got)
				}
				if got := door.knock(t, dir, say(t, `C4k("rogers")`)); len(got) != 1 || got[0] == "20020000" || got[0] == "20020100" {
					t.Errorf("%s, another's session: %s", name, got)
				}
			}
			text := func(e entrance) string {
				if tt.mode == access.AnonymousOff {
					return "anonymous access is off"
				}
				return fmt.Sprintf("anonymous access is off: it came by %s, and anonymous_listeners has %s alone", e.name, strings.Join(tt.open, ", "))
			}
			if last := doors[len(doors)-1]; !opens(last) {
				if got := command(t, dir, "", "why", "anna"); !strings.Contains(got.stdout, text(last)+".") {
					t.Errorf("why: %s", got.stdout)
				}
			}
			for _, door := range []entrance{doors[0], doors[len(doors)-1]} {
				got := command(t, dir, "", "acl", "check", "", "publish", "open/x", "--listener", door.name)
				if opens(door) != (got.code == 0) || !opens(door) && !strings.Contains(got.stdout, text(door)) {
					t.Errorf("acl check by %s: %d, %s", door.name, got.code, got.stdout)
				}
			}
		})
	}
}

// briefly is what an answer of MQTT 5 comes to: a CONNACK that lets in is "", and one that
// does not is its code, as a PUBACK's is.
func briefly(answer string) string {
	switch {
	case strings.HasPrefix(answer, "20") && answer[6:8] == "00":
		return ""
	case strings.HasPrefix(answer, "20"):
		return answer[6:8]
	case strings.HasPrefix(answer, "40") && len(answer) > 8:
		if code := answer[8:10]; code >= "80" {
			return code
		}
		return "40020001" // nobody has subscribed, or somebody has
	}
	return answer
}

// nobodysHouse has three users who may do everything, two of them with the names of the role
// and of the client identifier, and the role anonymous with rights. It returns a password.
func nobodysHouse(t *testing.T, dir string) (roger string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, databaseName), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	accounts := access.NewAccounts(db.Accounts(), access.NewDirectory(access.Policy{}), nil, nil)
	err = accounts.Open(t.Context())
	password := ""
	for _, name := range []string{"roger", "anna", access.RoleAnonymous} {
		if err == nil {
			_, password, err = accounts.CreateUser(t.Context(), access.NewUser{Name: name, Generate: true, Roles: []string{access.RoleEverything}})
		}
		if name == "roger" {
			roger = password
		}
	}
	if err == nil {
		var rules []access.Rule
		for _, filter := range []string{"open/#", "by/%c/#", "of/%u/#"} {
			rules = append(rules, access.NewRule(access.Allow, access.ScopeBoth, filter))
		}
		err = accounts.AddRules(t.Context(), "", rules)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return roger
}

// case A15: with a mosquitto.conf, too, what is said of the standard listener counts for it,
// the only one there is, and a certificate opens nothing to who has no user name.
func TestStandInStandardListener(t *testing.T) {
	h := newHouse(t)
	h.issue("server")
	certified := fmt.Sprintf("certfile %s\nkeyfile %s\n", h.path("server.pem"), h.path("server.key"))
	for _, tt := range []struct {
		name, conf string
		doors      []entrance // of @1 and @2
		open       []bool
	}{
		{"open", "per_listener_settings true\nport @1\nallow_anonymous true\n", []entrance{{}}, []bool{true}},
		{"shut", "per_listener_settings true\nport @1\nallow_anonymous false\n", []entrance{{}}, []bool{false}},
		{"nothing said", "per_listener_settings true\nport @1\n", []entrance{{}}, []bool{false}},
		{"a certificate for the standard one", "port @1\n" + certified, []entrance{{tls: true}}, []bool{false}},
		{"and per listener", "per_listener_settings true\nport @1\n" + certified, []entrance{{tls: true}}, []bool{false}},
		{"TLS beside the open standard one", "per_listener_settings true\nport @1\nallow_anonymous true\nlistener @2\n" + certified, []entrance{{}, {tls: true}}, []bool{true, false}},
		{"TLS open beside the shut standard one", "per_listener_settings true\nport @1\nlistener @2\nallow_anonymous true\n" + certified, []entrance{{}, {tls: true}}, []bool{false, true}},
		{"TLS alone", "listener @1\n" + certified, []entrance{{tls: true}}, []bool{false}},
		{"certificates asked for", "listener @1\n" + certified + "cafile " + h.path("ca.pem") + "\nrequire_certificate false\n", []entrance{{tls: true}}, []bool{false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			s.up(tt.conf + "user root\n")
			for i, door := range tt.doors {
				door.at = s.ports[i]
				for version, connect := range map[string]string{"3.1": `10{"MQIsdp" 03 02 003c "anna"}`, "3.1.1": `C4("anna")`, "5": `C5({} "anna")`} {
					got := door.knock(t, s.dir, say(t, connect))
					if len(got) != 1 || (got[0][6:8] == "00") != tt.open[i] {
						t.Errorf("door %d, MQTT %s: %s, open %v", i+1, version, got, tt.open[i])
					}
				}
			}
			s.stop(t)
		})
	}
}
