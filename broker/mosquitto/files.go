package mosquitto

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"hearthmq/broker/regular"
)

// Files is where the readers find files that others name.
type Files interface {
	// Open opens a regular file. Errors are those of package fs.
	Open(name string) (io.ReadCloser, error)
	// List returns the names of the files in a folder, to be given to Open.
	List(dir string) ([]string, error)
}

// Disk is the file system of this machine. The zero value takes names as they are.
type Disk struct {
	// Dir is where relative names start, "": the working directory.
	Dir string
}

func (d Disk) path(name string) string {
	if d.Dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(d.Dir, name)
}

// Open implements Files. A device or a pipe is refused: it might never end.
func (d Disk) Open(name string) (io.ReadCloser, error) {
	f, err := regular.Open(d.path(name))
	if err != nil {
		return nil, err // an interface without a nil file in it
	}
	return f, nil
}

// List implements Files.
func (d Disk) List(dir string) ([]string, error) {
	list, err := os.ReadDir(d.path(dir))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	return names, nil
}

// Uploaded are files in memory by their cleaned path, such as those of a backup.
type Uploaded map[string][]byte

// Open implements Files.
func (u Uploaded) Open(name string) (io.ReadCloser, error) {
	b, ok := u[path.Clean(name)]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// List implements Files.
func (u Uploaded) List(dir string) ([]string, error) {
	dir = path.Clean(dir)
	var names []string
	for name := range u {
		if path.Dir(name) == dir {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	slices.Sort(names)
	return names, nil
}

// confNames picks what include_dir loads: *.conf, in the order of the C locale.
func confNames(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		base := path.Base(filepath.ToSlash(name))
		return !strings.HasSuffix(base, ".conf") || len(base) <= len(".conf")
	})
	slices.Sort(names)
	return names
}
