package ui

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// colours returns the --hm- colours that a block of tokens.css sets.
func colours(t *testing.T, css, start string) map[string]string {
	t.Helper()
	_, rest, ok := strings.Cut(css, start)
	if !ok {
		t.Fatalf("tokens.css has no %q", start)
	}
	block, _, _ := strings.Cut(rest, "}")
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(--hm-[\w-]+):\s*(#[0-9a-f]{6});`).FindAllStringSubmatch(block, -1) {
		found[m[1]] = m[2]
	}
	return found
}

func luminance(hex string) float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		if err != nil {
			return math.NaN()
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestContrast(t *testing.T) {
	b, err := os.ReadFile("static/css/20-tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	css := string(b)
	dark := colours(t, css, `:root[data-theme="dark"] {`)
	themes := map[string]map[string]string{
		"light": colours(t, css, ":root {"),
		"dark":  dark,
		"media": colours(t, css, `:root:not([data-theme="light"]) {`),
	}
	if fmt.Sprint(dark) != fmt.Sprint(themes["media"]) {
		t.Error("the two dark themes differ")
	}
	surfaces := []string{"--hm-page", "--hm-card", "--hm-sunken", "--hm-side"}
	pairs := [][2]string{
		{"--hm-on-button", "--hm-button"}, {"--hm-on-tint", "--hm-tint"}, {"--hm-text", "--hm-tint"},
		{"--hm-error", "--hm-error-tint"}, {"--hm-warning", "--hm-warning-tint"},
		{"--hm-success", "--hm-success-tint"}, {"--hm-info", "--hm-info-tint"},
	}
	for _, text := range []string{"--hm-text", "--hm-muted", "--hm-link", "--hm-error", "--hm-warning", "--hm-success", "--hm-info"} {
		for _, s := range surfaces {
			pairs = append(pairs, [2]string{text, s})
		}
	}
	for name, theme := range themes {
		for _, p := range pairs {
			if got := contrast(theme[p[0]], theme[p[1]]); !(got >= 4.5) {
				t.Errorf("%s: %s on %s has %.2f:1", name, p[0], p[1], got)
			}
		}
		for _, graphic := range []string{"--hm-primary", "--hm-outline"} { // shapes and borders of inputs
			if got := contrast(theme[graphic], theme["--hm-card"]); !(got >= 3) {
				t.Errorf("%s: %s on the card has %.2f:1", name, graphic, got)
			}
		}
	}
}

// TestNothingInline keeps out what the Content-Security-Policy would block and
// what could turn data into markup.
func TestNothingInline(t *testing.T) {
	templs, err := filepath.Glob("*.templ")
	if err != nil || len(templs) < 10 {
		t.Fatal(len(templs), err)
	}
	forbidden := map[string]*regexp.Regexp{
		"style attribute":    regexp.MustCompile(`\sstyle\s*=`),
		"event handler":      regexp.MustCompile(`\son[a-z]+\s*=`),
		"raw markup":         regexp.MustCompile(`templ\.(Raw|JSFuncCall|JSUnsafeFuncCall|ComponentScript|JSExpression)`),
		"css component":      regexp.MustCompile(`(?m)^\s*css\s+\w+\(`),
		"script component":   regexp.MustCompile(`(?m)^\s*script\s+\w+\(`),
		"style element":      regexp.MustCompile(`<style`),
		"inline script":      regexp.MustCompile(`<script>`),
		"URL outside Path":   regexp.MustCompile(`(href|src|action)="[^"#]`),
		"foreign address":    regexp.MustCompile(`(href|src|action)=[^>]*https?://`),
		"unchecked safe URL": regexp.MustCompile(`templ\.(URL|SafeURL)\(`),
	}
	for _, file := range templs {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for what, re := range forbidden {
			if m := re.Find(b); m != nil {
				t.Errorf("%s: %s: %q", file, what, m)
			}
		}
	}
	scripts, err := filepath.Glob("static/js/*.js")
	if err != nil || len(scripts) < 5 {
		t.Fatal(len(scripts), err)
	}
	sinks := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment|setTimeout\(['"]`)
	for _, file := range scripts {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if m := sinks.Find(b); m != nil {
			t.Errorf("%s: %q", file, m)
		}
	}
}

func TestTokensAreDefined(t *testing.T) {
	files, err := filepath.Glob("static/css/*.css")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	css := all.String()
	for _, m := range regexp.MustCompile(`var\((--hm-[\w-]+)`).FindAllStringSubmatch(css, -1) {
		if !strings.Contains(css, m[1]+":") {
			t.Errorf("%s is used and never set", m[1])
		}
	}
}

func TestAssetsKnowTheirModules(t *testing.T) {
	a, err := loadAssets(fstest.MapFS{
		"static/js/a.js":     {Data: []byte("import { x } from './b.js';\nimport './c.js';\n// import './d.js'\n")},
		"static/js/b.js":     {Data: []byte("export * from './c.js';\nimport { y } from './a.js';\n")},
		"static/js/c.js":     {Data: []byte("export const c = 1;\n")},
		"static/css/2.css":   {Data: []byte("b{}")},
		"static/css/1.css":   {Data: []byte("a{}")},
		"static/favicon.svg": {Data: []byte("<svg/>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(a.imports["js/a.js"]); got != "[js/b.js js/c.js js/a.js]" {
		t.Errorf("a.js needs %s", got)
	}
	if got := string(a.files[StyleSheet]); got != "a{}\nb{}\n" {
		t.Errorf("style sheet %q", got)
	}
	if got := strings.Join(preloads([]string{"theme"}), " "); got != "" {
		t.Errorf("theme preloads %q", got)
	}
}

func TestPaths(t *testing.T) {
	ctx := WithBase(context.Background(), "/api/hassio_ingress/x")
	if got := Path(ctx, "/users"); got != "/api/hassio_ingress/x/users" {
		t.Error(got)
	}
	if got := Path(context.Background(), "/"); got != "/" {
		t.Error(got)
	}
	if got := Asset(ctx, "js/app.js"); !regexp.MustCompile(`^/api/hassio_ingress/x/static/[0-9a-f]{16}/js/app\.js$`).MatchString(got) {
		t.Error(got)
	}
}

func TestWords(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for got, want := range map[string]string{
		Count(0):                          "0",
		Count(1234567):                    "1\u202f234\u202f567",
		Bytes(999):                        "999 B",
		Bytes(1500):                       "1.5 kB",
		Bytes(250_000_000):                "250 MB",
		Rate(0):                           "0",
		Rate(0.02):                        "<\u202f0.1",
		Rate(3.14):                        "3.1",
		Rate(12345):                       "12\u202f345",
		Span(59 * time.Second):            "59 s",
		Span(2*time.Hour + 5*time.Minute): "2 h 5 min",
		Span(76 * time.Hour):              "3 d 4 h",
		Ago(time.Time{}, now):             "never",
		Ago(now.Add(-3*time.Second), now): "just now",
		Ago(now.Add(-5*time.Minute), now): "5 min ago",
		Plural(1, "client", "clients"):    "1 client",
		Plural(0, "client", "clients"):    "0 clients",
		Sentence("a name is needed"):      "A name is needed.",
		Sentence("Already one."):          "Already one.",
		Sentence("élan"):                  "Élan.",
		Sentence(""):                      "",
		fmt.Sprint(safe(contrast("#000000", "#ffffff"))): "21",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func safe(f float64) int { return int(math.Round(f)) }
