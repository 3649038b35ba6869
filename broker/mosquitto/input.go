package mosquitto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"hearthmq/broker"
)

// Sources names the files to import from; "" stands for none. A Conf brings the files
// that it names unless others are given.
type Sources struct {
	Conf, Passwords, ACL, Dynsec, Database, Options, Backup string
}

// Input is everything that was read.
type Input struct {
	Conf      *Conf
	Passwords []Password
	ACL       *ACL
	Dynsec    *Dynsec
	Database  *Database
	Options   *Options
	// Live are retained messages of a running broker, taken in place of the
	// Database's.
	Live    []*broker.Message
	Notices []Notice
}

// Reader reads Sources.
type Reader struct {
	Files Files
	// SQLite reads a mosquitto.sqlite3; nil: such files can't be read.
	SQLite func(path string) (*Database, []Notice)
}

// Read reads everything. What is wrong is among the Notices; with one that is Broken
// there is no plan to be made of the Input.
func (r Reader) Read(s Sources) *Input {
	in := new(Input)
	files := r.Files
	if s.Backup != "" {
		files = r.backup(in, s.Backup, &s)
	}
	if s.Conf != "" {
		conf, found := ReadConf(files, s.Conf)
		in.Conf = conf
		in.Notices = append(in.Notices, found...)
		in.filesOf(conf, &s, files)
	}
	if s.Passwords != "" {
		in.open(files, s.Passwords, func(f io.Reader) []Notice {
			list, found := ReadPasswords(s.Passwords, f)
			in.Passwords = list
			return found
		})
	}
	if s.ACL != "" {
		in.open(files, s.ACL, func(f io.Reader) []Notice {
			acl, found := ReadACL(s.ACL, f)
			in.ACL = acl
			return found
		})
	}
	if s.Dynsec != "" {
		in.open(files, s.Dynsec, func(f io.Reader) []Notice {
			d, found := ReadDynsec(s.Dynsec, f)
			in.Dynsec = d
			return found
		})
	}
	if s.Options != "" {
		in.open(files, s.Options, func(f io.Reader) []Notice {
			o, found := ReadOptions(s.Options, f)
			in.Options = o
			return found
		})
	}
	if s.Database != "" {
		r.database(in, files, s.Database)
	}
	return in
}

// backup reads a backup and returns the files that its configuration may name.
func (r Reader) backup(in *Input, name string, s *Sources) Files {
	var b *Backup
	in.open(r.Files, name, func(f io.Reader) []Notice {
		var found []Notice
		b, found = ReadBackup(name, f)
		return found
	})
	if b == nil {
		return r.Files
	}
	in.Options, in.Database = b.Options, b.Database
	if o := b.Options; o != nil && o.CustomizeActive && s.Conf == "" {
		const conf = "/customize"
		b.Shared[conf] = []byte("include_dir /share/" + o.CustomizeFolder + "\n")
		if _, err := b.Shared.List("/share/" + o.CustomizeFolder); err != nil {
			in.note(name, Left, "customize", fmt.Sprintf("the folder /share/%s is not in the backup; make one with the share folder, or name its files", o.CustomizeFolder))
		} else {
			s.Conf = conf
		}
	}
	return both{b.Shared, r.Files}
}

// both looks among the first Files, then among the second.
type both struct{ first, second Files }

func (b both) Open(name string) (io.ReadCloser, error) {
	f, err := b.first.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return b.second.Open(name)
	}
	return f, err
}

func (b both) List(dir string) ([]string, error) {
	list, err := b.first.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return b.second.List(dir)
	}
	return list, err
}

func (in *Input) note(file string, l Level, directive, text string) {
	in.Notices = append(in.Notices, Notice{File: file, Level: l, Directive: directive, Text: text})
}

// open reads a file that has to be there.
func (in *Input) open(files Files, name string, read func(io.Reader) []Notice) {
	f, err := files.Open(name)
	if err != nil {
		in.note(name, Broken, "", fmt.Sprintf("can't be read: %v", reason(err)))
		return
	}
	in.Notices = append(in.Notices, read(f)...)
	if err := f.Close(); err != nil {
		in.note(name, Broken, "", fmt.Sprintf("can't be read: %v", reason(err)))
	}
}

// filesOf takes the files that conf names where s names none.
func (in *Input) filesOf(conf *Conf, s *Sources, files Files) {
	used := conf.UsedFiles()
	pick := func(into *string, option, what string, list []string) {
		switch {
		case *into != "" || len(list) == 0:
		case len(list) > 1:
			in.note(conf.File, Broken, what, fmt.Sprintf("the listeners have different files (%q): import one after the other with %s", list, option))
		default:
			*into = list[0]
		}
	}
	pick(&s.Passwords, "--passwords", "password_file", used.Passwords)
	pick(&s.ACL, "--acl", "acl_file", used.ACL)
	pick(&s.Dynsec, "--dynsec", "plugin", used.Dynsec)
	if s.Database != "" || in.Database != nil || !conf.Persistence.On && len(used.SQLite) == 0 {
		return
	}
	name := conf.Persistence.Path()
	if len(used.SQLite) > 0 {
		name = used.SQLite[0]
	}
	f, err := files.Open(name)
	if err != nil {
		level := Broken
		if errors.Is(err, fs.ErrNotExist) {
			level = Left
		}
		in.note(name, level, "", fmt.Sprintf("there are no stored messages: %v", reason(err)))
		return
	}
	if err := f.Close(); err == nil {
		s.Database = name
	}
}

// UsedFiles are the files that a mosquitto.conf names, each once.
type UsedFiles struct{ Passwords, ACL, Dynsec, SQLite []string }

// UsedFiles lists them, those of plugins included.
func (c *Conf) UsedFiles() UsedFiles {
	var u UsedFiles
	once := func(list *[]string, name string) {
		for _, n := range *list {
			if n == name {
				return
			}
		}
		if name != "" {
			*list = append(*list, name)
		}
	}
	all := []Security{c.Security}
	if c.PerListener {
		all = nil
		for i := range c.Listeners {
			all = append(all, c.Listeners[i].Security)
		}
	}
	for _, s := range all {
		once(&u.Passwords, s.PasswordFile)
		once(&u.ACL, s.ACLFile)
	}
	for i := range c.Plugins {
		p := &c.Plugins[i]
		if !p.Used {
			continue
		}
		switch o := p.Options; p.Kind() {
		case PluginDynsec:
			once(&u.Dynsec, o["config_file"])
		case PluginPasswords:
			once(&u.Passwords, o["password_file"])
		case PluginACL:
			once(&u.ACL, o["acl_file"])
		case PluginGoAuth:
			once(&u.Passwords, o["files_password_path"])
			once(&u.ACL, o["files_acl_path"])
		case PluginSQLite:
			name := o["db_file"]
			if name == "" {
				name = filepath.Join(c.Persistence.Location, "mosquitto.sqlite3")
			}
			once(&u.SQLite, name)
		}
	}
	return u
}

// database reads a mosquitto.db or a mosquitto.sqlite3, told apart by how they begin.
func (r Reader) database(in *Input, files Files, name string) {
	in.open(files, name, func(f io.Reader) []Notice {
		const magic = "SQLite format 3\x00"
		head := make([]byte, len(magic))
		n, err := io.ReadFull(f, head)
		if err == nil && string(head) == magic {
			if r.SQLite == nil {
				return []Notice{{File: name, Level: Broken, Text: "a mosquitto.sqlite3 can't be read here"}}
			}
			db, found := r.SQLite(name)
			in.Database = db
			return found
		}
		db, found := ReadDatabase(name, io.MultiReader(bytes.NewReader(head[:n]), f))
		in.Database = db
		return found
	})
}
