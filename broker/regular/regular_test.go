//go:build unix

package regular_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hearthmq/broker/regular"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path("file"), []byte("text"), 0o600))
	must(os.WriteFile(path("empty"), nil, 0o600))
	must(os.WriteFile(path("huge"), nil, 0o600))
	must(os.Truncate(path("huge"), regular.Most+1)) // sparse
	must(os.Symlink("file", path("link")))
	must(os.Symlink("loop", path("loop")))
	must(os.Symlink("pipe", path("to a pipe")))
	must(os.Mkdir(path("folder"), 0o700))
	must(syscall.Mkfifo(path("pipe"), 0o600))
	for name, want := range map[string]string{
		"file": "", "link": "", "empty": "", "none": "no such file", "loop": "too many levels", "folder": "not a regular file", "huge": "larger than 64 MiB",
		"pipe": "not a regular file", "to a pipe": "not a regular file", "a\x00b": "invalid argument",
	} {
		text, err := regular.Read(path(name))
		switch {
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", name, err, want)
		case want == "" && (err != nil || string(text) != "text" && name != "empty"):
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if name == "none" && !errors.Is(err, fs.ErrNotExist) || want == "not a regular file" && !errors.Is(err, regular.ErrNot) {
			t.Errorf("%s: %v is of another kind", name, err)
		}
	}
	for _, device := range []string{"/dev/zero", os.DevNull} {
		if _, err := regular.Read(device); !errors.Is(err, regular.ErrNot) {
			t.Errorf("%s: %v", device, err)
		}
	}
}
