package web

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// Backups copies the database and goes back to copies. cmd/hearthmq has one.
type Backups interface {
	// Make copies everything as it is at one moment. Closing the copy removes it.
	Make(ctx context.Context) (file io.ReadCloser, size int64, err error)
	// Check stores an uploaded backup and looks through it. What is wrong with it is an
	// access.Problems with the key file. key names it to Restore for a while.
	Check(ctx context.Context, from io.Reader) (key, contents string, err error)
	// Restore ends HearthMQ and starts it again with the checked backup, whose audit then
	// says that ctx's person wanted it. It returns at once; access.ErrNotFound when the key is not that of the last one checked.
	Restore(ctx context.Context, key string) error
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

// Bounds of an uploaded backup. Home Assistant's ingress takes less.
const (
	maxBackup    = 2 << 30
	backupTime   = 10 * time.Minute
	restorePath  = "/settings/restore"
	ingressLimit = "16 MB" // of Home Assistant, for what passes its ingress
)

func (p settings) backupRoutes(r chi.Router) {
	r.Get("/settings/backup", p.handle(p.backupPage))
	r.Post("/settings/backup", p.handle(p.downloadBackup))
	r.Post(restorePath, p.handle(p.upload))
	r.Post(restorePath+"/confirm", p.handle(p.restore))
}

func (p settings) backupPage(w http.ResponseWriter, r *http.Request) error {
	return p.backupView(w, r, http.StatusOK, ui.BackupView{})
}

func (p settings) backupView(w http.ResponseWriter, r *http.Request, status int, v ui.BackupView) error {
	if p.cfg.Backups == nil {
		v.Impossible = cmp.Or(p.cfg.NoBackups, "There is nothing to back up.")
	}
	if principalOf(r.Context()).embedded {
		v.Limit = ingressLimit
	}
	return p.render(w, r, status, ui.BackupPage(p.page(r, "forms"), v))
}

// downloadBackup is a POST: another site must not be able to make copies of secrets,
// even if it can't read them.
func (p settings) downloadBackup(w http.ResponseWriter, r *http.Request) error {
	if p.cfg.Backups == nil {
		return access.ErrNotFound
	}
	file, size, err := p.makeBackup(r.Context())
	if err != nil {
		return err
	}
	defer file.Close()
	p.log.Info("backup downloaded", "actor", access.Actor(r.Context()))
	attachment(w, backupName(), "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if _, err := io.Copy(w, file); err != nil {
		p.log.Debug("a backup was not fetched to its end", "err", err)
	}
	return nil
}

// upload takes a backup, looks through it and asks before it counts. The name that
// the file had is not looked at (case W19).
func (p settings) upload(w http.ResponseWriter, r *http.Request) error {
	if p.cfg.Backups == nil {
		return access.ErrNotFound
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return badRequest("upload: %v", err)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return p.backupView(w, r, http.StatusUnprocessableEntity, ui.BackupView{Problem: "choose a file"})
		}
		if err != nil {
			return uploadError(err)
		}
		if part.FormName() != "file" || part.FileName() == "" {
			continue
		}
		key, contents, err := p.cfg.Backups.Check(r.Context(), part)
		if problems := problemsOf(err); problems != nil {
			return p.backupView(w, r, http.StatusUnprocessableEntity, ui.BackupView{Problem: problems["file"]})
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return uploadError(err)
		}
		if err != nil {
			return err
		}
		return p.render(w, r, http.StatusOK, ui.ConfirmPage(p.page(r), ui.RestoreQuestion(key, contents), "/settings/backup"))
	}
}

// uploadError tells a body that is no whole form from what else can go wrong with it.
func uploadError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return badRequest("upload: %v", err)
}

// restore has HearthMQ start again with the backup that was uploaded.
func (p settings) restore(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	if err := p.restoreBackup(r.Context(), form.Get("key")); err != nil {
		return err
	}
	w.Header().Set("Refresh", "8; url="+string(ui.Path(r.Context(), "/")))
	return p.render(w, r, http.StatusOK, ui.RestoringPage(p.page(r)))
}

// restoreBackup has HearthMQ start again with a backup that was checked, in the name of
// ctx's person. The audit of the database that goes tells it; that of the one that comes
// is told at the next start.
func (s *Server) restoreBackup(ctx context.Context, key string) error {
	if s.cfg.Backups == nil {
		return access.ErrNotFound
	}
	if err := s.cfg.Backups.Restore(ctx, key); err != nil {
		return err
	}
	s.log.Warn("HearthMQ starts again with a backup", "actor", access.Actor(ctx))
	return s.cfg.Accounts.Note(context.WithoutCancel(ctx), "backup chosen to be restored", "", "", "")
}
