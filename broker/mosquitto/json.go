package mosquitto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// readAll reads at most limit bytes; a larger file is an error.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("the file is larger than %d KiB", limit>>10)
	}
	return b, err
}

// lineAt is the number of the line that holds byte at.
func lineAt(text []byte, at int64) int {
	at = min(max(at, 0), int64(len(text)))
	return 1 + bytes.Count(text[:at], []byte{'\n'})
}

// jsonObject walks through the members of an object. do has to Decode one value.
func jsonObject(d *json.Decoder, do func(key string) error) error {
	if err := expect(d, '{'); err != nil {
		return err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		if err := do(t.(string)); err != nil { // keys of objects are strings
			return err
		}
	}
	_, err := d.Token()
	return err
}

// jsonArray walks through the elements of an array, or of nothing where it is null.
func jsonArray(d *json.Decoder, do func() error) error {
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return errors.New("a list is expected here")
	}
	for d.More() {
		if err := do(); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func expect(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err == nil && t != want {
		err = fmt.Errorf("%q is expected here", want.String())
	}
	return err
}

// jsonProblem is an error of package json with the line that it is about.
func jsonProblem(text []byte, d *json.Decoder, err error) (line int, problem string) {
	at := d.InputOffset()
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = e.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return lineAt(text, int64(len(text))), "the file breaks off"
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		// Its text would show the value, which may be a password.
		return lineAt(text, at), fmt.Sprintf("%s: a %s does not belong here", e.Field, e.Value)
	}
	return lineAt(text, at), "not JSON as expected: " + err.Error()
}
