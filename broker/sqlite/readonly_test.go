package sqlite_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/sqlite"
)

// TestReadOnlyFolder: a server can tell, and its users still log in.
func TestReadOnlyFolder(t *testing.T) { // case S7
	for _, c := range []struct {
		name string
		lock func(t *testing.T, dir string)
	}{
		{"file system", func(t *testing.T, dir string) {
			if out, err := osexec.CommandContext(t.Context(), "mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			t.Cleanup(func() {
				if out, err := osexec.CommandContext(context.Background(), "mount", "-o", "remount,rw", dir).CombinedOutput(); err != nil {
					t.Errorf("%v %s", err, out)
				}
			})
		}},
		{"rights", func(t *testing.T, dir string) {
			if os.Getuid() == 0 {
				t.Skip("root may write everywhere")
			}
			if err := os.Chmod(dir, 0o500); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(dir, 0o700) })
		}},
	} {
		for _, source := range []string{"accounts.json", "hearthmq.db", ""} {
			t.Run(c.name+" "+source, func(t *testing.T) {
				dir := t.TempDir()
				if c.name == "file system" {
					dir = tmpfs(t, "16m")
				}
				path := filepath.Join(dir, "hearthmq.db")
				furnish(t, path, 10)
				for _, name := range []string{"accounts.json", "hearthmq.db"} {
					if source != "" && name == source {
						break
					}
					if err := os.Remove(filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
				}
				c.lock(t, dir)
				log := slog.New(slog.DiscardHandler)
				if db, err := sqlite.OpenServer(t.Context(), path, log); !errors.Is(err, sqlite.ErrUnwritable) {
					if err == nil {
						closeAll(t, db)
					}
					t.Errorf("OpenServer: %v", err)
				}
				repo, from, err := sqlite.ReadOnlyAccounts(t.Context(), path, log)
				if (err == nil) != (source != "") || source != "" && filepath.Base(from) != source {
					t.Fatal(from, err)
				}
				d, err := repo.Load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if source == "" {
					if len(d.Users) != 0 {
						t.Error("users out of nowhere")
					}
					return
				}
				if len(d.Users) != 2 || len(d.Roles) != 1 || len(d.Roles[0].Rules) != 2 || d.Users[0].Hash != "hash of anna" || d.Users[0].Version != 3 || len(d.Users[0].Roles) != 1 {
					t.Errorf("%+v", d)
				}
				// What a server sets up at its start, it can set up here.
				directory := access.NewDirectory(access.Policy{Anonymous: "off"})
				if err := access.NewAccounts(repo, directory, nil, log).Open(t.Context()); err != nil {
					t.Error(err)
				}
				if _, ok := directory.User("lamp"); !ok {
					t.Error("a user is missing")
				}
			})
		}
	}
}
