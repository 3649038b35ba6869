package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// importRule is one row of the table of who may import whom. Names of ours
// stand without "hearthmq/"; a name stands for the packages below it too.
type importRule struct {
	pkg string
	// ours are the packages of ours that it may import directly, those below it aside.
	ours []string
	// others are the packages from outside the standard library that it may
	// import directly; nil: any.
	others []string
	// never are packages that it must not depend on, through others either.
	never []string
}

// The longest name that fits a package decides.
var importTable = []importRule{
	{pkg: "broker/packet", others: []string{}},
	{pkg: "broker/topic", others: []string{}},
	{
		pkg: "broker", ours: []string{"broker/packet", "broker/topic"}, others: []string{"golang.org/x/time/rate"},
		never: []string{"database/sql", "net/http", "addon", "web", "ui", "broker/access", "broker/feed", "broker/listen", "broker/sqlite"},
	},
	{pkg: "broker/forwarded", others: []string{}},
	{pkg: "broker/regular", others: []string{}},
	{pkg: "broker/listen", ours: []string{"broker/forwarded", "broker/regular"}, others: []string{"github.com/gorilla/websocket"}},
	{
		pkg: "broker/access", ours: []string{"broker", "broker/packet", "broker/topic", "broker/regular"},
		never: []string{"database/sql", "net/http", "web", "addon"},
	},
	{
		pkg: "broker/feed", ours: []string{"broker", "broker/packet", "broker/topic", "broker/feed/payload"},
		never: []string{"database/sql", "net/http", "web"},
	},
	{pkg: "broker/feed/payload", never: []string{"database/sql", "net/http", "broker"}},
	{
		pkg: "broker/bridge", ours: []string{"broker", "broker/packet", "broker/topic", "broker/regular", "outbound"}, others: []string{},
		never: []string{"database/sql", "net/http", "web", "addon", "broker/sqlite"},
	},
	{
		pkg: "broker/mosquitto", ours: []string{"broker", "broker/packet", "broker/topic", "broker/access", "broker/bridge", "broker/listen", "broker/regular"},
		never: []string{"database/sql", "net/http", "web", "addon", "broker/sqlite"},
	},
	{
		pkg: "broker/sqlite", ours: []string{"broker", "broker/packet", "broker/topic", "broker/access", "broker/bridge", "broker/feed", "broker/mosquitto", "migrations"},
		never: []string{"web", "addon"},
	},
	{
		pkg: "broker/control", ours: []string{"broker", "broker/access", "broker/topic"}, others: []string{},
		never: []string{"database/sql", "net/http", "web", "addon", "broker/sqlite"},
	},
	{
		pkg: "broker/dynsec", ours: []string{"broker", "broker/access", "broker/topic", "broker/regular"}, others: []string{},
		never: []string{"database/sql", "net/http", "web", "addon", "broker/sqlite"},
	},
	{pkg: "broker/scram", others: []string{}},
	{pkg: "broker/crashtest"}, // test code alone
	{pkg: "broker/difftest"},  // test code alone
	{pkg: "broker/brokertest", ours: []string{"broker", "broker/packet", "broker/topic"}},
	{pkg: "outbound", others: []string{}, never: []string{"net/http"}},
	{pkg: "nodered", ours: []string{"outbound"}, others: []string{}},
	{pkg: "ui", others: []string{"github.com/a-h/templ"}},
	{
		pkg: "web", ours: []string{"broker", "broker/packet", "broker/topic", "broker/access", "broker/bridge", "broker/feed", "broker/feed/payload", "broker/forwarded", "broker/mosquitto", "nodered", "outbound", "ui"},
		never: []string{"broker/sqlite", "addon", "modernc.org"},
	},
	{
		pkg: "addon", ours: []string{"broker", "broker/access", "broker/listen", "broker/regular", "broker/topic"},
		never: []string{"web", "ui", "broker/sqlite"},
	},
	{pkg: "migrations", others: []string{}},
	{pkg: "cmd/hearthmq"}, // all of ours
}

const module = "hearthmq/"

func TestImports(t *testing.T) {
	for _, p := range goList(t) {
		name, ok := strings.CutPrefix(p.ImportPath, module)
		if !ok {
			continue
		}
		rule, ok := ruleFor(name)
		if !ok {
			if !strings.HasPrefix(name, "internal_deps") {
				t.Errorf("%s stands in no row of the import table", name)
			}
			continue
		}
		rule.check(t, name, p)
	}
}

func (r importRule) check(t *testing.T, name string, p listed) {
	for _, imp := range p.Imports {
		own, ours := strings.CutPrefix(imp, module)
		everything := r.pkg == "cmd/hearthmq"
		switch {
		case ours && !everything && own != r.pkg && !strings.HasPrefix(own, name+"/") && !slices.Contains(r.ours, own):
			t.Errorf("%s imports %s: the table allows %v", name, own, r.ours)
		case !ours && r.others != nil && strings.Contains(firstElement(imp), ".") && !below(imp, r.others):
			t.Errorf("%s imports %s: the table allows %v", name, imp, r.others)
		}
	}
	for _, dep := range p.Deps {
		own := strings.TrimPrefix(dep, module)
		if exactlyOrBelow(own, r.never) {
			t.Errorf("%s depends on %s, which it never may", name, own)
		}
	}
}

func below(name string, list []string) bool {
	return slices.ContainsFunc(list, func(l string) bool { return name == l || strings.HasPrefix(name, l+"/") })
}

// exactlyOrBelow is below, but "broker" alone does not mean all that lies in its folder.
func exactlyOrBelow(name string, list []string) bool {
	return slices.ContainsFunc(list, func(l string) bool {
		return name == l || l != "broker" && strings.HasPrefix(name, l+"/")
	})
}

func firstElement(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

func ruleFor(name string) (importRule, bool) {
	var best importRule
	for _, r := range importTable {
		if (name == r.pkg || strings.HasPrefix(name, r.pkg+"/")) && len(r.pkg) > len(best.pkg) {
			best = r
		}
	}
	return best, best.pkg != ""
}

// listed is what go list says of a package, its tests left out.
type listed struct {
	ImportPath    string
	Imports, Deps []string
}

func goList(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "-e", "hearthmq/...")
	out, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, e.Stderr)
		}
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("go list named no package")
	}
	return all
}
