package main

import (
	"encoding/json"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the folder of the repository.
const root = "../.."

// Home Assistant's Store takes every config.* of a repository for an app, and the
// Supervisor every build.* and repository.* below it for its own: there are those three at
// the root, and no others.
func TestNamesOfHomeAssistant(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.IsDir() {
			switch name {
			case ".git", "data", "dist": // not in the repository
				return filepath.SkipDir
			}
			return nil
		}
		switch base := strings.ToLower(d.Name()); {
		case strings.HasPrefix(base, "config."), strings.HasPrefix(base, "build."), strings.HasPrefix(base, "repository."):
			found[name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.yaml", "build.yaml", "repository.yaml"} {
		if !found[name] {
			t.Errorf("%s is missing", name)
		}
		delete(found, name)
	}
	for name := range found {
		t.Errorf("%s has a name that Home Assistant looks for", name)
	}
}

// The linters of what is not Go have nothing to say.
func TestLinters(t *testing.T) {
	scripts := []string{".ci/run", "rootfs/etc/s6-overlay/s6-rc.d/hearthmq/run", "rootfs/etc/s6-overlay/s6-rc.d/hearthmq/finish"}
	more, err := filepath.Glob(root + "/scripts/*.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range more {
		scripts = append(scripts, "scripts/"+filepath.Base(name))
	}
	for tool, args := range map[string][]string{
		"shellcheck": scripts, "yamllint": {"--strict", "config.yaml", "build.yaml", "repository.yaml", "translations"},
	} {
		t.Run(tool, func(t *testing.T) {
			need(t, tool, have(tool))
			cmd := exec.CommandContext(t.Context(), tool, args...)
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

const dockerfileLint = "dockerfilelint@1.8.0"

// The linter of Dockerfiles is older than BuildKit: what it finds is what it does not
// know, and nothing else.
func TestDockerfileLint(t *testing.T) {
	dir := npmPackage(t, dockerfileLint)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "node_modules", ".bin", "dockerfilelint"), "-o", "json", "Dockerfile")
	cmd.Dir = root
	out, _ := cmd.Output() // the report tells
	var report struct {
		Files []struct {
			Issues []struct {
				Line, Content, Title string
			}
		}
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Files) != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, i := range report.Files[0].Issues {
		switch {
		case i.Title == "Base Image Missing Tag" && strings.Contains(i.Content, ":1.26-alpine"): // does not know --platform
		case i.Title == "Base Image Missing Tag" && strings.Contains(i.Content, "${BUILD_FROM}"): // nor arguments
		case i.Title == "Invalid Argument Format" && strings.Contains(i.Content, "--start-interval"): // nor that
		default:
			t.Errorf("line %s: %s: %s", i.Line, i.Title, i.Content)
		}
	}
}
