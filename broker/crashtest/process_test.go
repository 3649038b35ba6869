package crashtest

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"
)

// field returns a number of a file below /proc/PID.
func field(t testing.TB, pid int, file, name string) int64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			var n int64
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s does not tell %s", file, name)
	return 0
}

// deviceBytes is how many bytes the process has caused to be written to the device.
func deviceBytes(t testing.TB, pid int) int64 {
	t.Helper()
	return field(t, pid, "io", "write_bytes")
}

// rss is the process's memory in MiB.
func rss(t testing.TB, pid int) float64 {
	t.Helper()
	return float64(field(t, pid, "status", "VmRSS")) / 1024
}

// storedMessages counts the messages that a broker has ever written, those included
// that nobody needs any more: an upper bound are the rows there are, as long as
// garbage was not collected.
func storedMessages(t testing.TB, c *child) int {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+c.settings.database()+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(context.Background(), "SELECT count(*) FROM message").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
