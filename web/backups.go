package web

import (
	"context"
	"io"
	"time"
)

// Backups copies the database and goes back to copies. cmd/hearthmq has one.
type Backups interface {
	// Make copies everything as it is at one moment. Closing the copy removes it.
	Make(ctx context.Context) (file io.ReadCloser, size int64, err error)
	// Check stores an uploaded backup and looks through it. What is wrong with it is an
	// access.Problems with the key file. key names it to Restore for a while.
	Check(ctx context.Context, from io.Reader) (key, contents string, err error)
	// Restore ends HearthMQ and starts it again with the checked backup. It returns at
	// once; access.ErrNotFound when the key is not that of the last one checked.
	Restore(key string) error
}

// makeBackup makes a copy in the name of ctx's person, and notes it: whoever has it
// can read everything.
func (s *Server) makeBackup(ctx context.Context) (io.ReadCloser, int64, error) {
	file, size, err := s.cfg.Backups.Make(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := s.cfg.Accounts.Note(ctx, "backup downloaded", "", "", ""); err != nil {
		_ = file.Close() // nobody gets it
		return nil, 0, err
	}
	return file, size, nil
}

// backupName is what a browser calls the file.
func backupName() string { return "hearthmq-" + time.Now().Format("2006-01-02-150405") + ".db" }
