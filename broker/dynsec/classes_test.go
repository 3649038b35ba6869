package dynsec_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"hearthmq/broker"
)

// What was decided for one topic of a class holds for all of it: random roles, clients that
// turn up one after the other with all sorts of names, and for each topic the decisions that
// its class brought against those for it alone.
func TestClassesHold(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 17))
	words := []string{"a", "b", "u", "c", "$CONTROL", "$CONTROLS"}
	level := func(more ...string) string { all := append(more, words[:4]...); return all[r.IntN(len(all))] }
	rounds, shared := 60, 0
	for range rounds {
		var roles, held []string
		for i := range 3 {
			var acls []string
			for range 1 + r.IntN(4) {
				topic := level("+", "%u", "%c", "$CONTROL") + "/" + level("+", "#", "%c", "%u")
				acls = append(acls, fmt.Sprintf(`{"acltype":"publishClientReceive","topic":"%s","allow":%t}`, topic, r.IntN(2) == 0))
			}
			roles = append(roles, fmt.Sprintf(`{"rolename":"r%d","acls":[%s]}`, i, strings.Join(acls, ",")))
			held = append(held, fmt.Sprintf(`{"rolename":"r%d","priority":%d}`, i, r.IntN(3)))
		}
		e := open(t, "", fmt.Sprintf(`{"defaultACLAccess":{"publishClientReceive":%t},"roles":[%s],"anonymousGroup":"g",
			"groups":[{"groupname":"g","roles":[%s]}],
			"clients":[{"username":"u","roles":[%s,%s]},{"username":"v","roles":[%s]},{"username":"plain"}]}`,
			r.IntN(2) == 0, strings.Join(roles, ","), held[2], held[0], held[1], held[2]))
		var ids []*broker.Identity
		made := map[string][]bool{}
		for range 80 {
			if r.IntN(6) == 0 {
				ids = append(ids, &broker.Identity{User: []string{"u", "v", "plain", "nobody", ""}[r.IntN(5)], ClientID: []string{"c", "d", "a/b", "+", "#"}[r.IntN(5)]})
			}
			name := words[r.IntN(len(words))] + "/" + level()
			if r.IntN(4) == 0 {
				name += "/" + level()
			}
			before, ok := e.AppendClass(nil, name)
			if !ok {
				t.Fatal("no classes")
			}
			var asked []bool
			for _, id := range ids {
				asked = append(asked, e.Authorize(id, broker.Receive, name).Allow)
			}
			if remembered, ok := made[string(before)]; ok {
				if shared++; !slices.Equal(remembered, asked[:len(remembered)]) {
					t.Fatalf("%s: its class says %v, want %v", name, remembered, asked)
				}
			}
			if after, _ := e.AppendClass(nil, name); string(after) == string(before) {
				made[string(before)] = asked
			}
		}
	}
	if shared < rounds*10 {
		t.Errorf("only %d topics of %d found their class made", shared, rounds*80)
	}
}
