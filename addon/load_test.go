package addon

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var compare = cmp.Options{
	cmp.AllowUnexported(Options{}),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// load reads settings from text ("-" for no file) and environment.
func load(t *testing.T, text string, environ ...string) (*Options, []string, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "options.json")
	if text != "-" {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(Source{File: name, Environ: environ, Folder: "/srv/hearth"})
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		environ    []string
		want       func(o *Options)
		warnings   []string
	}{
		// case D2
		{"no file", "-", nil, nil, nil},
		{"empty file", "", nil, nil, nil},
		{"blanks", " \n", nil, nil, nil},
		{"empty object", "{}", nil, nil, nil},
		{"null object", "null", nil, nil, nil},
		{"byte order mark", "\xef\xbb\xbf" + `{"log_level": "debug"}`, nil, func(o *Options) { o.LogLevel = "debug" }, nil},
		{"null means default", `{"max_connections": null}`, nil, nil, nil},
		{
			"unknown keys", `{"customize": {"active": true}, "debug": false, "log_level": "trace"}`, nil,
			func(o *Options) { o.LogLevel = "trace" },
			[]string{"setting customize is not known and ignored", "setting debug is not known and ignored"},
		},

		{
			"as Mosquitto's app writes it",
			`{"logins": [{"username": "lamp", "password": "pw"}, {"username": "bus", "password": "PBKDF2$x", "password_pre_hashed": true}],
			  "require_certificate": false, "certfile": "fullchain.pem", "keyfile": "privkey.pem"}`, nil,
			func(o *Options) {
				o.Logins = []Login{{Username: "lamp", Password: "pw"}, {Username: "bus", Password: "PBKDF2$x", PreHashed: true}}
			}, nil,
		},
		{"password of digits", `{"logins": [{"username": "lamp", "password": 1234567890}]}`, nil, func(o *Options) {
			o.Logins = []Login{{Username: "lamp", Password: "1234567890"}}
		}, nil},
		{"unknown key of a login", `{"logins": [{"username": "lamp", "password": "pw", "admin": true}]}`, nil, func(o *Options) {
			o.Logins = []Login{{Username: "lamp", Password: "pw"}}
		}, []string{"setting logins[0].admin is not known and ignored"}},

		{"size in bytes", `{"max_packet_size": 2000000}`, nil, func(o *Options) { o.MaxPacketSize = 2000000 }, nil},
		{"size with a unit", `{"max_packet_size": "64MB"}`, nil, func(o *Options) { o.MaxPacketSize = 64 << 20 }, nil},
		{"size in text", `{"max_packet_size": "4096"}`, nil, func(o *Options) { o.MaxPacketSize = 4096 }, nil},
		{"size, binary unit", `{"memory_limit": "1.5 GiB"}`, nil, func(o *Options) { o.MemoryLimit = 3 << 29 }, nil},
		{"seconds", `{"max_keepalive": 30}`, nil, func(o *Options) { o.MaxKeepAlive = seconds(30) }, nil},
		{"duration", `{"max_keepalive": "1m30s"}`, nil, func(o *Options) { o.MaxKeepAlive = seconds(90) }, nil},
		{"days", `{"session_expiry_max": "7d"}`, nil, func(o *Options) { o.SessionExpiryMax = Duration(7 * 24 * time.Hour) }, nil},
		{"bare port", `{"mqtt_address": 1993, "ws_address": "1994"}`, nil, func(o *Options) { o.MQTTAddress, o.WSAddress = ":1993", ":1994" }, nil},
		{"whole number in text", `{"max_connections": "50"}`, nil, func(o *Options) { o.MaxConnections = 50 }, nil},
		{"yes", `{"ui_admin_only": "no"}`, nil, func(o *Options) { o.UIAdminOnly = false }, nil},
		{"networks", `{"proxy_protocol": ["10.0.0.0/8", "fd00::1"]}`, nil, func(o *Options) {
			o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::1/128")}
		}, nil},
		{"IPv4 networks written as IPv6", `{"trusted_proxies": ["::ffff:192.168.1.2", "::ffff:10.0.0.0/104"]}`, nil, func(o *Options) { // case A24
			o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.168.1.2/32"), netip.MustParsePrefix("10.0.0.0/8")}
		}, nil},
		{"one port for two", `{"mqtt_address": ":1883", "ws_address": ":1883"}`, nil, func(o *Options) { o.WSAddress = ":1883" }, nil},

		{
			"environment over file", `{"log_level": "debug", "anonymous": "full"}`,
			[]string{"HEARTHMQ_LOG_LEVEL=error", "HOME=/root", "HEARTHMQ_MAX_CONNECTIONS=12", "HEARTHMQ_UI_ADMIN_ONLY=false", "HEARTHMQ_MAX_KEEPALIVE=45s"},
			func(o *Options) {
				o.LogLevel, o.Anonymous, o.MaxConnections, o.UIAdminOnly, o.MaxKeepAlive = "error", "full", 12, false, seconds(45)
			}, nil,
		},
		{"list in the environment", "-", []string{"HEARTHMQ_PROXY_PROTOCOL=10.0.0.0/8, 192.168.1.2"}, func(o *Options) {
			o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.2/32")}
		}, nil},
		{"JSON in the environment", "-", []string{`HEARTHMQ_LOGINS=[{"username":"lamp","password":"a,b=c"}]`}, func(o *Options) {
			o.Logins = []Login{{Username: "lamp", Password: "a,b=c"}}
		}, nil},
		{
			"nested in the environment", `{"logins": [{"username": "old", "password": "x"}]}`,
			[]string{"HEARTHMQ_LOGINS__0__USERNAME=lamp", "HEARTHMQ_LOGINS__0__PASSWORD=007", "HEARTHMQ_LOGINS__1__USERNAME=bus", "HEARTHMQ_LOGINS__1__PASSWORD=pw"},
			func(o *Options) {
				o.Logins = []Login{{Username: "lamp", Password: "007"}, {Username: "bus", Password: "pw"}}
			}, nil,
		},
		{"empty address is off", "-", []string{"HEARTHMQ_WS_ADDRESS=", "HEARTHMQ_CERTFILE="}, func(o *Options) { o.WSAddress, o.CertFile = "", "" }, nil},
		{"empty number is not set", "-", []string{"HEARTHMQ_MAX_CONNECTIONS=", "HEARTHMQ_ANONYMOUS="}, nil, nil},
		{"unknown variable", "-", []string{"HEARTHMQ_COLOUR=red"}, nil, []string{"setting colour is not known and ignored"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, warnings, err := load(t, tt.text, tt.environ...)
			if err != nil {
				t.Fatal(err)
			}
			want := Defaults(false)
			want.folder = "/srv/hearth"
			if tt.want != nil {
				tt.want(want)
			}
			got.origins = nil // see TestDescribeSaysWhereAValueComesFrom
			if d := cmp.Diff(want, got, compare); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if d := cmp.Diff(tt.warnings, warnings); d != "" {
				t.Errorf("warnings (-want +got)\n%s", d)
			}
		})
	}
}

func TestLoadProblems(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		environ    []string
		want       []string
	}{
		// case D2
		{"half-written", "{\n\"log_level\": \"info\",\n\"max", nil, []string{"options.json: not valid JSON, line 3: unexpected end of JSON input"}},
		{"not JSON", "log_level: info", nil, []string{"options.json: not valid JSON, line 1: invalid character 'l' looking for beginning of value"}},
		{"a list", "[]", nil, []string{"options.json: not valid settings: the file must hold one JSON object, { … }"}},
		{"10 MB", strings.Repeat(" ", 10<<20), nil, []string{"options.json: larger than 1MB, that can't be the settings"}},

		{
			"all wrong types at once",
			`{"max_connections": "many", "max_packet_size": "big", "max_keepalive": true, "require_certificate": "maybe", "proxy_protocol": ["home"],
			  "logins": "lamp", "log_level": 3, "max_inflight": 1.5, "retained_max_messages": [1], "session_expiry_max": "-3s", "web_address": {}}`, nil,
			[]string{
				`log_level: must be one of trace, debug, info, warning, error, not "3"`,
				`logins: must be a list of {username, password}`,
				`max_connections: must be a whole number, not "many"`,
				`max_inflight: must be a whole number, not 1.5`,
				`max_keepalive: must be a duration such as 30 (seconds), "30s" or "7d", not true`,
				`max_packet_size: must be a size such as 67108864 or "64MB", not "big"`,
				`proxy_protocol: must be a list of networks such as ["192.168.1.0/24"]`,
				`require_certificate: must be true or false, not "maybe"`,
				`retained_max_messages: must be a whole number`,
				`session_expiry_max: must be a duration such as 30 (seconds), "30s" or "7d", not "-3s"`,
				`web_address: must be a text`,
			},
		},
		{
			"all out of range at once",
			`{"max_connections": -1, "max_packet_size": 10, "max_inflight": 65536, "max_queued_messages": 0, "max_queued_bytes": 1, "max_keepalive": "70000s",
			  "session_expiry_max": "200y", "retained_max_messages": -1, "retained_max_bytes": 3, "memory_limit": "1MB", "anonymous": "on",
			  "durability": "fast", "queue_full": "explode", "log_level": "loud"}`, nil,
			[]string{
				`anonymous: must be one of off, restricted, full, not "on"`,
				`durability: must be one of durable, balanced, sd_saver, memory, not "fast"`,
				`log_level: must be one of trace, debug, info, warning, error, not "loud"`,
				`max_connections: must be 0 or between 1 and 1000000`,
				`max_inflight: must be between 1 and 65535`,
				`max_keepalive: must be 0 or between 1s and 65535 (seconds)`,
				`max_packet_size: must be between 256 and 268435460`,
				`max_queued_bytes: must be between 1KB and 64GB`,
				`max_queued_messages: must be between 1 and 100000000`,
				`memory_limit: must be 0 or between 32MB and 1024GB`,
				`queue_full: must be one of drop_oldest, drop_newest, disconnect, not "explode"`,
				`retained_max_bytes: must be 0 or between 1KB and 1024GB`,
				`retained_max_messages: must be 0 or between 1 and 1000000000`,
				`session_expiry_max: must be a duration such as 30 (seconds), "30s" or "7d", not "200y"`,
			},
		},
		{"half a second of keep alive", `{"max_keepalive": "1500ms"}`, nil, []string{`max_keepalive: must be whole seconds`}},
		{"not an address", `{"mqtt_address": "home", "web_address": "http://localhost:8080", "ws_address": ":99999"}`, nil, []string{
			`mqtt_address: must be a port such as 1883, or an address with one such as ":1883" or "192.168.1.2:1883", not "home"`,
			`web_address: must be a port such as 1883, or an address with one such as ":1883" or "192.168.1.2:1883", not "http://localhost:8080"`,
			`ws_address: must be a port such as 1883, or an address with one such as ":1883" or "192.168.1.2:1883", not ":99999"`,
		}},
		{"same port, TLS and not", `{"mqtts_address": ":1883"}`, nil, []string{`mqtts_address: port 1883 is taken by mqtt_address already`}},
		{"same port, the admin", `{"web_address": ":1883"}`, nil, []string{`web_address: port 1883 is taken by mqtt_address already`}},
		{"same port, two hosts of which one is all", `{"ws_address": "192.168.1.2:1883"}`, nil,
			[]string{`ws_address: port 1883 is that of mqtt_address too: write the same address in both to serve both there`}},
		{"nothing to connect to", `{"mqtt_address": "", "ws_address": "", "mqtts_address": "", "wss_address": ""}`, nil,
			[]string{`mqtt_address: no client could connect: every address is off`}},
		{"certificates without an authority", `{"crlfile": "crl.pem", "certificate_user": "cn", "certificate_users": [{"certificate": "lamp", "username": "lamp"}]}`, nil,
			[]string{
				`certificate_user: needs cafile, the certificates that clients' certificates are signed with`,
				`certificate_users: needs cafile, the certificates that clients' certificates are signed with`,
				`crlfile: needs cafile, the certificates that clients' certificates are signed with`,
			}},
		{"odd users of certificates", `{"cafile": "ca.pem", "certificate_users": [{"username": "lamp"}, {"certificate": "x", "username": "a+b"}], "ws_origins": ["panel.example"]}`, nil,
			[]string{
				`certificate_users: every entry needs a certificate: its fingerprint, Common Name or alternative name`,
				`certificate_users: username "a+b": + and # are wildcards in topics and can't be part of a name`,
				`ws_origins: must be origins such as "https://panel.example", not "panel.example"`,
			}},
		{"everybody a trusted proxy", `{"trusted_proxies": ["192.168.1.2", "0.0.0.0/0", "::/0"]}`, nil, []string{ // case A24
			`trusted_proxies: 0.0.0.0/0 would believe everybody: name the proxies alone, such as "192.168.1.2"`,
			`trusted_proxies: ::/0 would believe everybody: name the proxies alone, such as "192.168.1.2"`,
		}},
		{"certificates required of nobody", `{"require_certificate": true}`, nil,
			[]string{`require_certificate: needs cafile, the certificates that clients' certificates are signed with`}},
		{"secret in a wrong place", `{"logins": [{"username": "a", "password": {"secret": "topsecret"}}]}`, nil,
			[]string{`logins: must be a list of {username, password}`}},
		{"from the environment", "-", []string{"HEARTHMQ_MAX_CONNECTIONS=lots", "HEARTHMQ_LOGINS__X__USERNAME=a"}, []string{
			`logins: must be a list of {username, password}`, `max_connections: must be a whole number, not "lots"`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, tt.text, tt.environ...)
			if err == nil {
				t.Fatal("no error")
			}
			var got []string
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if i := strings.Index(line, "options.json:"); i > 0 {
					line = line[i:]
				}
				got = append(got, line)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if _, ok := errors.AsType[Problems](err); !ok {
				t.Errorf("a %T, want Problems", err)
			}
		})
	}
}

func TestLoadInApp(t *testing.T) {
	o, _, err := load(t, `{}`, "SUPERVISOR_TOKEN=abc")
	if err != nil {
		t.Fatal(err)
	}
	if o.WebAddress != "" || o.IngressAddress != ":8099" || !o.App() {
		t.Errorf("web %q, ingress %q, app %v", o.WebAddress, o.IngressAddress, o.App())
	}
	for _, l := range o.Listeners() {
		if l.TLS != nil && (l.TLS.CertFile != "/ssl/fullchain.pem" || l.TLS.KeyFile != "/ssl/privkey.pem") {
			t.Errorf("%s uses %s and %s", l.Name, l.TLS.CertFile, l.TLS.KeyFile)
		}
	}
	// case D3: a token that is there and empty is no Supervisor.
	if o, _, err = load(t, `{}`, "SUPERVISOR_TOKEN="); err != nil || o.App() {
		t.Errorf("app %v, %v", o.App(), err)
	}
}

// A file that is none is an error that says so, at once: without the settings nothing starts,
// and none is made up. What is said has no secret in it.
func TestUnreadableFile(t *testing.T) {
	const secret = "6hunter2"
	file := func(text string) func(string) error {
		return func(name string) error { return os.WriteFile(name, []byte(text), 0o600) }
	}
	for name, x := range map[string]struct {
		make func(name string) error
		want string
	}{
		"folder":           {func(name string) error { return os.Mkdir(name, 0o700) }, "open settings: "},
		"pipe":             {func(name string) error { return syscall.Mkfifo(name, 0o600) }, "not a regular file"},
		"device":           {func(name string) error { return os.Symlink("/dev/zero", name) }, "not a regular file"},
		"link to itself":   {func(name string) error { return os.Symlink(name, name) }, "too many levels"},
		"100 MB":           {func(name string) error { return errors.Join(file("")(name), os.Truncate(name, 100<<20)) }, "larger than"},
		"breaks off":       {file(`{"logins": [{"username": "u", "password": "` + secret), "not valid JSON, line 1"},
		"deep":             {file(strings.Repeat(`{"a":`, 100_000)), "not valid JSON"},
		"NUL":              {file("{\"log_level\": \"info\"\x00}"), "not valid JSON, line 1"},
		"a list":           {file(`["` + secret + `"]`), "one JSON object"},
		"a text":           {file(`"` + secret + `"`), "one JSON object"},
		"shadow":           {file("root:$y$" + secret + ":1:0:::::\n"), "not valid JSON, line 1"},
		"logins, a text":   {file(`{"logins": "u:` + secret + `"}`), "logins: must be"},
		"logins, a number": {file(`{"logins": [{"username": "u", "password": ["` + secret + `"]}]}`), "logins: must be"},
		"one login":        {file(`{"logins": {"username": "u", "password": "` + secret + `"}}`), "logins: must be"},
	} {
		path := filepath.Join(t.TempDir(), "options.json")
		if err := x.make(path); err != nil {
			t.Fatal(name, err)
		}
		_, warnings, err := Load(Source{File: path})
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), path, ""), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
		if strings.Contains(fmt.Sprint(warnings, err), secret) {
			t.Errorf("%s: the secret is shown: %v, %v", name, warnings, err)
		}
	}
}

// Every key has a default that is fit to run with, and every field a key.
func TestDefaults(t *testing.T) {
	for _, app := range []bool{false, true} {
		if err := Defaults(app).Validate(); err != nil {
			t.Errorf("app %v: %v", app, err)
		}
	}
	for f := range reflect.TypeFor[Options]().Fields() {
		if f.IsExported() && f.Tag.Get("koanf") == "" {
			t.Errorf("%s has no key", f.Name)
		}
	}
}
