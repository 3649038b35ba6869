package web

import (
	"strings"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// case R11: the way to a number in a value has a bound, and what is looked at in a request's
// body takes a moment, whatever stands there.
func TestHardTextsEnd(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "/battery": true, "/a~1b/~0": true, strings.Repeat("/a", maxPath-1): true, strings.Repeat("/a", maxPath): false,
		strings.Repeat("/", 1024): false, "a": false, "/" + strings.Repeat("~1~0", 255): true,
	} {
		if _, err := pointer(text); (err == nil) != ok {
			t.Errorf("%.20s…: %v", text, err)
		}
	}
	m, begun := brokertest.WatchMachine(), time.Now()
	for _, piece := range []string{`\`, `\\`, `\ud8`, `\ud83d`, `\ud83d\ude00`, `\ud83d\ud83d`, `\udd`, "a", "\xff", `"`, `{"a":`} {
		isText([]byte(strings.Repeat(piece, maxBody/8/len(piece))))
	}
	for _, next := range []string{strings.Repeat("/users", 10_000), "/users/-" + strings.Repeat("1", 60_000), strings.Repeat("/", 60_000)} {
		if safeNext(next) == next {
			t.Errorf("%.20s… is a page", next)
		}
	}
	if took := time.Since(begun); took > 10*time.Second {
		m.Timing(t, "it took %v", took)
	}
}
