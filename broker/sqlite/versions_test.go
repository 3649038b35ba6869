package sqlite_test

import (
	"os"
	osexec "os/exec"
	"strings"
	"testing"
)

// TestLibcVersion: modernc.org/sqlite is C translated for one version of
// modernc.org/libc, and is tested with that one alone. `go get` may leave another.
func TestLibcVersion(t *testing.T) {
	goTool, err := osexec.LookPath("go")
	if err != nil {
		t.Skip("no go command to ask")
	}
	ask := func(format, module string) string {
		out, err := osexec.CommandContext(t.Context(), goTool, "list", "-m", "-f", format, module).Output()
		if err != nil {
			t.Fatalf("go list -m %s: %v", module, err)
		}
		return strings.TrimSpace(string(out))
	}
	mod, err := os.ReadFile(ask("{{.GoMod}}", "modernc.org/sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	have := ask("{{.Version}}", "modernc.org/libc")
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require ")); len(f) >= 2 && f[0] == "modernc.org/libc" {
			if f[1] != have {
				t.Errorf("modernc.org/libc is %s; this modernc.org/sqlite wants %s", have, f[1])
			}
			return
		}
	}
	t.Error("modernc.org/sqlite does not say which modernc.org/libc it wants")
}
