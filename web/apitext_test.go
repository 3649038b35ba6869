package web

import "testing"

// case A22: what package json would read as something else is no text for the API.
func TestAPITextIsWhatItSays(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":"ä"}`: true, `"\u0000\u00e4"`: true, `"\ud83d\ude00"`: true, `"\uD83D\uDE00\ud83d\ude00"`: true, `"\\ud83d"`: true, `"\\\\ud83d x"`: true,
		"\"\xff\"": false, "\"caf\xe9\"": false, `"\ud83d"`: false, `"\ud83d\ud83d\ude00"`: false, `"\ude00\ud83d"`: false, `"\\\ud83d"`: false,
		`"\ud83dx\ude00"`: false, `"\uDE00"`: false, "\"\xed\xa0\xbd\"": false,
	} {
		if got := isText([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
