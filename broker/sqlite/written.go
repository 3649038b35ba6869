package sqlite

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
)

// What a commit costs where the system does not tell: a page or two of the log for
// each table that is touched, then the same once more for the checkpoint, and so
// much for each row (facts measured with 250-byte messages, one to a hundred rows).
const (
	estimatedCommit = 14 << 10
	estimatedRow    = 700
)

// Written returns how many bytes this process has caused to be written to the
// device since it started. On Linux the kernel counts them; elsewhere they are
// estimated from commits and rows. It never goes down.
func (s *Store) Written() int64 {
	if n, ok := kernelWritten(); ok {
		s.written.Store(max(s.written.Load(), n))
		return s.written.Load()
	}
	return s.estimated.Load()
}

// kernelWritten reads write_bytes of /proc/self/io: what was sent to the storage
// layer, not what write(2) was given.
func kernelWritten() (int64, bool) {
	if runtime.GOOS != "linux" {
		return 0, false
	}
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("write_bytes: ")); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(rest)), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
