package broker_test

import (
	"cmp"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write CONFORMANCE.md anew")

// statement is one line of testdata/statements.txt.
type statement struct {
	number, version string
	server          bool
	words           string
	same            string // number in 5.0 of a statement that asks for the same
}

func (s statement) marker() string {
	if s.version == "3.1.1" {
		return "MQTT3-" + s.number
	}
	return "MQTT-" + s.number
}

var markerForm = regexp.MustCompile(`\[(MQTT3?-[0-9][^\]\s]*)\]`)

// TestConformance holds code, tests and CONFORMANCE.md to the list of statements:
// each that concerns a server has a place and a test, no marker names what does not
// exist, and the table is current.
func TestConformance(t *testing.T) {
	statements := readStatements(t)
	known := map[string]bool{}
	for _, s := range statements {
		if known[s.marker()] {
			t.Errorf("statements.txt: %s twice", s.marker())
		}
		known[s.marker()] = true
	}
	places, tests := map[string][]string{}, map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || path == "conformance_test.go" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		into := places
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "brokertest/") {
			into = tests
		}
		collect(t, path, string(b), known, into)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text := conformanceTable(t, statements, places, tests)
	if *update {
		if err := os.WriteFile("CONFORMANCE.md", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if now, err := os.ReadFile("CONFORMANCE.md"); err != nil || string(now) != text {
		t.Errorf("CONFORMANCE.md is not current (%v): go test ./broker -run TestConformance -update", err)
	}
}

func readStatements(t *testing.T) (list []statement) {
	t.Helper()
	b, err := os.ReadFile("testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if strings.HasPrefix(row, "#") {
			continue
		}
		f := strings.Split(row, "\t")
		if len(f) < 4 || f[1] != "5.0" && f[1] != "3.1.1" || f[2] != "server" && f[2] != "client" {
			t.Fatalf("statements.txt: %q", row)
		}
		s := statement{number: f[0], version: f[1], server: f[2] == "server", words: f[3]}
		if len(f) > 4 {
			s.same = f[4]
		}
		list = append(list, s)
	}
	return list
}

// collect notes the markers of one file by the function or declaration they stand in.
func collect(t *testing.T, path, text string, known map[string]bool, into map[string][]string) {
	declared := regexp.MustCompile(`^(?:func (?:\([^)]*\) )?|type |var |const )([A-Za-z_]\w*)`)
	rows := strings.Split(text, "\n")
	for i, row := range rows {
		for _, m := range markerForm.FindAllStringSubmatch(row, -1) {
			if !known[m[1]] {
				t.Errorf("%s:%d: no statement %s", path, i+1, m[1])
				continue
			}
			place := path
			if name := enclosing(rows, i, declared); name != "" {
				place += " " + name
			}
			if !slices.Contains(into[m[1]], place) {
				into[m[1]] = append(into[m[1]], place)
			}
		}
	}
}

var scriptName = regexp.MustCompile(`^\t\{name: "([^"]+)".*text:`)

// enclosing is the name of the declaration that row i stands in, or in whose comment.
func enclosing(rows []string, i int, declared *regexp.Regexp) string {
	for j := i; strings.HasPrefix(rows[i], "//") && j < len(rows) && (strings.HasPrefix(rows[j], "//") || declared.MatchString(rows[j])); j++ {
		if m := declared.FindStringSubmatch(rows[j]); m != nil {
			return m[1]
		}
	}
	for j := i; j >= 0; j-- {
		if m := scriptName.FindStringSubmatch(rows[j]); m != nil {
			return strconv.Quote(m[1])
		}
		if m := declared.FindStringSubmatch(rows[j]); m != nil {
			return m[1]
		}
	}
	return ""
}

func conformanceTable(t *testing.T, statements []statement, places, tests map[string][]string) string {
	t.Helper()
	head, err := os.ReadFile("testdata/conformance_head.md")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	out.Write(head)
	slices.SortStableFunc(statements, func(a, b statement) int {
		return cmp.Or(-cmp.Compare(a.version, b.version), compareNumbers(a.number, b.number))
	})
	for _, version := range []string{"5.0", "3.1.1"} {
		fmt.Fprintf(&out, "\n## MQTT %s\n\n| Statement | What it asks for | Place | Test |\n|---|---|---|---|\n", version)
		for _, s := range statements {
			if s.version != version || !s.server {
				continue
			}
			place, test := both(places, s), both(tests, s)
			if place == "" || test == "" {
				t.Errorf("%s (%s): place %q, test %q", s.marker(), s.words, place, test)
			}
			fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", s.marker(), s.words, place, test)
		}
	}
	out.WriteString("\n## Not ours\n\nThese ask something of clients that a server can't see or need not check.\n\n| Statement | What it asks of a client |\n|---|---|\n")
	for _, s := range statements {
		if !s.server {
			fmt.Fprintf(&out, "| %s | %s |\n", s.marker(), s.words)
		}
	}
	return out.String()
}

// both lists where a statement, or the one of 5.0 that asks for the same, is marked.
func both(from map[string][]string, s statement) string {
	list := slices.Clone(from[s.marker()])
	if s.same != "" {
		list = append(list, from["MQTT-"+s.same]...)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	const most = 4
	if n := len(list); n > most {
		list = append(list[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(list, ", ")
}

// compareNumbers orders 3.9.3-1 before 3.10.1-1.
func compareNumbers(a, b string) int {
	split := func(s string) (list []int) {
		for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '-' }) {
			n, _ := strconv.Atoi(f) // statements.txt holds numbers only
			list = append(list, n)
		}
		return list
	}
	return slices.Compare(split(a), split(b))
}
