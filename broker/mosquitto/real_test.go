package mosquitto_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/mosquitto"
	"hearthmq/broker/packet"
)

// realMosquitto is Mosquitto from the system's packages in a folder of its own.
type realMosquitto struct {
	dir, conf, address string
	cmd                *exec.Cmd
}

func needMosquitto(tb testing.TB) {
	tb.Helper()
	for _, name := range []string{"mosquitto", "mosquitto_passwd", "mosquitto_pub", "mosquitto_sub"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				tb.Fatalf("%s is not installed, and CI runs every test: make deps", name)
			}
			tb.Skipf("SKIPPED, NOT TESTED: %s is not installed: make deps", name)
		}
	}
}

func startMosquitto(tb testing.TB, acl string) *realMosquitto {
	tb.Helper()
	needMosquitto(tb)
	m := &realMosquitto{dir: tb.TempDir(), address: brokertest.FreeAddress(tb)}
	_, port, _ := strings.Cut(m.address, ":")
	write := func(name, text string) string {
		path := filepath.Join(m.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	conf := fmt.Sprintf("listener %s 127.0.0.1\nuser root\npersistence true\npersistence_location %s/\npassword_file %s\n",
		port, m.dir, filepath.Join(m.dir, "pw"))
	for i, user := range []string{"u", "v"} {
		args := []string{"-b", filepath.Join(m.dir, "pw"), user, "word " + user}
		if i == 0 {
			args = append([]string{"-c"}, args...)
		}
		if out, err := exec.CommandContext(tb.Context(), "mosquitto_passwd", args...).CombinedOutput(); err != nil {
			tb.Fatalf("mosquitto_passwd: %v\n%s", err, out)
		}
	}
	if acl != "" {
		conf += "acl_file " + write("acl", acl) + "\n"
	}
	m.conf = write("m.conf", conf)
	m.cmd = exec.Command("mosquitto", "-c", m.conf)
	var log bytes.Buffer
	m.cmd.Stderr = &log
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("mosquitto said:\n%s", &log)
		}
	})
	if err := m.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { m.stop(tb) })
	for end := time.Now().Add(20 * time.Second); ; {
		nc, err := net.DialTimeout("tcp", m.address, time.Second)
		if err == nil {
			_ = nc.Close()
			return m
		}
		if time.Now().After(end) {
			tb.Fatalf("mosquitto does not start: %v\n%s", err, &log)
		}
	}
}

// stop ends Mosquitto in order, which writes its database.
func (m *realMosquitto) stop(tb testing.TB) {
	tb.Helper()
	if m.cmd.Process == nil || m.cmd.ProcessState != nil {
		return
	}
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Error(err)
	}
	if err := m.cmd.Wait(); err != nil {
		tb.Logf("mosquitto: %v", err)
	}
}

func (m *realMosquitto) run(tb testing.TB, name string, args ...string) {
	tb.Helper()
	host, port, _ := strings.Cut(m.address, ":")
	args = append([]string{"-h", host, "-p", port, "-u", "u", "-P", "word u"}, args...)
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		tb.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// What Mosquitto itself has written is read: passwords, retained messages with their
// properties, a session with its subscriptions (before 2.1 without the shared ones) and queue.
func TestRealMosquitto(t *testing.T) {
	m := startMosquitto(t, "")
	m.run(t, "mosquitto_sub", "-V", "5", "-i", "lamp", "-c", "-x", "4000", "-q", "2", "-t", "q/#", "-t", "$share/g/s", "-E")
	m.run(t, "mosquitto_pub", "-V", "5", "-i", "p", "-q", "2", "-t", "q/1", "-m", "one", "-r",
		"-D", "publish", "content-type", "text/x", "-D", "publish", "user-property", "k", "v", "-D", "publish", "message-expiry-interval", "5000")
	m.run(t, "mosquitto_pub", "-V", "311", "-q", "1", "-t", "q/2", "-m", "two")
	m.run(t, "mosquitto_pub", "-q", "0", "-t", "äö/ü", "-m", "three", "-r")
	live, found, err := mosquitto.CopyRetained(t.Context(), mosquitto.Live{URL: "mqtt://" + m.address, User: "u", Password: "word u"})
	if err != nil || len(found) > 0 {
		t.Fatal(err, found)
	}
	_, _, err = mosquitto.CopyRetained(t.Context(), mosquitto.Live{URL: "mqtt://" + m.address, User: "u", Password: "wrong"})
	if err == nil || !strings.Contains(err.Error(), "refuses the login") {
		t.Errorf("with a wrong password: %v", err)
	}
	m.stop(t)

	in := mosquitto.Reader{Files: mosquitto.Disk{}}.Read(mosquitto.Sources{Conf: m.conf})
	p := mosquitto.NewPlan(in, mosquitto.PlanOptions{Now: time.Now()})
	if !p.Report.OK() {
		t.Fatal(p.Report.Broken)
	}
	t.Logf("mosquitto.db of version %d", in.Database.Version)
	check := func(where string, list []*broker.Message) {
		if len(list) != 2 {
			t.Fatalf("%s: %d retained messages", where, len(list))
		}
		slices.SortFunc(list, func(a, b *broker.Message) int { return strings.Compare(a.Topic, b.Topic) })
		one := list[0]
		props, err := packet.DecodeProperties(one.Properties)
		if err != nil || one.Topic != "q/1" || string(one.Payload) != "one" || one.QoS == 0 || props.ContentType != "text/x" || len(props.User) != 1 {
			t.Errorf("%s: %+v, %+v, %v", where, one, props, err)
		}
		if left := time.Until(one.Expires); left < 4000*time.Second || left > 5001*time.Second {
			t.Errorf("%s: expires in %v", where, left)
		}
		if list[1].Topic != "äö/ü" || string(list[1].Payload) != "three" {
			t.Errorf("%s: %+v", where, list[1])
		}
	}
	check("file", p.State.Retained)
	check("live", live)
	if len(p.State.Sessions) != 1 {
		t.Fatalf("sessions: %+v, %v", p.State.Sessions, p.Report.Left)
	}
	s := p.State.Sessions[0]
	if s.ClientID != "lamp" || s.User != "u" || s.Expiry != 4000 || len(s.Subscriptions) == 0 || len(s.Queue) != 2 || string(s.Queue[1].Message.Payload) != "two" {
		t.Errorf("%+v", s)
	}
	site := newSite(t)
	if _, err := p.Apply(t.Context(), site.Target); err != nil {
		t.Fatal(err)
	}
	if _, err := site.Directory.CheckPassword(t.Context(), "v", "word v"); err != nil {
		t.Errorf("v's password: %v", err)
	}
}

// The oracle of the ACL tests answers as the real Mosquitto does.
func TestRealACL(t *testing.T) {
	acl := "topic readwrite anon\nuser u\ntopic read a/#\ntopic deny a/b\ntopic write +/c\nuser v\ntopic a/b\npattern deny a/+\npattern write %u/x\npattern read #\npattern read p/%c\n"
	m := startMosquitto(t, acl)
	parsed, found := mosquitto.ReadACL("acl", strings.NewReader(acl))
	if len(found) > 0 {
		t.Fatal(found)
	}
	topics := names([]string{"a", "b", "c", "u", "x"}, 2)
	for _, user := range []string{"u", "v"} {
		got := askReal(t, m, user, topics)
		for _, name := range topics {
			want := oracleACL(parsed, user, "asks", name, mosquitto.Write)
			if got[name] != want {
				t.Errorf("user %s, write %s: Mosquitto says %v, the oracle %v", user, name, got[name], want)
			}
		}
	}
}

// askReal publishes to all topics with MQTT 5 and returns which Mosquitto takes.
func askReal(tb testing.TB, m *realMosquitto, user string, topics []string) map[string]bool {
	tb.Helper()
	nc, err := net.Dial("tcp", m.address)
	if err != nil {
		tb.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	b := (&packet.Connect{Version: packet.V50, CleanStart: true, ClientID: "asks", HasUserName: true, UserName: user, HasPassword: true, Password: []byte("word " + user)}).Append(nil, packet.V50)
	r := packet.NewReader(nc, 0)
	taken := map[string]bool{}
	for i, name := range append([]string{""}, topics...) {
		if i > 0 {
			b = (&packet.Publish{QoS: 1, PacketID: uint16(i), Topic: []byte(name), Payload: []byte("x")}).Append(nil, packet.V50)
		}
		if _, err := nc.Write(b); err != nil {
			tb.Fatal(err)
		}
		f, err := r.ReadFrame()
		if err != nil {
			tb.Fatalf("after %q: %v", name, err)
		}
		if i > 0 {
			_, code, err := packet.DecodeAck(packet.V50, f)
			if err != nil {
				tb.Fatal(err)
			}
			taken[name] = !code.Failed()
		}
	}
	return taken
}

// Retained messages get into a running broker, here HearthMQ's.
func TestPublishRetained(t *testing.T) {
	b, address := ownBroker(t)
	l := mosquitto.Live{URL: "mqtt://" + address}
	var list []*broker.Message
	for i := range 200 {
		m := broker.NewMessage(fmt.Sprintf("t/%03d", i), []byte("x"), 0, true)
		m.Properties = []byte{0x26, 0, 1, 'k', 0, 1, 'v'}
		m.Expires = time.Now().Add(time.Hour)
		list = append(list, m)
	}
	if err := mosquitto.PublishRetained(t.Context(), l, list); err != nil {
		t.Fatal(err)
	}
	n := 0
	for m := range b.Retained("#") {
		n++
		if !bytes.Equal(m.Properties, list[0].Properties) || m.Expires.IsZero() {
			t.Fatalf("%+v", m)
		}
	}
	topics, err := mosquitto.RetainedTopics(t.Context(), l)
	if n != 200 || len(topics) != 200 || err != nil {
		t.Errorf("%d messages, %d topics, %v", n, len(topics), err)
	}
	for url, want := range map[string]string{
		"http://x": "not with http", "mqtt://u:p@x": "don't belong", "x": "has to look like", "mqtt://127.0.0.1:1": "refused",
	} {
		if _, _, err := mosquitto.CopyRetained(t.Context(), mosquitto.Live{URL: url}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func ownBroker(tb testing.TB) (*broker.Broker, string) {
	tb.Helper()
	d := access.NewDirectory(access.Policy{Anonymous: access.AnonymousFull})
	if err := access.NewAccounts(access.NewMemoryRepository(), d, nil, nil).Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	deps := broker.Deps{Authenticator: d, Authorizer: d, Store: broker.NewMemoryStore(), Log: slog.New(slog.NewTextHandler(tb.Output(), nil))}
	b, err := broker.New(broker.Config{}, deps)
	if err != nil {
		tb.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx, ln, broker.ListenerInfo{Name: "mqtt"}) }()
	tb.Cleanup(func() {
		cancel()
		if err := b.Shutdown(context.Background()); err != nil {
			tb.Error(err)
		}
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return b, ln.Addr().String()
}
