package mosquitto

import (
	"fmt"
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// secretSeed keeps what stands for secrets in the log from telling anything of them: with
// another process's it is another.
var secretSeed = maphash.MakeSeed()

// shown is a setting for people, with the listener or bridge that it belongs to. What
// may be a secret is replaced by what tells two of them apart.
func (r *confReader) shown(keyword, rest string) string {
	rest = strings.Trim(rest, " \t")
	if strings.Contains(keyword, "pass") && keyword != "password_file" || strings.Contains(keyword, "psk") ||
		strings.HasPrefix(keyword, "plugin_opt_") || strings.HasPrefix(keyword, "auth_opt_") {
		rest = fmt.Sprintf("(%06x)", maphash.String(secretSeed, rest)&0xffffff)
	}
	name, _, _ := strings.Cut(keyword, "\t") // what an option's name ends with may be its value
	line := name + " " + rest
	switch {
	case keyword == "listener" || keyword == "connection":
	case r.bridge >= 0 && r.table[keyword].scope == ofBridge:
		line = "connection " + r.b().Name + ": " + line
	case r.listener >= 0 && r.table[keyword].scope != global:
		line = "listener " + r.l().Name() + ": " + line
	}
	return line
}

// Changes lists in words what differs from an older Setup.
func (s *Setup) Changes(old *Setup) []string {
	var list []string
	for _, l := range missing(old.Conf.lines, s.Conf.lines) {
		list = append(list, "gone: "+l)
	}
	for _, l := range missing(s.Conf.lines, old.Conf.lines) {
		list = append(list, "new: "+l)
	}
	for name, now := range s.read {
		if before := old.read[name]; before != nil {
			list = append(list, now.changes(name, before)...)
		}
	}
	return list
}

// missing returns the entries of a that b has not as often.
func missing(a, b []string) []string {
	count := map[string]int{}
	for _, x := range b {
		count[x]++
	}
	var list []string
	for _, x := range a {
		if count[x]--; count[x] < 0 {
			list = append(list, x)
		}
	}
	return list
}

// readFile is what was read of a file of users or of rights.
type readFile struct {
	marks map[string]uint64
	acl   *aclTable
}

func (f *readFile) changes(name string, old *readFile) []string {
	var added, gone, changed []string
	for _, user := range slices.Sorted(maps.Keys(f.marks)) {
		switch before := old.marks[user]; {
		case before == 0:
			added = append(added, user)
		case before != f.marks[user]:
			changed = append(changed, user)
		}
	}
	for _, user := range slices.Sorted(maps.Keys(old.marks)) {
		if f.marks[user] == 0 {
			gone = append(gone, user)
		}
	}
	var list []string
	say := func(what string, users []string) {
		if len(users) > 0 {
			list = append(list, fmt.Sprintf("%s: %s %s", name, what, some(users)))
		}
	}
	say("new users", added)
	say("users gone:", gone)
	say("new passwords of", changed)
	if f.acl != nil && old.acl != nil && !reflect.DeepEqual(f.acl, old.acl) {
		list = append(list, name+": the rights changed")
	}
	return list
}
