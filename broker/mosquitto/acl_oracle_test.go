package mosquitto_test

import (
	"strings"

	"hearthmq/broker/mosquitto"
)

// oracleMatch is topic matching written down once more, level by level.
func oracleMatch(filter, name string) bool {
	if (name[0] == '$') != (filter[0] == '$') {
		return false
	}
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	for i := range f {
		if f[i] == "#" {
			return len(n) >= i
		}
		if i >= len(n) || f[i] != "+" && f[i] != n[i] {
			return false
		}
	}
	return len(f) == len(n)
}

// oracleACL answers as Mosquitto does: the user's rules, the denies among them first,
// then the patterns likewise; the first that matches and speaks of the access decides.
func oracleACL(acl *mosquitto.ACL, user, client, name string, bit mosquitto.Access) bool {
	own := acl.Anonymous
	if user != "" {
		own = nil
		for _, u := range acl.Users {
			if u.Name == user {
				own = u.Rules
			}
		}
	}
	if len(own) == 0 && len(acl.Patterns) == 0 {
		return false
	}
	try := func(rules []mosquitto.ACLRule, pattern bool) (allow, decided bool) {
		for _, denies := range []bool{true, false} {
			for _, r := range rules {
				if (r.Access == mosquitto.DenyAll) != denies {
					continue
				}
				filter := r.Filter
				if pattern {
					if strings.Contains(filter, "%u") && user == "" {
						continue
					}
					filter = strings.NewReplacer("%u", user, "%c", client).Replace(filter)
				}
				if !oracleMatch(filter, name) {
					continue
				}
				if denies {
					return false, true
				}
				if r.Access&bit != 0 {
					return true, true
				}
			}
		}
		return false, false
	}
	if allow, decided := try(own, false); decided {
		return allow
	}
	if strings.ContainsAny(user+client, "+#") && len(acl.Patterns) > 0 {
		return false
	}
	allow, _ := try(acl.Patterns, true)
	return allow
}

// names returns all Topic Names of up to depth levels over the words.
func names(words []string, depth int) []string {
	var all []string
	last := []string{""}
	for d := range depth {
		var next []string
		for _, prefix := range last {
			for _, w := range words {
				name := w
				if d > 0 {
					name = prefix + "/" + w
				}
				next = append(next, name)
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}
