package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed static
var staticFiles embed.FS

// assets are the embedded files as they are served. Immutable.
type assets struct {
	version string // hex, of all names and contents
	files   map[string][]byte
	imports map[string][]string // module → every module that it needs, in load order
}

// bundle prepares the embedded files at the first request for one. What is
// embedded can only be wrong in the source, so a failure is a panic that the
// first test meets.
var bundle = sync.OnceValue(func() *assets {
	a, err := loadAssets(staticFiles)
	if err != nil {
		panic(err)
	}
	return a
})

// StyleSheet is the name under which all CSS files are served as one.
const StyleSheet = "app.css"

// loadAssets reads files below static/, joins the style sheets in the order of
// their names and computes the version.
func loadAssets(files fs.FS) (*assets, error) {
	a := &assets{files: map[string][]byte{}, imports: map[string][]string{}}
	hash := sha256.New()
	var css bytes.Buffer
	err := fs.WalkDir(files, "static", func(p string, d fs.DirEntry, err error) error { // in lexical order
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, p)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(p, "static/")
		fmt.Fprintf(hash, "%s\x00%d\x00", name, len(b))
		hash.Write(b)
		if path.Ext(name) == ".css" {
			css.Write(b)
			css.WriteByte('\n')
			return nil
		}
		a.files[name] = b
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("embedded assets: %w", err)
	}
	a.files[StyleSheet] = css.Bytes()
	a.version = hex.EncodeToString(hash.Sum(nil))[:16]
	for name := range a.files {
		if strings.HasSuffix(name, ".js") {
			a.imports[name] = a.needs(name, nil)
		}
	}
	return a, nil
}

var staticImport = regexp.MustCompile(`(?m)^\s*(?:import|export)\b[^'"\n]*['"]\./([\w.-]+\.js)['"]`)

// needs lists the modules that the named one imports, directly or not.
func (a *assets) needs(name string, seen []string) []string {
	for _, m := range staticImport.FindAllSubmatch(a.files[name], -1) {
		dep := path.Join(path.Dir(name), string(m[1]))
		if !slices.Contains(seen, dep) {
			seen = a.needs(dep, append(seen, dep))
		}
	}
	return seen
}

// preloads lists the modules that a page with these modules will need beside them.
func preloads(modules []string) []string {
	var all []string
	for _, m := range modules {
		for _, dep := range bundle().imports["js/"+m+".js"] {
			if !slices.Contains(all, dep) {
				all = append(all, dep)
			}
		}
	}
	return all
}

// Assets serves the embedded files below /static/<version>/. A version other
// than this binary's answers 404: a page never gets files it was not made for.
func Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/static/"), "/")
		a := bundle()
		body, ok := a.files[name]
		if version != a.version || !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", contentType(name))
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

// contentType does not ask the system's table, which is empty in our image.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}
