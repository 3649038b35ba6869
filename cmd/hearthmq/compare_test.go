package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// The same configuration, files and clients against Mosquitto of the system's packages
// and against `hearthmq serve -c`. Each difference has to be explained.

// comparison is one configuration with a script. In texts @1 to @9 stand for free ports
// and @DIR for the folder with the files. A client's name ends in the number of the port
// that it connects to, 1 when in none.
type comparison struct {
	name  string
	conf  string
	files map[string]string
	later map[string]string // written before "-- reload"
	// script has a line for each step; "-- reload" and "-- restart" are the broker's.
	script string
	// differ explains steps whose answers may differ, by the step's text.
	differ map[string]string
	// may explains what Mosquitto itself answers now one way and now another.
	may map[string]string
	// tls clients present cert and key of that name, "" for none; nil: no TLS on any port.
	tls map[string]string
}

// stoodIn is a broker that runs with a configuration: Mosquitto or HearthMQ.
type stoodIn interface {
	start(tb testing.TB, conf string)
	stop(tb testing.TB)
	reload(tb testing.TB)
}

// realBroker is Mosquitto.
type realBroker struct {
	cmd *exec.Cmd
	log *syncBuffer
}

func (m *realBroker) start(tb testing.TB, conf string) {
	m.log = newSyncBuffer(nil)
	m.cmd = exec.Command("mosquitto", "-c", conf, "-v")
	m.cmd.Stderr = m.log
	m.cmd.Dir = filepath.Dir(conf)
	if err := m.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	eventually(tb, "Mosquitto runs", func() bool { return strings.Contains(m.log.String(), "running") || m.cmd.ProcessState != nil })
}

func (m *realBroker) stop(tb testing.TB) {
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Fatal(err)
	}
	if err := m.cmd.Wait(); err != nil {
		tb.Errorf("mosquitto: %v\n%s", err, m.log)
	}
}

func (m *realBroker) reload(tb testing.TB) {
	if err := m.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		tb.Fatal(err)
	}
	eventually(tb, "Mosquitto has reread", func() bool { return strings.Contains(m.log.String(), "Reloading config") })
}

// ownStandIn is HearthMQ, run as the binary runs it.
type ownStandIn struct {
	hangup  chan os.Signal
	log     *syncBuffer
	out     *syncBuffer // what it told the person who started it
	cancel  context.CancelFunc
	exit    chan int
	args    []string
	environ []string
	code    int
}

func (o *ownStandIn) start(tb testing.TB, conf string) {
	tb.Helper()
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.Background()) // stop ends it
	o.hangup, o.exit = make(chan os.Signal, 1), make(chan int, 1)
	o.log, o.out = newSyncBuffer(tb.Output()), newSyncBuffer(nil)
	args := o.args
	if conf != "" {
		args = append([]string{"serve", "-c", conf, "-v"}, args...)
	}
	go func() {
		o.exit <- run(ctx, process{
			args: args, environ: o.environ, stdin: strings.NewReader(""), stdout: o.out, stderr: o.log, hangup: o.hangup,
		})
	}()
	eventually(tb, "HearthMQ runs or ends", func() bool { return strings.Contains(o.log.String(), "ready") || len(o.exit) > 0 })
}

func (o *ownStandIn) stop(tb testing.TB) {
	tb.Helper()
	o.cancel()
	select {
	case o.code = <-o.exit:
	case <-time.After(3 * time.Minute):
		tb.Fatal("HearthMQ did not stop")
	}
	if o.code != 0 {
		tb.Errorf("HearthMQ: exit %d", o.code)
	}
}

func (o *ownStandIn) reload(tb testing.TB) {
	tb.Helper()
	before := strings.Count(o.log.String(), "configuration reread") + strings.Count(o.log.String(), "stays as it was")
	o.hangup <- syscall.SIGHUP
	eventually(tb, "HearthMQ has reread", func() bool {
		now := o.log.String()
		return strings.Count(now, "configuration reread")+strings.Count(now, "stays as it was") > before
	})
}

// ports are free ones, told apart by number.
func freePorts(tb testing.TB, n int) []string {
	tb.Helper()
	var list []string
	for range n {
		list = append(list, brokertest.FreePort(tb))
	}
	return list
}

// play runs the comparison's script against one of the two.
func (x *comparison) play(tb testing.TB, b stoodIn) []string {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	ports := freePorts(tb, 3)
	fill := func(text string) string {
		text = strings.ReplaceAll(text, "@DIR", dir)
		for i, p := range ports {
			text = strings.ReplaceAll(text, fmt.Sprintf("@%d", i+1), p)
		}
		return text
	}
	for name, text := range x.files {
		writeFile(tb, filepath.Join(dir, name), fill(text))
	}
	if x.tls != nil {
		copyCertificates(tb, dir)
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	writeFile(tb, conf, fill("user root\n"+x.conf))
	b.start(tb, conf)
	running := true
	defer func() {
		if running {
			b.stop(tb)
		}
	}()
	at := func(client string) (string, string, *tls.Config) {
		i := int(client[len(client)-1]) - '1'
		if i < 0 || i > 8 {
			i = 0
		}
		if i == 8 {
			return "unix", filepath.Join(dir, "mqtt.sock"), nil
		}
		return "tcp", "127.0.0.1:" + ports[i], x.client(tb, dir, client)
	}
	return play(tb, x.script, at, func(words []string) bool {
		if words[0] != "--" {
			return false
		}
		switch words[1] {
		case "reload":
			for name, text := range x.later {
				writeFile(tb, filepath.Join(dir, name), fill(text))
			}
			b.reload(tb)
		case "restart":
			b.stop(tb)
			running = false
			b.start(tb, conf)
			running = true
		}
		return true
	})
}

// client is the TLS of one client, nil without.
func (x *comparison) client(tb testing.TB, dir, name string) *tls.Config {
	cert, on := x.tls[name]
	if !on {
		return nil
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		tb.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	c.RootCAs.AppendCertsFromPEM(ca)
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, cert+".crt"), filepath.Join(dir, cert+".key"))
		if err != nil {
			tb.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

func TestLikeMosquitto(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	need(t, "mosquitto", have("mosquitto") && have("mosquitto_passwd"))
	for _, x := range comparisons {
		t.Run(x.name, func(t *testing.T) {
			x.hashPasswords(t)
			theirs, ours := x.play(t, new(realBroker)), x.play(t, new(ownStandIn))
			used := map[string]bool{}
			for i, line := range theirs {
				step, said, _ := strings.Cut(line, " → ")
				got := "nothing"
				if i < len(ours) {
					_, got, _ = strings.Cut(ours[i], " → ")
				}
				if got == said || known(got) == said {
					continue
				}
				if x.may[step] != "" {
					continue
				}
				if x.differ[step] == "" {
					t.Errorf("%s\n  Mosquitto: %s\n  HearthMQ:  %s", step, said, got)
					continue
				}
				used[step] = true
				t.Logf("%s\n  Mosquitto: %s\n  HearthMQ:  %s\n  since %s", step, said, got, x.differ[step])
			}
			for step := range x.differ {
				if !used[step] {
					t.Errorf("%q does not differ any more: take its explanation out", step)
				}
			}
		})
	}
}

// known is an answer with what HearthMQ says otherwise everywhere: it keeps to the limit
// of Mosquitto 2.1, 2,000,000 bytes; 2.0 has none.
func known(said string) string { return strings.Replace(said, " packet=2000000", " packet=0", 1) }

// hashPasswords turns files of "user word" lines named passwords… into password files.
func (x *comparison) hashPasswords(tb testing.TB) {
	tb.Helper()
	hashed := map[string]string{} // a line stays the same from file to file
	hash := func(files map[string]string) map[string]string {
		out := map[string]string{}
		for name, text := range files {
			if strings.HasPrefix(name, "passwords") {
				var b strings.Builder
				for line := range strings.Lines(text) {
					if hashed[line] == "" {
						hashed[line] = passwordFile(tb, line)
					}
					b.WriteString(hashed[line])
				}
				text = b.String()
			}
			out[name] = text
		}
		return out
	}
	x.files, x.later = hash(x.files), hash(x.later)
}

// passwordFile makes a password_file with mosquitto_passwd of lines "user:word".
func passwordFile(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "pw")
	writeFile(tb, path, text)
	if out, err := exec.CommandContext(tb.Context(), "mosquitto_passwd", "-U", path).CombinedOutput(); err != nil {
		tb.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

var certificatesMade = struct {
	dir string
	bytes.Buffer
}{}

// copyCertificates puts ca, server, alice and a revoked bob with crl.pem into dir, made
// by openssl as guides have it.
func copyCertificates(tb testing.TB, dir string) {
	tb.Helper()
	need(tb, "openssl", have("openssl"))
	if certificatesMade.dir == "" {
		made, err := os.MkdirTemp("", "hearthmq-test-")
		if err != nil {
			tb.Fatal(err)
		}
		cmd := exec.CommandContext(tb.Context(), "sh", "-ec", makeCertificates)
		cmd.Dir = made
		if out, err := cmd.CombinedOutput(); err != nil {
			tb.Fatalf("openssl: %v\n%s", err, out)
		}
		certificatesMade.dir = made
	}
	names, err := filepath.Glob(filepath.Join(certificatesMade.dir, "*"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(name, "index") || strings.HasSuffix(name, "serial") || slices.Contains([]string{"certs", "ca.cnf"}, filepath.Base(name)) {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			continue // a folder of openssl's
		}
		writeFile(tb, filepath.Join(dir, filepath.Base(name)), string(b))
	}
}

const makeCertificates = `
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=Test CA" -keyout ca.key -out ca.crt
cat > ca.cnf <<X
[ca]
default_ca=d
[d]
dir=.
database=index.txt
new_certs_dir=certs
serial=serial
certificate=ca.crt
private_key=ca.key
default_md=sha256
default_days=30
default_crl_days=30
crl_extensions=x
policy=p
copy_extensions=copy
[p]
commonName=supplied
organizationName=optional
[x]
authorityKeyIdentifier=keyid
X
mkdir certs; : > index.txt; echo 01 > serial
for n in server alice bob; do
	cn=$n; [ $n = server ] && cn=localhost
	openssl req -newkey rsa:2048 -nodes -subj "/O=Home/CN=$cn" -addext "subjectAltName=DNS:$cn" -keyout $n.key -out $n.csr
	openssl ca -batch -config ca.cnf -in $n.csr -out $n.crt -notext
done
openssl ca -config ca.cnf -revoke bob.crt
openssl ca -config ca.cnf -gencrl -out crl.pem
`

func TestMain(m *testing.M) {
	code := m.Run()
	if certificatesMade.dir != "" {
		os.RemoveAll(certificatesMade.dir)
	}
	os.Exit(code)
}
