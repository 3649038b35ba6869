package mosquitto

import (
	"strings"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// case R11: what a file is, is seen at its beginning, whatever stands there; and a pattern with
// many places for a client's name makes no filter that is longer than a topic can be.
func TestHardFilesEnd(t *testing.T) {
	const size = 1 << 20
	m, begun := brokertest.WatchMachine(), time.Now()
	for _, piece := range []string{"a", ":", "a:", "a:$", "a:$\n", "logins", "%c", "topic ", "\n", "{", `{"a":`, "[", "\\", "\x00", "PBKDF2", "a:PBKDF\n", "#", "\xff"} {
		text := []byte(strings.Repeat(piece, size/len(piece)))
		if k := kindOf(text); k == kindDatabase || k == kindBackup {
			t.Errorf("%q… is taken for %s", piece, k)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		m.Timing(t, "it took %v", took)
	}
	if filter, ok := patternFor(strings.Repeat("%c%u", 20_000), strings.Repeat("u", 1000), strings.Repeat("c", 60_000)); ok || filter != "" {
		t.Errorf("a filter of %d bytes", len(filter))
	}
	if filter, ok := patternFor("a/%c/%u", "u", "c"); !ok || filter != "a/c/u" {
		t.Errorf("%q, %v", filter, ok)
	}
}
