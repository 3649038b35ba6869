package addon

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the app's page says of a setting: its default is the default, and every language
// has the same figures.
func TestTranslationsTellDefaults(t *testing.T) {
	english := described(t, "../translations/en.yaml")
	byDefault := regexp.MustCompile(`\b(\d+[A-Z]*)(, which counts)? unless set`)
	checked := 0
	for _, s := range Defaults(true).Describe() {
		m := byDefault.FindStringSubmatch(english[s.Key])
		if m == nil {
			continue
		}
		checked++
		if !strings.HasSuffix(fmt.Sprint(s.Default), m[1]) {
			t.Errorf("%s: %q, but the default is %v", s.Key, english[s.Key], s.Default)
		}
	}
	if checked < 10 {
		t.Errorf("only %d defaults were found", checked)
	}
	files, err := filepath.Glob("../translations/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	figure := regexp.MustCompile(`\d+(?:[.,:/]\d+)*`)
	figures := func(text string) []string {
		all := figure.FindAllString(text, -1)
		slices.Sort(all)
		return all
	}
	for _, file := range files {
		there := described(t, file)
		for key, text := range english {
			if want, got := figures(text), figures(there[key]); !slices.Equal(want, got) {
				t.Errorf("%s: %s: %q has the figures %v, in English %v", file, key, there[key], got, want)
			}
		}
	}
}

// described reads the descriptions of the settings.
func described(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all, key := make(map[string]string), ""
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ":")
		switch {
		case !ok:
		case strings.HasPrefix(name, "  ") && !strings.HasPrefix(name, "   "):
			key = strings.TrimSpace(name)
		case name == "    description":
			all[key] = value
		}
	}
	return all
}
