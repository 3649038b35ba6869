package mosquitto

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// Upload is a file that somebody sent, with the name that it had.
type Upload struct {
	Name string
	Data []byte
}

// kind is what a file seems to be, by what is in it.
type kind string

const (
	kindEmpty     kind = "an empty file"
	kindBackup    kind = "a backup"
	kindDatabase  kind = "a mosquitto.db"
	kindDynsec    kind = "a dynamic-security.json"
	kindOptions   kind = "options of the Mosquitto app"
	kindSystem    kind = "a system_user.json"
	kindConf      kind = "a mosquitto.conf"
	kindACL       kind = "an acl_file"
	kindPasswords kind = "a password_file"
	kindUnknown   kind = ""
)

var (
	passwordLine = regexp.MustCompile(`^[^:#][^:]*:\$[0-9a-z]|^[^:#][^:]*:PBKDF2\$`)
	optionsLine  = regexp.MustCompile(`^(logins|customize|require_certificate|certfile|keyfile|cafile|debug|log_dest|log_type):`)
)

// kindOf looks at how a file begins; names say too little.
func kindOf(b []byte) kind {
	text := bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
	switch {
	case len(text) == 0:
		return kindEmpty
	case bytes.HasPrefix(b, []byte("\x1f\x8b")), bytes.HasPrefix(b, []byte("SecureTar")), len(b) > 262 && string(b[257:262]) == "ustar":
		return kindBackup
	case bytes.HasPrefix(b, []byte("\x00\xb5\x00mosquitto db")), bytes.HasPrefix(b, []byte("SQLite format 3\x00")):
		return kindDatabase
	case text[0] == '{':
		return kindOfJSON(text)
	}
	return kindOfText(text)
}

func kindOfJSON(text []byte) kind {
	head := text[:min(len(text), 64<<10)]
	has := func(key string) bool { return bytes.Contains(head, []byte(`"`+key+`"`)) }
	switch {
	case has("defaultACLAccess"), has("rolename"), has("acltype"):
		return kindDynsec
	case has("logins"), has("customize"), has("require_certificate"):
		return kindOptions
	case has("homeassistant") && has("addons"):
		return kindSystem
	}
	return kindUnknown
}

func kindOfText(text []byte) kind {
	known := directives()
	conf, rights := 0, 0
	seen := 0
	for line := range strings.Lines(string(text[:min(len(text), 256<<10)])) {
		line = strings.TrimRight(line, "\r\n\t ")
		if line == "" || line[0] == '#' || len(line) > 4096 {
			continue
		}
		if seen++; seen > 200 {
			break
		}
		switch keyword, _ := word(line); {
		case passwordLine.MatchString(line):
			return kindPasswords
		case optionsLine.MatchString(line):
			return kindOptions
		case keyword == "topic" || keyword == "pattern" || keyword == "user":
			rights++
		case known[keyword].set != nil || strings.HasPrefix(keyword, "plugin_opt_") || strings.HasPrefix(keyword, "auth_opt_"):
			conf++
		}
	}
	switch {
	case conf > 0:
		return kindConf
	case rights > 0:
		return kindACL
	}
	return kindUnknown
}

// uploads are files by their names; others that name them by a path of the machine they
// come from find them by the last part of it.
type uploads struct{ Uploaded }

func (u uploads) Open(name string) (io.ReadCloser, error) {
	f, err := u.Uploaded.Open(name)
	if err == nil {
		return f, nil
	}
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	for have, b := range u.Uploaded {
		if path.Base(have) == base {
			return io.NopCloser(bytes.NewReader(b)), nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: notSent{}}
}

// notSent is the error for a file that another one names and nobody sent.
type notSent struct{}

func (notSent) Error() string { return "it is not among the files that were sent" }

// Is makes it one of package fs.
func (notSent) Is(target error) bool { return target == fs.ErrNotExist }

// List finds no folders: what include_dir names is sent as files of its own.
func (u uploads) List(dir string) ([]string, error) {
	return nil, &fs.PathError{Op: "list", Path: dir, Err: notSent{}}
}

// ReadUploads reads what somebody sent, whatever it is.
func ReadUploads(list []Upload) *Input {
	var s Sources
	var broken []Notice
	files := uploads{Uploaded{}}
	into := map[kind]*string{
		kindBackup: &s.Backup, kindDatabase: &s.Database, kindDynsec: &s.Dynsec, kindOptions: &s.Options,
		kindConf: &s.Conf, kindACL: &s.ACL, kindPasswords: &s.Passwords,
	}
	say := func(name string, l Level, format string, args ...any) {
		broken = append(broken, Notice{File: name, Level: l, Text: fmt.Sprintf(format, args...)})
	}
	for i, u := range list {
		name := path.Base(path.Clean(strings.ReplaceAll("/"+u.Name, `\`, "/")))
		if name == "/" || name == "." {
			name = fmt.Sprintf("file %d", i+1)
		}
		if _, there := files.Uploaded[name]; there {
			say(name, Broken, "there are two files of this name")
			continue
		}
		files.Uploaded[name] = u.Data
		switch k := kindOf(u.Data); {
		case k == kindEmpty:
			say(name, Left, "the file is empty")
		case k == kindSystem:
			say(name, Left, "the passwords of the system users stay behind: HearthMQ has its own and tells Home Assistant")
		case into[k] == nil:
			say(name, Broken, "this is nothing that Mosquitto writes, or it is damaged")
		case *into[k] != "":
			say(name, Broken, "this is %s, and so is %s: send one of them", k, *into[k])
		default:
			*into[k] = name
		}
	}
	in := Reader{Files: files}.Read(s)
	in.Notices = append(in.Notices, broken...)
	return in
}
