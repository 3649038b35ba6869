package difftest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// The test's flags are the package's only variables.
var (
	seeds = flag.Int("difftest.seeds", 300, "number of scripts")
	first = flag.Uint64("difftest.first", 1, "seed of the first script")
	most  = flag.Int("difftest.failures", 5, "unexplained scripts after which to stop")
	show  = flag.Bool("difftest.show", false, "print transcripts of scripts that pass too")
	their = flag.String("difftest.mosquitto", "", "Mosquitto to compare with, instead of the system's")
	stand = flag.Bool("difftest.like", false, "compare HearthMQ as it stands in for Mosquitto (serve -c)")
)

// mosquitto returns the program to compare with.
func mosquitto(t *testing.T) string {
	t.Helper()
	if *their != "" {
		return *their
	}
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		const usual = "/usr/sbin/mosquitto" // not in everybody's path
		if _, err = os.Stat(usual); err == nil {
			program = usual
		}
	}
	switch {
	case err == nil:
		return program
	case os.Getenv("CI") == "true" && !testing.Short():
		t.Fatal("mosquitto is not installed: nothing to compare HearthMQ with (apt-get install mosquitto)")
	default:
		t.Skip("NOT COMPARED WITH ANOTHER BROKER: mosquitto is not installed (apt-get install mosquitto)")
	}
	return ""
}

// TestDifferences compares HearthMQ with Mosquitto over random scripts (case P36).
func TestDifferences(t *testing.T) {
	program := mosquitto(t)
	if testing.Short() {
		t.Skip("starts hundreds of brokers")
	}
	tally := newTally()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 2 {
		dir := t.TempDir()
		workers.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(*seeds) || t.Failed() && tally.failures.Load() >= int64(*most) {
					return
				}
				one(t, program, dir, *first+uint64(i), tally)
			}
		})
	}
	workers.Wait()
	tally.report(t)
}

// one runs the script of a seed, and fails with the smallest script that shows
// what is not explained.
func one(t *testing.T, program, dir string, seed uint64, tally *tally) {
	s := generate(seed)
	r, err := run(t, program, dir, s)
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
		return
	}
	tally.add(r)
	if *show {
		t.Logf("%s\n%s", s, sideBySide(s, &r.ours, &r.theirs))
	}
	if len(r.unexplained) == 0 {
		return
	}
	tally.failures.Add(1)
	small := shrink(s, func(c *script) bool {
		r, err := run(t, program, dir, c)
		return err == nil && len(r.unexplained) > 0
	})
	sr, err := run(t, program, dir, small)
	if err != nil || len(sr.unexplained) == 0 {
		small, sr = s, r // it does not come every time
	}
	t.Errorf("unexplained difference, again with -difftest.first %d -difftest.seeds 1\n%s\n%s\nHearthMQ%58sMosquitto\n%s",
		seed, small, texts(sr.unexplained), "", sideBySide(small, &sr.ours, &sr.theirs))
}

func texts(list []*difference) string {
	var b strings.Builder
	for _, d := range list {
		b.WriteString(d.String())
	}
	return b.String()
}

// result is what came of a script.
type result struct {
	ours, theirs transcript
	steps        int
	explained    map[string]int // differences by rule
	unexplained  []*difference
	parted       bool // the script ended early
}

// run runs a script against a fresh broker of each kind and compares.
func run(t *testing.T, program, dir string, s *script) (*result, error) {
	var store broker.Store
	if s.seed%10 == 0 {
		store = broker.NewMemoryStore()
	}
	ours, stopOurs, err := startHearthMQ(store)
	if err != nil {
		return nil, err
	}
	defer stopOurs()
	theirs, stopTheirs, err := startMosquitto(program, dir)
	if err != nil {
		return nil, err
	}
	defer stopTheirs()
	by := newBystander(t, theirs)
	defer by.nc.Close()
	theirs.gone = func(string) { by.wait() }

	for _, x := range []*site{ours, theirs} {
		defer x.close()
		x.got.events, x.got.under = make(map[cell][]event), make(map[cell]int)
		for c := range s.clients {
			x.clients = append(x.clients, newClient(x, c))
		}
	}
	r := &result{explained: make(map[string]int)}
	for _, st := range s.steps {
		ours.do(st)
		theirs.do(st)
		r.steps++
		if r.parted = parted(ours, theirs, st); r.parted {
			break
		}
	}
	r.ours, r.theirs = ours.got, theirs.got
	script := *s
	script.steps = s.steps[:r.steps]
	if r.parted && ours.clients[s.steps[r.steps-1].client].acked != theirs.clients[s.steps[r.steps-1].client].acked {
		script.steps = s.steps[:r.steps-1]
	}
	s = &script
	x := &findings{s: s, ours: &r.ours, theirs: &r.theirs, all: compare(s, &r.ours, &r.theirs), early: make(map[string]bool)}
	for _, rule := range rules() {
		for _, d := range x.all {
			if !d.empty() && rule.explain(x, d) {
				r.explained[rule.name]++
			}
		}
	}
	if r.parted {
		x.consequences()
	}
	for _, d := range x.all {
		// Not a difference but the same rule for both [MQTT-3.3.4-9], case P20.
		if most := r.ours.under[d.cell]; most > x.window(d.cell) {
			d.order += fmt.Sprintf("\n      HearthMQ has %d messages under way, %d are allowed", most, x.window(d.cell))
		}
	}
	r.unexplained = slices.DeleteFunc(x.all, (*difference).empty)
	return r, nil
}

// parted reports whether the brokers have gone different ways for good in a step:
// a client is connected to one of them only, only one took a connection or a
// subscription, or acknowledgements that were withheld are not for the same messages.
func parted(a, b *site, st step) bool {
	for i := range a.clients {
		if (a.clients[i].nc == nil) != (b.clients[i].nc == nil) || a.granted(st.n, i) != b.granted(st.n, i) ||
			a.clients[i].acked != b.clients[i].acked {
			return true
		}
	}
	sub, ok := st.do.(*subscribe)
	return ok && len(sub.subs) > 1 && a.clients[st.client].nc == nil // what was before the wrong filter may count
}

// granted says whether the connection and which subscriptions of a step were taken.
func (s *site) granted(n, client int) (taken string) {
	for _, e := range s.got.events[cell{n, client}] {
		if e.kind == packet.TypeSuback || e.kind == packet.TypeConnack {
			for _, code := range e.codes {
				taken += fmt.Sprint(code.Failed())
			}
		}
	}
	return taken
}

// tally counts over all scripts.
type tally struct {
	failures atomic.Int64

	mu      sync.Mutex
	scripts int
	parted  int
	steps   int
	events  int
	rules   map[string]int
	in      map[string]int // scripts
}

func newTally() *tally { return &tally{rules: make(map[string]int), in: make(map[string]int)} }

func (y *tally) add(r *result) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.scripts++
	y.steps += r.steps
	if r.parted {
		y.parted++
	}
	for _, list := range r.ours.events {
		y.events += len(list)
	}
	for name, n := range r.explained {
		y.rules[name] += n
		y.in[name]++
	}
}

func (y *tally) report(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d scripts, %d steps, %d packets from HearthMQ; %d ended early\n", y.scripts, y.steps, y.events, y.parted)
	for _, name := range slices.Sorted(maps.Keys(y.rules)) {
		fmt.Fprintf(&b, "  %6d differences in %4d scripts: %s\n", y.rules[name], y.in[name], name)
	}
	t.Log(b.String())
}

// TestDifferencesAreListed holds differences.md to the rules.
func TestDifferencesAreListed(t *testing.T) {
	text, err := os.ReadFile("differences.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			listed[strings.TrimSpace(name)] = true
		}
	}
	known := make(map[string]bool)
	for _, r := range rules() {
		known[r.name] = true
	}
	if diff := cmp.Diff(known, listed); diff != "" {
		t.Errorf("rules (-) and headings of differences.md (+):\n%s", diff)
	}
}
