package dynsec_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/dynsec"
)

// A file that can't be read is an error and stays as it is: nothing is begun in its place,
// with an administrator of its own.
func TestUnreadable(t *testing.T) {
	const secret = "6hunter2"
	for name, text := range map[string]string{
		"breaks off": `{"clients":[{"username":"u","password":"` + secret, "a list": `["` + secret + `"]`, "null": "null", "NUL": "{\x00}", "a NUL": "\x00", "blanks": "  \n",
		"deep": strings.Repeat(`{"a":`, 100_000), "lists": `{"clients":` + strings.Repeat("[", 100_000), "shadow": "root:$y$" + secret + ":1::::::\n",
	} {
		file := filepath.Join(t.TempDir(), "d.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := dynsec.Open(t.Context(), dynsec.Options{File: file, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := os.ReadFile(file); err != nil || string(now) != text {
			t.Errorf("%s: the file is another now, %v", name, err)
		}
	}
	dir := t.TempDir()
	pipe, huge := filepath.Join(dir, "pipe"), filepath.Join(dir, "huge")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(huge, nil, 0o600), os.Truncate(huge, 100<<20)); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{pipe, huge, dir, "/dev/zero"} {
		if _, err := dynsec.Open(t.Context(), dynsec.Options{File: file, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%s was taken", file)
		}
		if _, err := dynsec.Open(t.Context(), dynsec.Options{File: filepath.Join(dir, "new"), InitFile: file, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%s was taken for a password", file)
		}
	}
}

// What a request is made of breaks nothing and changes nothing: it is answered, in bounds.
func TestHostileRequests(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.json")
	e := open(t, file, small)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const create = `{"commands":[{"command":"createClient","username":`
	for name, request := range map[string]string{
		"nothing": "", "NUL": "\x00", "null": "null", "a number": "1e999", "deep": strings.Repeat(`{"commands":[`, 100_000), "deep command": `{"commands":[` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "]}",
		"two documents": create + `"x"}]}` + create + `"y"}]}`, "not UTF-8": create + "\"\xff\"}]}x", "half a surrogate": create + `"\ud800\uffff"}]}`,
		"a name of another kind": create + `{"a":1}}]}`, "a name with an escape": create + `"a\u001b[31m"}]}`, "empty name": create + `""}]}`,
		"20,000 commands": `{"commands":[` + strings.Repeat(`{},`, 20_000) + `{}]}`, "commands of another kind": `{"commands":{"command":"createClient","username":"x"}}`,
		"a command of another kind": `{"commands":[{"command":["createClient"],"username":"x"}]}`, "unknown": `{"commands":[{"command":"createClient\u0000","username":"x"}]}`,
	} {
		answer := e.Control(t.Context(), &broker.Identity{User: "admin"}, []byte(request))
		if !json.Valid(answer) || !strings.Contains(string(answer), `"error"`) || len(answer) > 10_000 {
			t.Errorf("%s: %.200s", name, answer)
		}
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the file is another now, %v: %s", err, after)
	}
}
