package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is HearthMQ's, the same as in config.yaml.
const version = "0.1.0"

type versionCommand struct{}

// Run prints version, commit and Go's version.
func (versionCommand) Run(app *application) error {
	_, err := fmt.Fprintf(app.stdout, "HearthMQ %s (%s, %s, %s/%s)\n", version, commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// commit names the sources that the binary was built from.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown commit"
	}
	text, changed := "unknown commit", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			text = "commit " + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	return text + changed
}
