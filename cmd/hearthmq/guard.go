package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"hearthmq/addon"
)

// Files of the guard in the data folder.
const (
	lastGoodName = "options.last-good.json" // the settings of the last start that went well
	startName    = "start.json"             // there while it is not known whether a start goes well
)

// A start went well when it lasted this long. The Supervisor gives up a process that
// ends too soon too often, and the house is then without a broker.
const startIsGood = time.Minute

// startGuard keeps a broker in Home Assistant's app running, where nobody looks at a
// terminal: settings that are wrong, or with which the last two starts ended within
// a minute, give way to those that worked before (cases D2, D7). nil outside the app:
// there wrong settings end the start.
type startGuard struct {
	file  string // the settings that an owner edits
	dir   string
	notes []string // for the log, once there is one
	other bool     // the settings are not those of file
}

func (a *application) guard() *startGuard {
	dir, err := a.folder()
	if err != nil || !addon.InApp(a.environ) {
		return nil
	}
	g := &startGuard{file: a.options, dir: dir}
	if g.file == "" {
		g.file = filepath.Join(dir, "options.json")
	}
	return g
}

// settings are those to start with: what Load made of the owner's, or others.
func (g *startGuard) settings(a *application) (*addon.Options, []string, error) {
	o, warnings, err := a.settings()
	if g == nil {
		return o, warnings, err
	}
	if _, wrong := errors.AsType[addon.Problems](err); err != nil && !wrong {
		return nil, nil, err
	}
	crashes := g.begin()
	if err == nil && crashes < 2 {
		return o, warnings, nil
	}
	load := func(file string) (*addon.Options, []string, error) {
		return addon.Load(addon.Source{File: file, Environ: a.environ, Folder: g.dir})
	}
	last, lastWarnings, lastErr := load(filepath.Join(g.dir, lastGoodName))
	if _, statErr := os.Stat(filepath.Join(g.dir, lastGoodName)); statErr != nil {
		lastErr = statErr
	}
	if err == nil {
		if lastErr != nil {
			return o, warnings, nil // there is nothing better
		}
		g.note(fmt.Sprintf("HearthMQ ended within a minute %d times: it starts with the last settings that worked. Change the settings to try others", crashes))
		g.other = true
		return last, lastWarnings, nil
	}
	g.note("the settings are wrong: " + strings.ReplaceAll(err.Error(), "\n", "; "))
	if lastErr == nil {
		g.note("HearthMQ starts with the last settings that worked")
		g.other = true
		return last, lastWarnings, nil
	}
	if last, lastWarnings, lastErr = load(""); lastErr != nil { // the environment is wrong, too
		return nil, nil, err
	}
	g.note("HearthMQ starts with the standard settings")
	g.other = true
	return last, lastWarnings, nil
}

func (g *startGuard) note(text string) { g.notes = append(g.notes, text) }

// tell logs what was done.
func (g *startGuard) tell(log *slog.Logger) {
	if g == nil {
		return
	}
	for _, n := range g.notes {
		log.Error(n)
	}
}

// startRecord is what stands in start.json.
type startRecord struct {
	Crashes  int    `json:"crashes"`  // starts in a row before this one that ended too soon
	Settings string `json:"settings"` // hash of the settings: other ones deserve another chance
}

// begin notes that a start was tried and returns how many before it ended too soon
// with these settings.
func (g *startGuard) begin() (crashes int) {
	path := filepath.Join(g.dir, startName)
	settings, _ := os.ReadFile(g.file) // what can't be read is like nothing
	hash := fmt.Sprintf("%x", sha256.Sum256(settings))
	var before startRecord
	if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &before) == nil && before.Settings == hash {
		crashes = before.Crashes + 1
	}
	text, err := json.Marshal(startRecord{Crashes: crashes, Settings: hash})
	if err == nil {
		err = os.MkdirAll(g.dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		g.note("can't note that HearthMQ starts: " + err.Error())
	}
	return crashes
}

// serve waits until the start has gone well, or ctx ends.
func (g *startGuard) serve(ctx context.Context, group *errgroup.Group, log *slog.Logger) {
	if g == nil {
		return
	}
	group.Go(func() error {
		timer := time.NewTimer(startIsGood)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
			g.good(log)
		}
		return nil
	})
}

// good keeps the settings as the last ones that worked. It is called when a start
// lasted, and at an end in order.
func (g *startGuard) good(log *slog.Logger) {
	if g == nil {
		return
	}
	if err := os.Remove(filepath.Join(g.dir, startName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("can't note that the start went well", "err", err)
	}
	if g.other {
		return
	}
	text, err := os.ReadFile(g.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = replaceFile(filepath.Join(g.dir, lastGoodName), text)
	}
	if err != nil {
		log.Warn("can't keep the settings for when others are wrong", "err", err)
	}
}

// replaceFile writes a file so that there is always a whole one. It is left alone
// when it says the same already.
func replaceFile(path string, text []byte) error {
	if now, err := os.ReadFile(path); err == nil && string(now) == string(text) {
		return nil
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
