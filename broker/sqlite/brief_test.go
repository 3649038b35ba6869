package sqlite

import (
	"log/slog"
	"path/filepath"
	"testing"
)

// A database that goes with the process waits for no disk; one that stays does.
func TestOpenBrief(t *testing.T) {
	for _, tt := range []struct {
		open func(string) (*DB, error)
		want int
	}{
		{func(path string) (*DB, error) { return OpenBrief(t.Context(), path, slog.New(slog.DiscardHandler)) }, 0},
		{func(path string) (*DB, error) { return OpenServer(t.Context(), path, slog.New(slog.DiscardHandler)) }, 2},
	} {
		db, err := tt.open(filepath.Join(t.TempDir(), "hearthmq.db"))
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if err := db.writer.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&got); err != nil || got != tt.want {
			t.Errorf("synchronous %d, %v, want %d", got, err, tt.want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
