package mosquitto_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hearthmq/broker/mosquitto"
)

// What is said of a file that is not what it should be holds none of its secrets, whichever
// reader it was given to, and nothing that steers a terminal (case A23). Of a word that stands
// where a keyword belongs its letters are shown, as far as they go.
func TestNoSecretInNotices(t *testing.T) {
	const secret = "6hunter2"
	files := map[string]string{
		"a tab in mosquitto.conf":   "listener 1883\nconnection b\naddress a:1\ntopic #\nremote_password\t" + secret + "\n",
		"a tab in the middle":       "connection b\nremote_password \t" + secret + "\nnonsense\t" + secret,
		"an equals sign":            "connection b\nremote_password=" + secret,
		"a colon":                   "bridge_password:" + secret,
		"without a bridge":          "remote_password " + secret,
		"twice":                     "connection b\nremote_password " + secret + "\nremote_password " + secret,
		"not UTF-8":                 "connection b\nremote_password " + secret + "\xff",
		"NUL":                       "connection b\nremote_password " + secret + "\x00",
		"a key that is none":        "connection b\nbridge_identity i\nbridge_psk " + secret,
		"a plugin's password":       "plugin_opt_pg_password " + secret + "\nplugin x.so\nplugin_opt_pg_password\t" + secret,
		"shadow":                    "root:$y$" + secret + "$salt$sum:19000:0:99999:7:::\nuser:" + secret + ":1::::::\n",
		"a password in clear":       "user:" + secret + "\nuser:$7$x$" + secret + "$" + secret + "\nuser:$6$" + secret + "\n" + secret + "\n",
		"a private key":             "-----BEGIN PRIVATE KEY-----\n" + secret + "AAAA\n-----END PRIVATE KEY-----\n",
		"dynamic security":          `{"clients":[{"username":"u","password":"` + secret + `","salt":7,"iterations":"` + secret + `"}],"roles":5}`,
		"dynamic security, a list":  `{"clients":[{"username":"u","password":["` + secret + `"],"salt":"` + secret + `"}]}`,
		"dynamic security broken":   `{"clients":[{"username":"u","password":"` + secret + `","salt":"` + secret,
		"options":                   `{"logins":[{"username":"u","password":"` + secret + `"},{"username":["` + secret + `"]},"` + secret + `"]}`,
		"options, password first":   `{"logins":{"password":"` + secret + `"},"customize":"` + secret + `"}`,
		"options as YAML":           "logins:\n  - username: u\n    password: " + secret + "\n  - password: [" + secret + "\n",
		"a name that steers":        "user \x1b[31m\u202e\ntopic \x1b[31m\u202e\ntopic deny \x1b]0;x\x07/#/#\n\x1b[31m x\n",
		"a listener that steers":    "listener \x1b[31m\u202e\nbind_address \x1b[31m\nprotocol \x1b[31m\ninclude_dir \x1b[31m\npassword_file \x1b[31m\nplugin \x1b[31m",
		"a role that steers":        `{"roles":[{"rolename":"\u001b[31m\u202e","acls":[{"acltype":"\u001b[31m","topic":"\u001b[31m","allow":true},{"acltype":"subscribeLiteral","topic":"\u001b[31m/#","allow":true},{"acltype":"subscribeLiteral","topic":"$CONTROL/\u001b[31m","allow":true}]}],"clients":[{"username":"\u001b[31m\u202e","password":"x","salt":"x","iterations":1,"roles":[{"rolename":"\u001b[31m"}]}]}`,
		"a client id as one's name": `{"clients":[{"username":"a","clientid":"\u001b[31m\u202e","password":"eA==","salt":"eA==","iterations":101}]}`,
	}
	for name, text := range files {
		dir := t.TempDir()
		file := filepath.Join(dir, "f")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for reader, s := range map[string]mosquitto.Sources{
			"conf": {Conf: file}, "passwords": {Passwords: file}, "acl": {ACL: file}, "dynsec": {Dynsec: file}, "options": {Options: file},
			"database": {Database: file}, "backup": {Backup: file},
		} {
			in := mosquitto.Reader{Files: mosquitto.Disk{}}.Read(s)
			said := fmt.Sprint(in.Notices)
			if mosquitto.Worst(in.Notices) < mosquitto.Broken {
				plan := mosquitto.NewPlan(in, mosquitto.PlanOptions{})
				var b strings.Builder
				if _, err := plan.Report.WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				said += b.String()
			}
			for _, not := range []string{secret, "\x1b", "\u202e", "\x07"} {
				if strings.Contains(said, not) {
					t.Errorf("%s, read as %s, %q is shown:\n%s", name, reader, not, said)
				}
			}
		}
	}
}

// What can't be read, whatever the reason, is Broken: nothing is imported, and serve -c goes
// on with what it had. None waits for ever, none takes what there is of it.
func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(syscall.Mkfifo(path("pipe"), 0o600))
	must(os.Symlink("pipe", path("link")))
	must(os.Mkdir(path("folder"), 0o700))
	must(os.WriteFile(path("huge"), nil, 0o600))
	must(os.Truncate(path("huge"), 100<<20)) // one line of NULs
	must(os.WriteFile(path("deep"), []byte(strings.Repeat(`{"a":`, 100_000)), 0o600))
	must(os.WriteFile(path("lists"), []byte(`{"clients":`+strings.Repeat(`[`, 100_000)), 0o600))
	for _, name := range []string{"pipe", "link", "folder", "none", "/dev/zero", "huge", "deep", "lists"} {
		file := path(name)
		if filepath.IsAbs(name) {
			file = name
		}
		for reader, s := range map[string]mosquitto.Sources{
			"conf": {Conf: file}, "passwords": {Passwords: file}, "acl": {ACL: file}, "dynsec": {Dynsec: file}, "options": {Options: file},
			"database": {Database: file}, "backup": {Backup: file},
		} {
			if name == "huge" && reader != "acl" && reader != "dynsec" {
				continue // the others read by the same two functions, and 64 MiB take their time
			}
			in := mosquitto.Reader{Files: mosquitto.Disk{}}.Read(s)
			if reader == "passwords" && (name == "deep" || name == "lists") {
				if len(in.Passwords) > 0 || len(in.Notices) == 0 {
					t.Errorf("%s as %s: %v, %v", name, reader, in.Passwords, in.Notices)
				}
				continue
			}
			if mosquitto.Worst(in.Notices) != mosquitto.Broken {
				t.Errorf("%s as %s: %v", name, reader, in.Notices)
			}
			if said := fmt.Sprint(in.Notices); len(said) > 2000 {
				t.Errorf("%s as %s: %d bytes of notices, %.300s", name, reader, len(said), said)
			}
		}
	}
}
