// Package regular reads files that others name or write: certificates, lists of what is
// revoked, settings, dynamic security. It imports nothing of ours.
package regular

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Most is how much of a file Read takes. The longest that a home has are lists of revoked
// certificates.
const Most = 64 << 20

// ErrNot says that a name stands for something that may never end, or never begin.
var ErrNot = errors.New("not a regular file")

// Open opens a regular file, or what a symbolic link leads to, and nothing else: a pipe that
// nobody writes to holds nobody up, and a device is not read. Errors are those of package fs.
func Open(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	info, err := f.Stat() // of what was opened: the name may lead elsewhere by now
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: ErrNot}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

// Read returns a whole file of at most Most bytes.
func Read(name string) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	large := &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("larger than %d MiB", Most>>20)}
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.Size() > Most:
		return nil, large
	}
	text := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead)) // at once, and not by doubling
	if _, err := text.ReadFrom(io.LimitReader(f, Most+1)); err != nil {
		return nil, err
	}
	if text.Len() > Most { // it grows
		return nil, large
	}
	return text.Bytes(), nil
}
