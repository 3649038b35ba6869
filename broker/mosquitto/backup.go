package mosquitto

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Backup is what a Home Assistant backup holds of the Mosquitto app.
type Backup struct {
	File        string
	Options     *Options
	Database    *Database
	SystemUsers []string // names in system_user.json
	// Shared are the files of the share folder by their path, such as
	// "/share/mosquitto/acl.conf": those that customize may include.
	Shared Uploaded
}

// Limits of a backup. Nothing of it is ever written to disk.
const (
	maxBackupEntries = 200_000
	maxBackupBytes   = 64 << 30 // all of it, unpacked
	maxSharedFile    = 1 << 20
	maxSharedBytes   = 16 << 20
	maxInner         = 2 << 30 // unpacked, of the app itself
)

var (
	errBomb    = errors.New("it is larger unpacked than a backup of this app can be")
	errEntries = errors.New("there are too many files in it")
	errTraps   = errors.New("a name in it leads out of the backup; this was not made by Home Assistant")
)

// ReadBackup reads a backup of Home Assistant, or the core_mosquitto.tar.gz that is in
// one. Nothing is unpacked: what is not wanted is passed over (case W19).
func ReadBackup(file string, r io.Reader) (*Backup, []Notice) {
	b := &backupReader{notices: notices{file: file}, out: &Backup{File: file, Shared: Uploaded{}}}
	if err := b.outer(r); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = errors.New("the backup breaks off")
		}
		b.add(0, Broken, "", "%v", err)
	} else if b.out.Options == nil && b.out.Database == nil && Worst(b.list) != Broken {
		b.add(0, Broken, "", "the Mosquitto app is not in this backup")
	}
	if Worst(b.list) == Broken {
		return nil, b.all()
	}
	return b.out, b.all()
}

type backupReader struct {
	notices
	out     *Backup
	entries int
	shared  int
}

// counted ends reading after left bytes.
type counted struct {
	r    io.Reader
	left int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errBomb
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	return n, err
}

// unpacked returns r unpacked where it is packed.
func unpacked(r io.Reader, most int64) (io.Reader, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(9)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, err
		}
		return &counted{z, most}, nil
	case bytes.HasPrefix(head, []byte("SecureTar")):
		return nil, errors.New("the backup is encrypted: make one without a password, or download it from Home Assistant, which decrypts it")
	case len(head) == 0 && err != nil:
		return nil, err
	}
	return &counted{br, most}, nil
}

// walk hands out the regular files of a tar. It refuses a tar with names that lead
// anywhere but into it.
func (b *backupReader) walk(r io.Reader, most int64, do func(name string, h *tar.Header, t *tar.Reader) error) error {
	u, err := unpacked(r, most)
	if err != nil {
		return err
	}
	t := tar.NewReader(u)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if b.entries++; b.entries > maxBackupEntries {
			return errEntries
		}
		name := path.Clean(h.Name)
		if strings.ContainsAny(h.Name, "\\\x00") || path.IsAbs(h.Name) || name == ".." || strings.HasPrefix(name, "../") {
			return errTraps
		}
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse {
			continue // links and devices lead nowhere here
		}
		if err := do(name, h, t); err != nil {
			return fmt.Errorf("%s: %w", quote(name), err)
		}
	}
}

func (b *backupReader) outer(r io.Reader) error {
	return b.walk(r, maxBackupBytes, func(name string, h *tar.Header, t *tar.Reader) error {
		switch path.Base(name) {
		case "core_mosquitto.tar.gz", "core_mosquitto.tar":
			return b.walk(t, maxInner, b.inner)
		case "share.tar.gz", "share.tar":
			return b.walk(t, maxInner, b.share)
		}
		return b.inner(name, h, t)
	})
}

// inner takes what is wanted of the app's own data.
func (b *backupReader) inner(name string, h *tar.Header, t *tar.Reader) error {
	where := b.file + "!" + name
	switch strings.TrimPrefix(name, "data/") {
	case "options.json":
		return b.options(where, t)
	case "addon.json", "app.json":
		return b.manifest(where, t)
	case "system_user.json":
		return b.systemUsers(where, t)
	case "mosquitto.db":
		if h.Size > maxInner {
			return errBomb
		}
		db, found := ReadDatabase(where, t)
		b.out.Database = db
		b.list = append(b.list, found...)
	}
	return nil
}

func (b *backupReader) options(where string, r io.Reader) error {
	o, found := ReadOptions(where, r)
	b.out.Options = o
	b.list = append(b.list, found...)
	return nil
}

// manifest takes the options out of the description of the app that the Supervisor
// puts into its backups: {"user": {"options": {…}}}.
func (b *backupReader) manifest(where string, r io.Reader) error {
	text, err := readAll(r, maxOptions)
	if err != nil {
		return err
	}
	var m struct {
		User struct {
			Options json.RawMessage `json:"options"`
		} `json:"user"`
	}
	if json.Unmarshal(text, &m) != nil || len(m.User.Options) < 3 || b.out.Options != nil {
		return nil // options.json is what counts
	}
	return b.options(where, bytes.NewReader(m.User.Options))
}

func (b *backupReader) systemUsers(where string, r io.Reader) error {
	users, found := ReadSystemUsers(where, r)
	b.out.SystemUsers = users
	b.list = append(b.list, found...)
	return nil
}

// share keeps small files of the share folder.
func (b *backupReader) share(name string, h *tar.Header, t *tar.Reader) error {
	if h.Size > maxSharedFile || strings.Count(name, "/") == 0 {
		return nil
	}
	if b.shared += int(h.Size); b.shared > maxSharedBytes {
		return nil
	}
	text, err := readAll(t, maxSharedFile)
	if err == nil {
		b.out.Shared["/share/"+name] = text
	}
	return err
}

// ReadSystemUsers reads the app's system_user.json and returns the names in it. The
// passwords are not kept: HearthMQ makes its own.
func ReadSystemUsers(file string, r io.Reader) ([]string, []Notice) {
	n := &notices{file: file}
	text, err := readAll(r, maxOptions)
	if err != nil {
		n.add(0, Broken, "", "can't be read: %v", err)
		return nil, n.all()
	}
	var names []string
	d := json.NewDecoder(bytes.NewReader(text))
	err = jsonObject(d, func(key string) error {
		names = append(names, key)
		var ignored json.RawMessage
		return d.Decode(&ignored)
	})
	if err != nil {
		line, problem := jsonProblem(text, d, err)
		n.add(line, Broken, "", "%s", problem)
		return nil, n.all()
	}
	for _, name := range names {
		n.add(0, Changed, "", "system user %s has a new password, which Home Assistant tells its apps; a device or app in which the old one was typed by hand needs it", quote(name))
	}
	return names, n.all()
}
