package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mosq "hearthmq/broker/mosquitto"
)

// stand runs `serve -c` with a configuration until the test ends. @1 to @3 stand for
// free ports, @DIR for the folder.
type stand struct {
	*ownStandIn
	tb    testing.TB
	dir   string
	ports []string
}

func newStand(tb testing.TB) *stand {
	tb.Helper()
	return &stand{ownStandIn: new(ownStandIn), tb: tb, dir: tb.TempDir(), ports: freePorts(tb, 3)}
}

func (s *stand) write(name, text string) string {
	s.tb.Helper()
	text = strings.ReplaceAll(text, "@DIR", s.dir)
	for i, p := range s.ports {
		text = strings.ReplaceAll(text, fmt.Sprintf("@%d", i+1), p)
	}
	path := filepath.Join(s.dir, name)
	writeFile(s.tb, path, text)
	return path
}

// up starts with a mosquitto.conf.
func (s *stand) up(conf string) {
	s.tb.Helper()
	s.start(s.tb, s.write("mosquitto.conf", conf))
	s.tb.Cleanup(func() {
		if s.cancel != nil {
			s.cancel()
		}
	})
}

// play runs a script; a client's name ends in the number of its port.
func (s *stand) play(script string) []string {
	s.tb.Helper()
	return play(s.tb, script, func(client string) (string, string, *tls.Config) {
		return "tcp", net.JoinHostPort("127.0.0.1", s.ports[client[len(client)-1]-'1']), nil
	}, func(words []string) bool {
		if words[0] == "--" {
			s.reload(s.tb)
			return true
		}
		return false
	})
}

func (s *stand) expect(script string, want ...string) {
	s.tb.Helper()
	var got []string
	for _, line := range s.play(script) {
		_, said, _ := strings.Cut(line, " → ")
		got = append(got, said)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.tb.Errorf("%s\ngot\n  %s\nwant\n  %s", script, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

const connected = "CONNACK 0 present=false"

// -p PORT alone: this machine, whoever comes.
func TestStandInPortAlone(t *testing.T) {
	s := newStand(t)
	s.args = []string{"serve", "-p", s.ports[0], "-v"}
	s.start(t, "")
	s.expect("a1 connect id=a\na1 pub t qos=1", connected, "PUBACK 0x0")
	if ip := outside(); ip != "" {
		if c, err := net.Dial("tcp", net.JoinHostPort(ip, s.ports[0])); err == nil {
			c.Close()
			t.Error("open to others than this machine")
		}
	}
	s.stop(t)
	if list, err := filepath.Glob(filepath.Join(os.TempDir(), "hearthmq-[0-9]*")); err != nil || len(list) > 0 && strings.Contains(s.log.String(), list[0]) {
		t.Error("something is left behind:", list, err)
	}
}

// outside is an address of this machine that is not loopback, "" where there is none.
func outside() string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	return ""
}

func TestStandInRefuses(t *testing.T) {
	for conf, want := range map[string]string{
		"listener @1\npsk_hint x\n":                      "mosquitto.conf:2: psk_hint",
		"listener @1\nnonsense\n":                        "mosquitto.conf:2: \"nonsense\" is not a directive",
		"listener @1\npassword_file @DIR/none\n":         "none: can't be read",
		"listener @1\nlog_dest file @DIR/none/x.log\n":   "log_dest",
		"listener @1\ncertfile @DIR/x\nkeyfile @DIR/x\n": "does not exist",
	} {
		s := newStand(t)
		code := command(t, s.dir, "", "serve", "-c", s.write("mosquitto.conf", conf))
		if code.code == 0 || !strings.Contains(code.stderr, want) {
			t.Errorf("%q: exit %d, %s, want %q", conf, code.code, code.stderr, want)
		}
		if strings.Contains(want, "mosquitto.conf:") && code.code != exitConf {
			t.Errorf("%q: exit %d", conf, code.code)
		}
		if code := command(t, s.dir, "", "serve", "--test-config", "-c", filepath.Join(s.dir, "mosquitto.conf")); code.code == 0 != (want == "does not exist") {
			t.Errorf("%q: tested: exit %d, %s", conf, code.code, code.stderr)
		}
	}
	s := newStand(t)
	if code := command(t, s.dir, "", "serve", "--test-config", "-c", s.write("mosquitto.conf", "listener @1\nallow_anonymous true\npersistence true\npersistence_location @DIR/\n")); code.code != 0 {
		t.Errorf("a right file: exit %d, %s", code.code, code.stderr)
	}
	if files, err := os.ReadDir(s.dir); err != nil || len(files) != 1 {
		t.Error("testing a file leaves something behind:", files, err)
	}
}

// The configuration of a complete guide, with the files that its commands make.
func TestStandInGuide(t *testing.T) {
	need(t, "mosquitto_passwd and mosquitto_sub", have("mosquitto_passwd") && have("mosquitto_sub"))
	s := newStand(t)
	copyCertificates(t, s.dir)
	s.write("passwd", passwordFile(t, "admin:a\nhomeassistant:h\nzigbee2mqtt:z\nnodered:n\n"))
	s.write("acl", `user admin
topic readwrite #
topic readwrite $SYS/#

user homeassistant
topic readwrite homeassistant/#
topic readwrite zigbee2mqtt/#

user zigbee2mqtt
topic readwrite zigbee2mqtt/#
topic write homeassistant/#

user nodered
topic readwrite #

pattern read $SYS/broker/load/#
`)
	s.up(`listener @1
protocol mqtt

listener @2
protocol mqtt
cafile @DIR/ca.crt
certfile @DIR/server.crt
keyfile @DIR/server.key
tls_version tlsv1.2

listener @3
protocol websockets

allow_anonymous false
password_file @DIR/passwd
acl_file @DIR/acl

max_connections 1000
max_inflight_messages 20
max_queued_messages 1000

persistence true
persistence_location @DIR/

log_dest stderr
log_type all
sys_interval 1

connection cloud
address 127.0.0.1:1
topic homeassistant/# out 1
topic commands/# in 1
remote_username cloud
remote_password secret
`)
	s.expect(`
		h1 connect id=h user=homeassistant pass=h
		h1 sub # qos=1
		z1 connect id=z user=zigbee2mqtt pass=z
		z1 pub homeassistant/light/config retain qos=1
		z1 pub nodered/x qos=1
		h1 recv
		n1 connect id=n
		n1 connect id=n user=admin pass=wrong
	`, connected, "SUBACK [1]", connected, "PUBACK 0x0", "PUBACK 0x0", "homeassistant/light/config=x q1 rfalse", "CONNACK 5 present=false", "CONNACK 5 present=false")
	// The monitoring commands of the field, over TLS.
	for _, name := range []string{"load/messages/received/1min", "clients/connected", "heap/current", "publish/messages/received"} {
		user := []string{"-u", "admin", "-P", "a"}
		if strings.HasPrefix(name, "load/") {
			user = []string{"-u", "zigbee2mqtt", "-P", "z"} // by the pattern
		}
		args := append([]string{"-h", "localhost", "-p", s.ports[1], "--cafile", filepath.Join(s.dir, "ca.crt"), "-t", "$SYS/broker/" + name, "-C", "1", "-W", "60"}, user...)
		out, err := exec.CommandContext(t.Context(), "mosquitto_sub", args...).Output()
		if err != nil || strings.Trim(string(out), "0123456789.\n") != "" || len(out) < 2 {
			t.Errorf("$SYS/broker/%s: %q %v", name, out, err)
		}
	}
	if log := s.log.String(); !strings.Contains(log, "bridge=cloud") || strings.Contains(log, "secret") {
		t.Error("the bridge is not spoken of, or its password is")
	}
	s.stop(t)
}

// The bridges of the file, and others after rereading it.
func TestStandInBridge(t *testing.T) {
	far, near := newStand(t), newStand(t)
	far.up("listener @1 127.0.0.1\nallow_anonymous true\n")
	conf := "listener @1 127.0.0.1\nallow_anonymous true\nsys_interval 1\nconnection far\naddress 127.0.0.1:" + far.ports[0] + "\nremote_clientid me\nrestart_timeout 1\nbridge_reload_type immediate\n"
	near.up(conf + "topic out/# out 1\ntopic in/# in 1 here/\n")
	eventually(t, "the bridge stands", func() bool { return strings.Contains(near.log.String(), "bridge connected") })
	far.expect("w1 connect id=w\nw1 sub $SYS/broker/connection/me/state qos=0\nw1 await 1", connected, "SUBACK [0]", "$SYS/broker/connection/me/state=… q0 rtrue")
	far.expect("w1 connect id=w2 keep\nw1 sub out/# qos=1\nw1 sub new/# qos=1\nw1 close", connected, "SUBACK [1]", "SUBACK [1]", "")
	near.expect("n1 connect id=n\nn1 pub out/a qos=1 payload=1", connected, "PUBACK 0x0")
	far.expect("w1 connect id=w2 keep\nw1 await 1\nw1 close", "CONNACK 0 present=true", "out/a=1 q1 rfalse", "")

	near.write("mosquitto.conf", conf+"topic new/# out 1\nnonsense\n")
	near.expect("--\nn1 connect id=n\nn1 pub out/b qos=1 payload=2", connected, "PUBACK 0x0") // the file is wrong: all stays
	far.expect("w1 connect id=w2 keep\nw1 await 1\nw1 close", "CONNACK 0 present=true", "out/b=2 q1 rfalse", "")
	near.write("mosquitto.conf", conf+"topic new/# out 1\n")
	near.expect("--\nn1 connect id=n\nn1 pub out/c qos=1 payload=3\nn1 pub new/d qos=1 payload=4", connected, "PUBACK 0x0", "PUBACK 0x0")
	far.expect("w1 connect id=w2 keep\nw1 await 1\nw1 close", "CONNACK 0 present=true", "new/d=4 q1 rfalse", "")
	near.stop(t)
	far.stop(t)
}

// All or nothing, and nobody is dropped who need not be.
func TestStandInReload(t *testing.T) {
	s := newStand(t)
	s.write("acl", "topic #\n")
	const conf = "listener @1 127.0.0.1\nallow_anonymous true\nacl_file @DIR/acl\n"
	s.up(conf + "listener @2 127.0.0.1\n")
	busy, err := net.Listen("tcp", "127.0.0.1:"+s.ports[2])
	if err != nil {
		t.Fatal(err)
	}
	check := func(script string, want ...string) {
		t.Helper()
		s.expect("a1 connect id=a\na1 sub t qos=0\nb2 connect id=b\n"+script, append([]string{connected, "SUBACK [0]", connected}, want...)...)
	}
	// A line that is wrong, and a port that is taken: nothing changes, not even the rights.
	s.write("acl", "topic deny #\n")
	s.write("mosquitto.conf", conf+"listener @2 127.0.0.1\nnonsense 1\n")
	check("--\nb2 pub t qos=1\na1 recv", "PUBACK 0x0", "t=x q0 rfalse")
	s.write("mosquitto.conf", conf+"listener @3 127.0.0.1\n")
	check("--\nb2 pub t qos=1\na1 recv", "PUBACK 0x0", "t=x q0 rfalse")
	if log := s.log.String(); !strings.Contains(log, "mosquitto.conf:5: \"nonsense\"") || !strings.Contains(log, "in use") {
		t.Error("the log does not say why nothing changed")
	}
	// Free again: the second listener goes with its clients, a third one comes, the
	// first has another limit, and its client stays.
	busy.Close()
	s.write("acl", "topic #\n")
	s.write("mosquitto.conf", conf+"max_connections 1\nlistener @3 127.0.0.1\nmax_qos 0\n")
	check("--\nb2 recv\nc3 connect id=c v=5\nc3 pub t\na1 recv\nd1 connect id=d\ne2 connect id=e",
		"closed", "CONNACK 0x0 present=false receive-maximum=20 aliases=10 packet=2000000 qos=0", "", "t=x q0 rfalse", "closed", "closed")
	log := s.log.String()
	for _, want := range []string{"gone: listener " + s.ports[1], "new: listener " + s.ports[2], "max_connections 1"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not tell of %q", want)
		}
	}
	s.stop(t)
}

// The log goes where the file says and is opened anew for who moves it away.
func TestStandInLog(t *testing.T) {
	s := newStand(t)
	const conf = "listener @1 127.0.0.1\nallow_anonymous true\nlog_dest file @DIR/m.log\nlog_dest topic\nlog_timestamp_format %Y-%m-%dT%H:%M:%S\nlog_type notice\nlog_type error\n"
	s.up(conf)
	path := filepath.Join(s.dir, "m.log")
	said := s.play("a1 connect id=a\na1 sub $SYS/broker/log/# qos=0\nb1 connect id=watched\na1 await 1")
	if last := said[len(said)-1]; !strings.Contains(last, "$SYS/broker/log/I") {
		t.Error(last)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.reload(t)
	s.expect("c1 connect id=later", connected)
	s.stop(t)
	old, err1 := os.ReadFile(path + ".1")
	now, err2 := os.ReadFile(path)
	if err1 != nil || err2 != nil || !strings.Contains(string(old), "client_id=watched") || !strings.Contains(string(now), "client_id=later") {
		t.Errorf("%v %v\n%s\n--\n%s", err1, err2, old, now)
	}
	if line := "New client connected from 127.0.0.1:"; !strings.Contains(string(old), line) || !strings.Contains(string(old), " as watched (p2, c1, k60).  client_id=watched listener=") {
		t.Errorf("the log is not Mosquitto's: %s", old)
	}
	if !strings.Contains(string(old), "T") || old[4] != '-' {
		t.Errorf("timestamps: %.40s", old)
	}
}

// Mosquitto's own database is read once and left alone; who removes it begins anew.
func TestStandInDatabase(t *testing.T) {
	need(t, "mosquitto", have("mosquitto"))
	s := newStand(t)
	const conf = "listener @1\nuser root\nallow_anonymous true\npersistence true\npersistence_location @DIR/\npersistence_file kept.db\n"
	real := new(realBroker)
	real.start(t, s.write("mosquitto.conf", conf))
	s.expect("a1 connect id=a keep\na1 sub q qos=1\nb1 connect id=b\nb1 sub x qos=0\na1 close\nb1 pub r qos=1 retain payload=theirs",
		connected, "SUBACK [1]", connected, "SUBACK [0]", "", "PUBACK 0x0")
	real.stop(t)
	before, err := os.ReadFile(filepath.Join(s.dir, "kept.db"))
	if err != nil {
		t.Fatal(err)
	}
	s.up(conf)
	s.expect("a1 connect id=a keep\nn1 connect id=n\nn1 sub r qos=0\nn1 await 1\nn1 pub r qos=1 retain payload=ours\nn1 recv",
		"CONNACK 0 present=true", connected, "SUBACK [0]", "r=theirs q0 rtrue", "r=ours q0 rfalse, PUBACK 0x0", "")
	s.stop(t)
	after, err := os.ReadFile(filepath.Join(s.dir, "kept.db"))
	if err != nil || string(after) != string(before) {
		t.Error("Mosquitto's database was changed:", err)
	}
	s.up(conf) // once only
	s.expect("c1 connect id=c\nc1 sub r qos=0\nc1 await 1", connected, "SUBACK [0]", "r=ours q0 rtrue")
	s.stop(t)
	if err := os.Remove(filepath.Join(s.dir, "kept.db")); err != nil {
		t.Fatal(err)
	}
	s.up(conf)
	s.expect("a1 connect id=a keep\na1 sub r qos=1\na1 recv", connected, "SUBACK [1]", "")
	s.stop(t)
	if _, err := os.Stat(filepath.Join(s.dir, "kept.db.hearthmq.old", databaseName)); err != nil {
		t.Error("what was stored is not kept:", err)
	}
	// The way back: Mosquitto takes the database that stands for none.
	real.start(t, s.write("mosquitto.conf", conf))
	s.expect("a1 connect id=a", connected)
	real.stop(t)

	// A database that is damaged ends the start, as with Mosquitto.
	s.write("broken.db", string(mosq.EmptyDatabase()[:30]))
	r := command(t, s.dir, "", "serve", "-c", s.write("mosquitto.conf", strings.ReplaceAll(conf, "kept", "broken")))
	if r.code == 0 {
		t.Error("started with a damaged database")
	}
}

// The folder of the pid_file is made; where it can't be, there is a broker all the same.
func TestStandInPIDFile(t *testing.T) {
	for _, name := range []string{"run/mosquitto/m.pid", "mosquitto.conf/m.pid"} {
		s := newStand(t)
		s.up("listener @1\nallow_anonymous true\npid_file @DIR/" + name + "\n")
		pid, err := os.ReadFile(filepath.Join(s.dir, name))
		if made := err == nil && string(pid) == fmt.Sprint(os.Getpid()); made != (name == "run/mosquitto/m.pid") {
			t.Errorf("%s: %q, %v", name, pid, err)
		}
		s.expect("a1 connect id=a", connected)
	}
}

// The plugin for Sparkplug: births are there for who comes later.
func TestStandInSparkplug(t *testing.T) {
	s := newStand(t)
	s.up("listener @1 127.0.0.1\nallow_anonymous true\nplugin /usr/lib/mosquitto_sparkplug_aware.so\n")
	s.expect("a1 connect id=a\na1 sub $sparkplug/certificates/# qos=1\nb1 connect id=b\nb1 pub spBv1.0/g/NBIRTH/n qos=1 payload=1\na1 await 1\nb1 pub spBv1.0/g/DBIRTH/n/d qos=1 payload=2\na1 await 1\nb1 pub spBv1.0/g/NDATA/n qos=1 payload=3\n"+
		"b1 pub spBv1.0/g/NBIRTH/n qos=0 payload=4\na1 await 1\nc1 connect id=c\nc1 sub $sparkplug/certificates/spBv1.0/+/NBIRTH/+ qos=0\nc1 await 1",
		connected, "SUBACK [1]", connected, "PUBACK 0x0", "$sparkplug/certificates/spBv1.0/g/NBIRTH/n=1 q1 rfalse", "PUBACK 0x0", "$sparkplug/certificates/spBv1.0/g/DBIRTH/n/d=2 q1 rfalse", "PUBACK 0x0",
		"", "$sparkplug/certificates/spBv1.0/g/NBIRTH/n=4 q0 rfalse", connected, "SUBACK [0]", "$sparkplug/certificates/spBv1.0/g/NBIRTH/n=4 q0 rtrue")
	s.stop(t)
}

// With the plugin that stores in SQLite messages outlive the process, too, and who removes
// its database begins anew.
func TestStandInSQLite(t *testing.T) {
	s := newStand(t)
	const conf = "listener @1 127.0.0.1\nallow_anonymous true\nplugin /usr/lib/mosquitto_persist_sqlite.so\nplugin_opt_db_file @DIR/kept.sqlite3\n"
	s.up(conf)
	s.expect("a1 connect id=a keep\na1 sub q qos=1\na1 close\nb1 connect id=b\nb1 pub q qos=1 payload=1\nb1 pub r qos=1 retain payload=2", connected, "SUBACK [1]", "", connected, "PUBACK 0x0", "PUBACK 0x0")
	s.stop(t)
	s.up(conf)
	s.expect("a1 connect id=a keep\na1 await 1\nc1 connect id=c\nc1 sub r qos=0\nc1 await 1", "CONNACK 0 present=true", "q=1 q1 rfalse", connected, "SUBACK [0]", "r=2 q0 rtrue")
	s.stop(t)
	path := filepath.Join(s.dir, "kept.sqlite3")
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("a database that is no SQLite: %v %v", info, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.up(conf)
	s.expect("a1 connect id=a keep", connected)
	s.stop(t)
}

// case R14: a flood of bad packets fills no disk in Mosquitto's place either, and is told of.
func TestStandInLogFlood(t *testing.T) {
	s := newStand(t)
	s.up("listener @1 127.0.0.1\nallow_anonymous true\nlog_dest file @DIR/m.log\n")
	const clients = 5 * standInRate
	begin := time.Now()
	for range clients {
		nc, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", s.ports[0]))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = nc.Write([]byte{0x10, 0x00}) // a CONNECT with nothing in it
		_, _ = io.Copy(io.Discard, nc)
		nc.Close()
	}
	seconds := int(time.Since(begin)/time.Second) + 1
	s.stop(t)
	text, err := os.ReadFile(filepath.Join(s.dir, "m.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "New connection from"); n > seconds*standInRate || n < standInRate {
		t.Errorf("%d lines of %d connections in %d s", n, clients, seconds)
	} else if n < clients && !strings.Contains(string(text), "left_out=") {
		t.Errorf("nothing tells of the %d lines that were left out", clients-n)
	}
}
