package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"hearthmq/broker/access"
)

// controlName is the socket in the data folder by which commands ask a running server
// what only it knows. Who may open it may read the database, too: it gives no further
// rights, and it changes nothing but when what was learnt is stored.
const controlName = "control.sock"

// controlTimeout is how long an answer may take.
const controlTimeout = 10 * time.Second

// serveControl answers commands until ctx ends. Without the socket the broker runs all
// the same: a folder may be one where none can be made.
func serveControl(ctx context.Context, group *errgroup.Group, dir string, e *access.Explainer, accounts *access.Accounts, log *slog.Logger) {
	path := filepath.Join(dir, controlName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a process that was killed: the folder's lock is ours
		log.Warn("commands can't ask this server", "err", err)
		return
	}
	ln, err := net.Listen("unix", path)
	if err == nil {
		if err = os.Chmod(path, 0o600); err != nil {
			err = errors.Join(err, ln.Close())
		}
	}
	if err != nil {
		log.Warn("commands can't ask this server", "err", err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /why", func(w http.ResponseWriter, r *http.Request) {
		answerControl(w, e.Why(r.URL.Query().Get("about")), log)
	})
	mux.HandleFunc("GET /denied", func(w http.ResponseWriter, _ *http.Request) {
		answerControl(w, deniedOf(e), log)
	})
	mux.HandleFunc("GET /elsewhere", func(w http.ResponseWriter, _ *http.Request) {
		answerControl(w, e.Directory.Elsewhere(), log)
	})
	mux.HandleFunc("GET /learned", func(w http.ResponseWriter, r *http.Request) {
		if err := accounts.KeepLearned(r.Context()); err != nil {
			log.Warn("a command does not see all that was learnt", "err", err)
		}
		answerControl(w, struct{}{}, log)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: controlTimeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	group.Go(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("%s: %w", controlName, err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
}

func answerControl(w http.ResponseWriter, v any, log *slog.Logger) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		log.Debug("a command went away", "err", err)
	}
}

// deniedLine is a denial with the rule that would allow it.
type deniedLine struct {
	access.Denial
	Reason   string // why, for people
	Proposal string // "": none
	Allowed  bool   // by now
}

func deniedOf(e *access.Explainer) []deniedLine {
	list := []deniedLine{}
	for _, n := range e.Denials.Recent() {
		line := deniedLine{Denial: n, Reason: e.Directory.Reason(n), Allowed: e.Directory.AllowedNow(n)}
		if p, ok := e.Directory.Proposal(n); ok {
			line.Proposal = p.Rule.String()
		}
		list = append(list, line)
	}
	return list
}

// settle has a server that runs store what it has learnt so far, which it does seldom by
// itself. Without one everything is stored.
func (a *application) settle(ctx context.Context) {
	_ = a.ask(ctx, "/learned", nil, new(struct{}))
}

// ask asks the server that runs with this data folder.
func (a *application) ask(ctx context.Context, path string, query url.Values, answer any) error {
	dir, err := a.folder()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, controlName))
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no server runs with the data in %s: %w", dir, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
