package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// patternCalls make something that matches of a text, given as their argument of that number.
var patternCalls = map[string]int{
	"regexp.Compile": 0, "regexp.MustCompile": 0, "regexp.CompilePOSIX": 0, "regexp.MustCompilePOSIX": 0,
	"regexp.Match": 0, "regexp.MatchString": 0, "regexp.MatchReader": 0, "syntax.Parse": 0,
	"path.Match": 0, "filepath.Match": 0, "filepath.Glob": 0, "fs.Glob": 1,
	"template.New": 0, "template.Must": 0, "template.ParseFiles": 0, "template.ParseFS": 0,
}

// case R11: what the program looks for is written in the program, but for one place where a
// person gives it, with bounds of its own (feed.TestRegexpsEnd); and there is no language of
// templates or paths for anybody to write in.
func TestPatternsAreOurs(t *testing.T) {
	given := map[string][]string{ // by file, what takes a text that is not written there
		"broker/feed/filter.go":  {"regexp.Compile", "syntax.Parse"},
		"broker/sqlite/start.go": {"filepath.Glob"}, // of the database's own name
	}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != root {
			return errOrSkip(err)
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test")) || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			if d.IsDir() && (d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test")) {
				return filepath.SkipDir
			}
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var found []string
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if what := givenPattern(call); what != "" {
					found = append(found, what)
				}
			}
			return true
		})
		slices.Sort(found)
		rel, _ := filepath.Rel(root, name)
		if rel = filepath.ToSlash(rel); !slices.Equal(found, given[rel]) {
			t.Errorf("%s makes patterns of what somebody gives: %v, known are %v", rel, found, given[rel])
		}
		delete(given, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range given {
		t.Errorf("%s is not there", name)
	}
}

func errOrSkip(err error) error {
	if err != nil {
		return err
	}
	return filepath.SkipDir
}

// givenPattern is the name of the function when its pattern is no text of the program.
func givenPattern(call *ast.CallExpr) string {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	what := pkg.Name + "." + sel.Sel.Name
	at, known := patternCalls[what]
	if !known || at >= len(call.Args) {
		return ""
	}
	if _, isText := call.Args[at].(*ast.BasicLit); isText {
		return ""
	}
	return what
}

// case R11: browsers' engines go back, so no script makes an expression of a text, and none of
// those that are written there repeats what repeats.
func TestScriptsPatternsDoNotGoBack(t *testing.T) {
	makes := regexp.MustCompile(`RegExp\(|\.search\(|\.match\([^/]|\.matchAll\([^/]`)
	repeats := regexp.MustCompile(`\([^()]*[+*][^()]*\)[+*{]`)
	files, err := filepath.Glob(filepath.Join("..", "..", "ui", "static", "js", "*.js"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			where := fmt.Sprintf("%s:%d", filepath.Base(name), i+1)
			if m := makes.FindString(line); m != "" {
				t.Errorf("%s: %s makes an expression", where, m)
			}
			for _, literal := range regexp.MustCompile(`/[^/\s][^/]*/[gimsuy]*[.,);]`).FindAllString(line, -1) {
				if repeats.MatchString(literal) {
					t.Errorf("%s: %s repeats what repeats", where, literal)
				}
			}
		}
	}
	if !repeats.MatchString(`/(a+)+$/`) || !makes.MatchString("new RegExp(text)") {
		t.Error("nothing would be found")
	}
}
