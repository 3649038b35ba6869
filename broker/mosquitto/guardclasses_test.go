package mosquitto_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/mosquitto"
)

// What was decided for one topic of a class holds for all of it: random files for two
// listeners, clients that turn up one after the other with all sorts of names, files that
// are reread, and for each topic the decisions that its class brought against those that
// Mosquitto makes.
func TestGuardClassesAgainstTheOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 5))
	everything := append(names([]string{"a", "b", "u", "c", "u-c"}, 3), "$SYS/a", "$SYS/u")
	rounds, shared := 120, 0
	if testing.Short() {
		rounds = 40
	}
	for range rounds {
		g := (*mosquitto.Guard)(nil)
		var acls map[string]*mosquitto.ACL
		var ids []*broker.Identity
		use := func() {
			files := mosquitto.Uploaded{"m.conf": []byte("per_listener_settings true\n")}
			acls = map[string]*mosquitto.ACL{}
			for _, port := range []string{"1883", "1884"} {
				text := randomACL(r)
				acls[port], _ = mosquitto.ReadACL("acl", strings.NewReader(text))
				files["acl"+port] = []byte(text)
				files["m.conf"] = fmt.Appendf(files["m.conf"], "listener %s\nallow_anonymous true\nacl_file acl%s\n", port, port)
			}
			s, found := mosquitto.NewSetup(t.Context(), files, mosquitto.SetupOptions{File: "m.conf"})
			if s == nil {
				t.Fatal(found)
			}
			if g == nil {
				g = mosquitto.NewGuard(s, nil)
			} else {
				g.Use(s)
			}
		}
		use()
		made := map[string][]bool{} // decisions of all that were there, by class
		for range 80 {
			if r.IntN(40) == 0 {
				use() // what was made before is out of date: see Generation
				clear(made)
			}
			if r.IntN(6) == 0 {
				ids = append(ids, &broker.Identity{
					User: []string{"u", "v", "w", "", "+", "u#"}[r.IntN(6)], ClientID: []string{"c", "d", "a/b", "+"}[r.IntN(4)],
					Listener: []string{"1883", "1884"}[r.IntN(2)],
				})
			}
			name := everything[r.IntN(len(everything))]
			before, ok := g.AppendClass(nil, name)
			if !ok {
				t.Fatal("no classes")
			}
			var asked, want []bool
			for _, id := range ids {
				asked = append(asked, g.Authorize(id, broker.Receive, name).Allow)
				want = append(want, oracleReceives(acls[id.Listener], id, name))
			}
			if remembered, ok := made[string(before)]; ok {
				if shared++; !slices.Equal(remembered, want[:len(remembered)]) {
					t.Fatalf("%s: its class says %v, want %v", name, remembered, want)
				}
			}
			if !slices.Equal(asked, want) {
				t.Fatalf("%s: %v, want %v", name, asked, want)
			}
			if after, _ := g.AppendClass(nil, name); string(after) == string(before) {
				made[string(before)] = asked
			}
		}
	}
	if shared < rounds*10 {
		t.Errorf("only %d topics of %d found their class made", shared, rounds*80)
	}
}

// oracleReceives is oracleACL for names with wildcards, too, for whom patterns don't hold.
func oracleReceives(acl *mosquitto.ACL, id *broker.Identity, name string) bool {
	if strings.ContainsAny(id.User+id.ClientID, "+#") {
		own := *acl
		own.Patterns = nil
		acl = &own
	}
	return oracleACL(acl, id.User, id.ClientID, name, mosquitto.Read)
}
