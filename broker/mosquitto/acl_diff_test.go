package mosquitto_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/mosquitto"
)

const someHash = "$7$101$cXJ0eXVpb3Bhc2Q=$h0tqVxBwkB9rKAXukTtffzdbBQtNy1q5FBTDwSW4hucfjpqunBbxW10NVnRk7Cfh0lQndnOv2+k4wJavgz1JNw=="

// directory holds users with these rights, as HearthMQ would after the import.
func directory(tb testing.TB, roles []access.Role, anonymous []access.Rule, users map[string]mosquitto.Rights) *access.Directory {
	tb.Helper()
	d := access.NewDirectory(access.Policy{Anonymous: access.AnonymousRestricted})
	a := access.NewAccounts(access.NewMemoryRepository(), d, nil, nil)
	if err := a.Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	if err := a.ChangeRole(tb.Context(), access.RoleAnonymous, 0, "", anonymous); err != nil {
		tb.Fatalf("anonymous: %v", err)
	}
	for _, r := range roles {
		if err := a.CreateRole(tb.Context(), r.Name, "", r.Rules); err != nil {
			tb.Fatalf("role %s: %v", r.Name, err)
		}
	}
	for name, r := range users {
		if _, _, err := a.CreateUser(tb.Context(), access.NewUser{Name: name, Hash: someHash, Roles: r.Roles, Rules: r.Rules}); err != nil {
			tb.Fatalf("user %s: %v", name, err)
		}
	}
	return d
}

func aclDirectory(tb testing.TB, acl *mosquitto.ACL, names ...string) (*access.Directory, *mosquitto.ACLRights, map[string]mosquitto.Rights) {
	tb.Helper()
	rights := mosquitto.NewACLRights(acl)
	users := map[string]mosquitto.Rights{}
	for _, name := range names {
		users[name] = rights.Of(name)
	}
	var roles []access.Role
	if role, ok := rights.Role(); ok {
		roles = append(roles, role)
	}
	return directory(tb, roles, rights.Anonymous(), users), rights, users
}

// randomACL writes an acl_file of a few lines.
func randomACL(r *rand.Rand) string {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	filter := func(words ...string) string {
		n := 1 + r.IntN(3)
		levels := make([]string, n)
		for i := range levels {
			levels[i] = pick(words...)
		}
		if r.IntN(3) == 0 {
			levels[n-1] = "#"
		}
		return strings.Join(levels, "/")
	}
	var b strings.Builder
	for range 1 + r.IntN(8) {
		switch kind := pick("read ", "write ", "readwrite ", "", "deny ", "deny "); r.IntN(5) {
		case 0:
			fmt.Fprintf(&b, "user %s\n", pick("u", "v"))
		case 1, 2:
			fmt.Fprintf(&b, "topic %s%s\n", kind, filter("a", "b", "u", "c", "+"))
		default:
			fmt.Fprintf(&b, "pattern %s%s\n", kind, filter("a", "b", "%u", "%c", "+", "+", "%u-%c"))
		}
	}
	return b.String()
}

// The rights after the import are those that Mosquitto gives, by brute force; where
// they are not, they are fewer and a notice tells.
func TestACLSameEffect(t *testing.T) {
	topics := names([]string{"a", "u", "c", "u-c"}, 3)
	clients := []string{"c", "d"}
	rounds, narrower := 400, 0
	if testing.Short() {
		rounds = 60
	}
	r := rand.New(rand.NewPCG(8, 1))
	for range rounds {
		text := randomACL(r)
		acl, found := mosquitto.ReadACL("acl", strings.NewReader(text))
		if mosquitto.Worst(found) == mosquitto.Broken {
			t.Fatalf("%s\n%v", text, found)
		}
		d, rights, users := aclDirectory(t, acl, "u", "v", "w")
		for _, user := range []string{"u", "v", "w", ""} {
			lost := false
			for _, client := range clients {
				for _, name := range topics {
					for action, bit := range map[broker.Action]mosquitto.Access{broker.Publish: mosquitto.Write, broker.Receive: mosquitto.Read} {
						want := oracleACL(acl, user, client, name, bit)
						got := d.Check(access.Question{User: user, ClientID: client, Action: action, Name: name}).Allow
						switch {
						case got && !want:
							t.Fatalf("%s\nuser %q client %q may %s %s, and may not with Mosquitto: %+v", text, user, client, action, name, users[user])
						case want && !got:
							lost = true
							if user != "" && !users[user].Narrower {
								t.Fatalf("%s\nuser %q client %q may not %s %s, and no notice says so: %+v", text, user, client, action, name, users[user])
							}
						}
					}
				}
			}
			if lost {
				narrower++
				if len(rights.Notices()) < 3 { // two are always there
					t.Fatalf("%s\nno notice for user %q: %v", text, user, rights.Notices())
				}
			}
		}
	}
	t.Logf("%d files, %d of %d users may do less and were told so", rounds, narrower, 4*rounds)
	if narrower > rounds/4 {
		t.Errorf("%d users may do less", narrower)
	}
}
