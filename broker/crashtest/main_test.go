package crashtest

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"
)

// The test's flags are the package's only variables.
var (
	kills  = flag.Int("crash.kills", 30, "how often the broker is killed")
	images = flag.Int("crash.images", 1000, "number of power cuts")
	seed   = flag.Uint64("crash.seed", 0, "seed of the laboratory, 0: a new one each time")
	bench  = flag.Bool("crash.bench", false, "measure the figures of the issue")
	keep   = flag.String("crash.keep", "", "folder where the images that fail are kept")
)

// TestMain runs the tests, or the broker when the process was started to be one.
func TestMain(m *testing.M) {
	if settings := os.Getenv(childEnv); settings != "" {
		os.Exit(runChild(settings))
	}
	flag.Parse()
	os.Exit(m.Run())
}

// random returns the test's source of chance and logs how to get it again. What the
// machine decides (when a process runs) is chance of its own.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-crash.seed %d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// needStrace skips the test where there is no strace, except in CI.
func needStrace(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs brokers under strace")
	}
	err := exec.Command("strace", "-qq", "--seccomp-bpf", "-f", "-o", os.DevNull, "true").Run()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("strace does not work (apt-get install strace): power cuts can't be tested: %v", err)
	default:
		t.Skipf("POWER CUTS NOT TESTED: strace does not work (apt-get install strace): %v", err)
	}
}

// folder is a folder in memory where there is one: images are written by the
// thousand and need not survive anything.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "crashtest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
