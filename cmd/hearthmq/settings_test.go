package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/addon"
)

// topLevel returns the keys directly below a top-level key of config.yaml, in
// order, or the value that stands behind it.
func topLevel(text, key string) (keys []string, value string) {
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			inside, value = true, strings.Trim(v, ` "`)
			continue
		}
		if inside && line != "" && line[0] != ' ' {
			break
		}
		if m := regexp.MustCompile(`^  (\w+):`).FindStringSubmatch(line); inside && m != nil {
			keys = append(keys, m[1])
		}
	}
	return keys, value
}

func readRepositoryFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The app offers what the program takes, and shows the program's defaults.
func TestAppSchema(t *testing.T) {
	text := readRepositoryFile(t, "config.yaml")
	schema, _ := topLevel(text, "schema")
	slices.Sort(schema)
	want := slices.DeleteFunc(addon.Keys(), func(k string) bool { return k == "ingress_address" }) // not for owners
	if d := cmp.Diff(want, schema); d != "" {
		t.Errorf("config.yaml's schema (-keys of the program +schema)\n%s", d)
	}
	if _, v := topLevel(text, "version"); v != version {
		t.Errorf("config.yaml has version %s, the program %s", v, version)
	}
	if !strings.Contains(readRepositoryFile(t, "Dockerfile"), "BUILD_VERSION="+version+"\n") {
		t.Errorf("the Dockerfile does not default to version %s", version)
	}
	if !strings.Contains(readRepositoryFile(t, "CHANGELOG.md"), "\n## "+version+"\n") {
		t.Errorf("CHANGELOG.md says nothing of version %s", version)
	}
}

// The Store takes any file of these names for the description of an app, of its
// build or of a repository.
func TestReservedFileNames(t *testing.T) {
	reserved := regexp.MustCompile(`^(config|build|repository)\.(ya?ml|json)$`)
	allowed := []string{"build.yaml", "config.yaml", "repository.yaml"}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "node_modules", "data", "dist"}, d.Name()) {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(root, path)
		if err == nil && reserved.MatchString(d.Name()) && !slices.Contains(allowed, rel) {
			t.Errorf("%s has a name that the Store reads", rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Both ways to name the base image agree.
func TestBaseImage(t *testing.T) {
	m := regexp.MustCompile(`(?m)^ARG BUILD_FROM=(\S+)$`).FindStringSubmatch(readRepositoryFile(t, "Dockerfile"))
	if m == nil {
		t.Fatal("the Dockerfile has no BUILD_FROM")
	}
	build := readRepositoryFile(t, "build.yaml")
	for _, arch := range []string{"aarch64", "amd64"} {
		if !strings.Contains(build, "\n  "+arch+": "+m[1]+"\n") {
			t.Errorf("build.yaml does not name %s for %s", m[1], arch)
		}
	}
}

// The service of the app: s6 needs these files, two of them executable.
func TestService(t *testing.T) {
	dir := filepath.Join("..", "..", "rootfs", "etc", "s6-overlay", "s6-rc.d")
	for name, executable := range map[string]bool{
		"hearthmq/type": false, "hearthmq/run": true, "hearthmq/finish": true,
		"hearthmq/dependencies.d/base": false, "user/contents.d/hearthmq": false,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode().Perm()&0o111 != 0; got != executable {
			t.Errorf("%s: executable %v, want %v", name, got, executable)
		}
	}
	if got := readRepositoryFile(t, "rootfs/etc/s6-overlay/s6-rc.d/hearthmq/type"); got != "longrun\n" {
		t.Errorf("type %q", got)
	}
}

var updateDocs = flag.Bool("update-docs", false, "write the table of settings in DOCS.md")

// DOCS.md, --help and the admin's page say the same of each setting, from one table.
func TestSettingsAreDocumented(t *testing.T) {
	const start, end = "<!-- settings: go test ./cmd/hearthmq -run TestSettingsAreDocumented -update-docs writes this -->\n", "<!-- end of settings -->\n"
	text := readRepositoryFile(t, "DOCS.md")
	before, rest, ok := strings.Cut(text, start)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("DOCS.md lacks the marks around its table of settings")
	}
	want := before + start + addon.SettingsTable() + end + after
	if *updateDocs {
		if err := os.WriteFile(filepath.Join("..", "..", "DOCS.md"), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != text {
		t.Errorf("the table in DOCS.md is not that of addon/describe.go; -update-docs writes it (-want +have)\n%s", cmp.Diff(want, text))
	}
	var out strings.Builder
	if code := run(t.Context(), process{args: []string{"serve", "--help"}, stdout: &out, stderr: &out}); code != exitOK {
		t.Fatalf("serve --help: exit code %d", code)
	}
	for _, key := range addon.Keys() {
		if key != "ingress_address" && !strings.Contains(out.String(), key+" (") {
			t.Errorf("serve --help does not name %s:\n%s", key, out.String())
		}
	}
}
