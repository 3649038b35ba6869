package mosquitto_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hearthmq/broker/mosquitto"
)

const optionsYAML = `logins:
  - username: anna
    password: "se: cret # \" \u00e4"
  - username: 'bert'   # comment
    password: it''s
  - username: hashed
    password_pre_hashed: true
    password: >-
require_certificate: false
`

const goodYAML = `logins:
- username: anna
  password: "se: cret # \" \u00e4"
-   username: bert   # comment
    password: 12345
- {}
- username: addons
  password: x
log_dest: []
log_type:
  - debug
certfile: fullchain.pem
customize:
  active: true
  folder: mosquitto
require_certificate: true
`

const optionsJSON = `{"logins": [{"username": "anna", "password": "se: cret # \" ä"}, {"username": "bert", "password": 12345},
 {}, {"username":"addons","password":"x"}], "log_dest": [], "log_type": ["debug"], "certfile": "fullchain.pem",
 "customize": {"active": true, "folder": "mosquitto"}, "require_certificate": true}`

func TestOptions(t *testing.T) {
	want := &mosquitto.Options{
		File: "o", CertFile: "fullchain.pem", KeyFile: "privkey.pem", CustomizeActive: true, CustomizeFolder: "mosquitto", RequireCertificate: true, LogType: []string{"debug"},
		Logins: []mosquitto.OptionsLogin{{Username: "anna", Password: `se: cret # " ä`}, {Username: "bert", Password: "12345"}},
	}
	for name, text := range map[string]string{"yaml": goodYAML, "windows": strings.ReplaceAll(goodYAML, "\n", "\r\n"), "json": optionsJSON} {
		got, found := mosquitto.ReadOptions("o", strings.NewReader(text))
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(mosquitto.Options{}), cmpopts.IgnoreFields(mosquitto.OptionsLogin{}, "Line")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(found) != 2 || mosquitto.Worst(found) != mosquitto.Left {
			t.Errorf("%s: %v", name, found)
		}
	}
	for name, text := range map[string]string{
		"block text": optionsYAML, "empty": "", "a list": "- a", "a number": "{\"logins\": 5}", "tab": "logins:\n\t- a: b", "half": optionsJSON[:80],
		"indent": "logins:\n    - username: a\n  password: b", "anchor": "debug: &x true", "flow": "logins: [{username: a}]", "other": "colour: red", "twice": "debug: true\ndebug: false",
	} {
		if o, found := mosquitto.ReadOptions("o", strings.NewReader(text)); o != nil || mosquitto.Worst(found) != mosquitto.Broken {
			t.Errorf("%s: %+v, %v", name, o, found)
		}
	}
}

// file is one entry of a tar.
type file struct {
	tar.Header
	text []byte
}

func tarOf(tb testing.TB, packed bool, files ...file) []byte {
	tb.Helper()
	var b bytes.Buffer
	var w io.Writer = &b
	z := gzip.NewWriter(&b)
	if packed {
		w = z
	}
	t := tar.NewWriter(w)
	for _, f := range files {
		if f.Typeflag == 0 {
			f.Typeflag, f.Size = tar.TypeReg, int64(len(f.text))
		}
		if err := t.WriteHeader(&f.Header); err != nil {
			tb.Fatal(err)
		}
		if _, err := t.Write(f.text); err != nil {
			tb.Fatal(err)
		}
	}
	if err := t.Close(); err != nil {
		tb.Fatal(err)
	}
	if packed {
		if err := z.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Bytes()
}

func entry(name string, text []byte) file { return file{tar.Header{Name: name, Mode: 0o600}, text} }

func haBackup(tb testing.TB, extra ...file) []byte {
	inner := tarOf(tb, true,
		entry("addon.json", []byte(`{"user":{"options":{"debug":true}}}`)),
		entry("data/options.json", []byte(optionsJSON)), entry("data/system_user.json", []byte(`{"homeassistant":{"password":"topsecret"},"addons":{"password":"x"}}`)),
		entry("data/mosquitto.db", writeDatabase(6, example(6))))
	share := tarOf(tb, true, entry("./mosquitto/acl.conf", []byte("acl_file /share/mosquitto/accesscontrollist\n")),
		entry("./mosquitto/accesscontrollist", []byte("user anna\ntopic readwrite home/#\nuser bert\n")))
	files := []file{entry("./backup.json", []byte("{}")), entry("./homeassistant.tar.gz", []byte("unreadable")), entry("./share.tar.gz", share), entry("./core_mosquitto.tar.gz", inner)}
	return tarOf(tb, false, append(files, extra...)...)
}

func TestBackup(t *testing.T) {
	b, found := mosquitto.ReadBackup("b.tar", bytes.NewReader(haBackup(t)))
	if b == nil || len(b.Options.Logins) != 2 || len(b.Database.Retained) != 1 || len(b.SystemUsers) != 2 || len(b.Shared) != 2 {
		t.Fatalf("%+v, %v", b, found)
	}
	if strings.Contains(fmt.Sprint(found), "topsecret") {
		t.Error("a password shows")
	}
	whole := haBackup(t)
	for name, text := range map[string][]byte{
		"nothing": nil, "not a tar": []byte("hello"), "cut": whole[:len(whole)/2], "without the app": tarOf(t, true, entry("a", nil)),
		"traversal": haBackup(t, entry("../../etc/passwd", nil)), "absolute": haBackup(t, entry("/etc/passwd", nil)), "windows": haBackup(t, entry(`a\..\b`, nil)),
		"encrypted": []byte("SecureTar\x03\x00\x00\x00\x00\x00\x00"),
	} {
		if b, found := mosquitto.ReadBackup("b", bytes.NewReader(text)); b != nil || mosquitto.Worst(found) != mosquitto.Broken { // case W19
			t.Errorf("%s: %+v, %v", name, b, found)
		}
	}
	// Links are passed over, whatever they point at.
	link := file{tar.Header{Name: "data/options.json", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}, nil}
	if b, found := mosquitto.ReadBackup("b", bytes.NewReader(tarOf(t, false, link))); b != nil {
		t.Errorf("%+v, %v", b, found)
	}
}

// zeros is a stream of n zeros.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.n)
	clear(p[:n])
	z.n -= n
	return int(n), nil
}

func TestBackupBomb(t *testing.T) { // case W19
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "data/options.json", Size: 64 << 20, Mode: 0o600, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, &zeros{64 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	got, found := mosquitto.ReadBackup("b", &b)
	if got != nil || !strings.Contains(fmt.Sprint(found), "larger than 1024 KiB") {
		t.Errorf("%+v, %v", got, found)
	}
}
