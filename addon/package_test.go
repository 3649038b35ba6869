package addon_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemPython is Debian's, whose packages come from apt.
const systemPython = "/usr/bin/python3"

// need skips a test whose program is not installed; in CI that is a failure.
func need(t *testing.T, what string, command ...string) {
	t.Helper()
	if exec.CommandContext(t.Context(), command[0], command[1:]...).Run() == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed, and CI runs every test: make deps", what)
	}
	t.Skipf("SKIPPED, NOT TESTED: %s is not installed: make deps", what)
}

// checkPackage returns what the checker says of the app's files in root.
func checkPackage(t *testing.T, root string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), systemPython, "testdata/check_app.py", root)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && stdout.Len() == 0 {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return stdout.String()
}

// The app's package is what the Supervisor, its Store and the linter demand.
func TestPackage(t *testing.T) {
	need(t, "python3-yaml", systemPython, "-c", "import yaml")
	if got := checkPackage(t, ".."); got != "" {
		t.Error(got)
	}
}

// The checker sees what is wrong.
func TestPackageChecker(t *testing.T) {
	need(t, "python3-yaml", systemPython, "-c", "import yaml")
	for _, tt := range []struct{ name, file, old, new, want string }{
		{"default", "config.yaml", "\ntimeout: 20\n", "\ntimeout: 10\n", "config.yaml: timeout says its default"},
		{"unknown key", "config.yaml", "\ninit: false\n", "\ninit: false\nhostnetwork: true\n", "config.yaml: hostnetwork is not known"},
		{"watchdog", "config.yaml", "\ninit: false\n", "\ninit: false\nwatchdog: tcp://[HOST]:1883\n", "config.yaml: watchdog is obsolete"},
		{"version is a number", "config.yaml", `version: "0.1.0"`, "version: 1.10", "config.yaml: version must be str"},
		{"cold with hooks", "config.yaml", "\nstartup: system\n", "\nstartup: system\nbackup: cold\n", "never run for a cold backup"},
		{"old architecture", "config.yaml", "  - amd64\n", "  - amd64\n  - armv7\n", "arch armv7 is not supported"},
		{"map of tomorrow", "config.yaml", "  - type: share\n", "  - type: app_config\n", "map app_config is not known"},
		{"undefined option", "config.yaml", "\n  log_level: info\n", "\n", "option log_level is neither optional nor has a default"},
		{"wrong default", "config.yaml", "\n  log_level: info\n", "\n  log_level: loud\n", "the default of log_level is not what its schema demands"},
		{"undefined list", "config.yaml", "list(mqtt|ws|mqtts|wss|unix)?", "list(mqtt|ws|mqtts|wss|unix)", "option anonymous_listeners is neither optional nor has a default"},
		{"unknown kind", "config.yaml", "unix_socket: str?", "unix_socket: path?", "option unix_socket has no kind"},
		{"less secure", "config.yaml", "\nhassio_api: true\n", "\nhassio_api: true\nhassio_role: manager\n", "the security rating is 7"},
		{"no profile", "apparmor.txt", "", "", "the security rating is 7"},
		{"two profiles", "apparmor.txt", "  profile hearthmq", "profile hearthmq", "one profile must start at the first column, not 2"},
		{"translation lacks an option", "translations/nl.yaml", "  log_level:\n", "  loglevel:\n", "translations/nl.yaml: log_level is missing"},
		{"translation lacks a field", "translations/fr.yaml", "      username:\n", "      user:\n", "translations/fr.yaml: logins: username is missing"},
		{"translation lacks a port", "translations/es.yaml", "  8884/tcp:", "  8885/tcp:", "translations/es.yaml: network: 8884/tcp is missing"},
		{"image for one machine only", "build.yaml", "  aarch64:", "  armv7:", "build.yaml: build_from must name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for _, name := range []string{
				"config.yaml", "build.yaml", "repository.yaml", "apparmor.txt", "Dockerfile", "README.md", "DOCS.md", "CHANGELOG.md", "icon.png", "logo.png",
				"translations/en.yaml", "translations/de.yaml", "translations/fr.yaml", "translations/es.yaml", "translations/nl.yaml",
			} {
				text, err := os.ReadFile(filepath.Join("..", name))
				if err != nil {
					t.Fatal(err)
				}
				if name == tt.file && tt.old == "" {
					continue
				}
				if name == tt.file {
					if !strings.Contains(string(text), tt.old) {
						t.Fatalf("%s has no %q", name, tt.old)
					}
					text = []byte(strings.Replace(string(text), tt.old, tt.new, 1))
				}
				if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(root, name), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := checkPackage(t, root); !strings.Contains(got, tt.want) {
				t.Errorf("%q lacks %q", got, tt.want)
			}
		})
	}
}

func TestAppArmorProfile(t *testing.T) {
	parser := "/usr/sbin/apparmor_parser"
	need(t, "apparmor", parser, "--version")
	if out, err := exec.CommandContext(t.Context(), parser, "-Q", "-K", "../apparmor.txt").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
