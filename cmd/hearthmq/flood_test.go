package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// flood switches the long tests of floods on: make flood. They start the program as a
// process of its own, look at it from outside, and log their figures.
var flood = flag.Bool("flood", false, "run the long tests of floods and storms")

// victim is a HearthMQ process under load.
type victim struct {
	t     *testing.T
	dir   string
	exe   string
	shell string // put before the command, such as "ulimit -n 64;"
	cmd   *exec.Cmd
	mqtt  string
	mqtts string
	admin string
	log   *syncBuffer
	done  chan struct{} // closed when it has ended
}

var floodProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hearthmq-flood")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(dir, "hearthmq")
	out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return exe, nil
})

// newVictim prepares a process; o are its settings.
func newVictim(t *testing.T, o options) *victim {
	t.Helper()
	if !*flood {
		t.Skip("only with -flood: make flood")
	}
	exe, err := floodProgram()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{t: t, dir: t.TempDir(), exe: exe}
	v.mqtt, v.mqtts, v.admin = brokertest.FreeAddress(t), brokertest.FreeAddress(t), brokertest.FreeAddress(t)
	all := options{
		"mqtt_address": v.mqtt, "ws_address": "", "mqtts_address": v.mqtts, "wss_address": "", "web_address": v.admin,
		"logins": []map[string]any{{"username": e2eUser, "password": e2ePassword}},
	}
	for k, x := range o {
		all[k] = x
	}
	writeOptions(t, v.dir, all)
	return v
}

// start runs it until stop or the end of the test, and returns once it serves.
func (v *victim) start() {
	v.t.Helper()
	v.cmd = exec.Command("sh", "-c", v.shell+"exec "+v.exe+" serve --data "+v.dir)
	v.log = newSyncBuffer(nil)
	v.cmd.Stdout, v.cmd.Stderr = v.log, v.log
	v.cmd.Env = append(os.Environ(), "GOMEMLIMIT=")
	v.cmd.Env = slices.DeleteFunc(v.cmd.Env, func(e string) bool { return e == "GOMEMLIMIT=" })
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	v.done = make(chan struct{})
	go func() { // ends with the process
		_ = v.cmd.Wait()
		close(v.done)
	}()
	v.t.Cleanup(func() {
		_ = v.cmd.Process.Kill()
		<-v.done
		if v.t.Failed() {
			text := v.log.String()
			v.t.Log(text[max(0, len(text)-4000):])
		}
	})
	eventually(v.t, "the process serves", func() bool {
		c, err := net.Dial("tcp", v.mqtt)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// rss is the resident memory of the process in bytes; most is the most there was.
func (v *victim) rss() (now, most int64) {
	v.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.cmd.Process.Pid))
	if err != nil {
		v.t.Fatalf("the process is gone: %v", err)
	}
	field := func(name string) int64 {
		m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
		if m == nil {
			return 0
		}
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return n << 10
	}
	return field("VmRSS"), field("VmHWM")
}

// processor is what the process has used of the processors: on a machine with nothing else
// to do it takes half of that with two.
func (v *victim) processor() time.Duration {
	v.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", v.cmd.Process.Pid))
	if err != nil {
		v.t.Fatalf("the process is gone: %v", err)
	}
	// After the name in parentheses come the fields from the third on.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		v.t.Fatal(err)
	}
	const hertz = 100 // of the kernel's clock for user space, on all machines that Go runs on
	return time.Duration(user+system) * time.Second / hertz
}

// sockets is how many the process has open, a few that are no clients' included.
func (v *victim) sockets() int {
	dir := fmt.Sprintf("/proc/%d/fd", v.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		v.t.Fatalf("the process is gone: %v", err)
	}
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

// handset is a client that a flood can have many of: bytes and nothing else.
type handset struct {
	net.Conn
	r *bufio.Reader
}

func mqttString(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

func frameOf(first byte, body string) string {
	b := []byte{first}
	return string(binary.AppendUvarint(b, uint64(len(body)))) + body
}

var errRefused = errors.New("refused")

// connectDevice logs in with MQTT 3.1.1; the error wraps errRefused with the code.
func connectDevice(addr, clientID, user, password string, clean bool) (*handset, error) {
	return connectDeviceFrom(nil, addr, clientID, user, password, clean)
}

// connectDeviceFrom is connectDevice from an address of this machine; nil: whichever.
func connectDeviceFrom(from net.IP, addr, clientID, user, password string, clean bool) (*handset, error) {
	dialer := net.Dialer{Timeout: 30 * time.Second}
	if from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	c, err := dialer.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	d := &handset{c, bufio.NewReaderSize(c, 512)}
	flags := byte(0xC0)
	if clean {
		flags |= 2
	}
	_ = c.SetDeadline(time.Now().Add(90 * time.Second))
	_, err = io.WriteString(c, frameOf(0x10, "\x00\x04MQTT\x04"+string([]byte{flags, 0, 0})+mqttString(clientID)+mqttString(user)+mqttString(password)))
	answer := make([]byte, 4)
	if err == nil {
		_, err = io.ReadFull(d.r, answer)
	}
	if err == nil && answer[3] != 0 {
		err = fmt.Errorf("%w: return code %d", errRefused, answer[3])
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return d, nil
}

func (d *handset) subscribe(filter string, qos byte) error {
	if _, err := io.WriteString(d, frameOf(0x82, "\x00\x01"+mqttString(filter)+string([]byte{qos}))); err != nil {
		return err
	}
	_, err := d.next()
	return err
}

func publishBytes(topic, payload string) []byte {
	return []byte(frameOf(0x30, mqttString(topic)+payload))
}

// next returns the next packet's first byte.
func (d *handset) next() (byte, error) {
	first, err := d.r.ReadByte()
	if err != nil {
		return 0, err
	}
	n, err := binary.ReadUvarint(d.r)
	if err == nil {
		_, err = d.r.Discard(int(n))
	}
	return first, err
}

// case R1: a hundred thousand connections that say nothing.
func TestFloodConnects(t *testing.T) {
	const connects, places = 100_000, 2000
	v := newVictim(t, options{"max_connections": places})
	v.start()
	before, _ := v.rss()
	s := startSentinel(t, v.mqtt)
	var open, failed atomic.Int64
	most := 0 // sockets of the process; the kernel completes some more before they are accepted
	begin := time.Now()
	work := make(chan int)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := range work {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i%200+1))}, Timeout: 10 * time.Second}
				c, err := d.Dial("tcp", v.mqtt)
				if err != nil {
					failed.Add(1)
					continue
				}
				open.Add(1)
				wg.Go(func() {
					_, _ = c.Read(make([]byte, 1)) // until the broker closes it
					open.Add(-1)
					c.Close()
				})
			}
		})
	}
	late := 0
	for i := range connects {
		work <- i
		if i%500 == 0 {
			most = max(most, v.sockets())
		}
		if i%10_000 == 9_999 { // somebody honest comes
			if d, err := connectDevice(v.mqtt, fmt.Sprint("late", i), e2eUser, e2ePassword, true); err == nil {
				d.Close()
				late++
			}
		}
	}
	close(work)
	took, used := time.Since(begin), v.processor()
	now, _ := v.rss()
	idle := open.Load()
	wg.Wait()
	silent := time.Since(begin) - took
	p50, p99, worst := s.end(t)
	t.Logf("R1: %d connects in %v (%d failed) with %v of the processors, at most %d sockets in the process; %d of 10 honest clients got in meanwhile; RSS %s → %s (%d idle: %d bytes each); all gone %v later; sentinel p50 %v p99 %v worst %v",
		connects, took.Round(time.Millisecond), failed.Load(), used, most, late, mib(before), mib(now), idle, (now-before)/max(idle, 1), silent.Round(time.Millisecond), p50, p99, worst)
	if most > 2*places { // beside those that count some are being closed
		t.Errorf("%d sockets at a time, want at most %d", most, places)
	}
	if late != 10 {
		t.Errorf("%d of 10 honest clients got in", late)
	}
	if silent > 15*time.Second {
		t.Errorf("silent connections stood for %v", silent)
	}
}

// case R4: 64 open files. Who is there stays, users can be added, the admin answers.
func TestFloodFiles(t *testing.T) {
	v := newVictim(t, nil)
	v.shell = "ulimit -n 64; "
	v.start()
	s := startSentinel(t, v.mqtt)
	var conns []net.Conn
	for range 500 {
		if c, err := net.DialTimeout("tcp", v.mqtt, 5*time.Second); err == nil {
			conns = append(conns, c)
		}
	}
	stranger := &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}}
	for range 500 { // who can reach the admin has no more files than are left for it
		if c, err := stranger.Dial("tcp", v.admin); err == nil {
			conns = append(conns, c)
		}
	}
	if out, err := exec.Command("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "http://"+v.admin+"/healthz").Output(); err != nil || string(out) != "200" {
		t.Errorf("the admin answers %s, %v", out, err)
	}
	if r := command(t, v.dir, "x", "user", "add", "late", "--password-stdin"); r.code != 0 {
		t.Errorf("user add: %s", r.stderr)
	}
	for _, c := range conns {
		c.Close()
	}
	eventually(t, "the new user gets in", func() bool {
		d, err := connectDevice(v.mqtt, "late", "late", "x", true)
		if err == nil {
			d.Close()
		}
		return err == nil
	})
	p50, p99, worst := s.end(t)
	t.Logf("R4: 500 connections with 64 files; sentinel p50 %v p99 %v worst %v", p50, p99, worst)
}

// case R5: 1 GB of QoS 1 for clients that are away, with memory for 205 MiB.
func TestFloodQueues(t *testing.T) {
	const limit = 205 << 20
	v := newVictim(t, options{"memory_limit": strconv.Itoa(limit), "durability": "memory", "max_queued_messages": 1_000_000})
	v.start()
	for i := range 32 {
		d, err := connectDevice(v.mqtt, fmt.Sprint("away", i), e2eUser, e2ePassword, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.subscribe(fmt.Sprintf("away/%d", i), 1); err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
	s := startSentinel(t, v.mqtt)
	pub, err := connectDevice(v.mqtt, "pub", e2eUser, e2ePassword, true)
	if err != nil {
		t.Fatal(err)
	}
	const size, total = 32 << 10, 1 << 30
	acked := make(chan struct{}, 100) // as many are under way
	go func() {
		for {
			if _, err := pub.next(); err != nil {
				return
			}
			<-acked
		}
	}()
	payload := strings.Repeat("x", size)
	begin := time.Now()
	for i := range total / size {
		acked <- struct{}{}
		p := frameOf(0x32, mqttString(fmt.Sprintf("away/%d", i%32))+string(binary.BigEndian.AppendUint16(nil, uint16(i%60000+1)))+payload)
		if _, err := io.WriteString(pub, p); err != nil {
			t.Fatalf("after %d MiB: %v", i*size>>20, err)
		}
	}
	took := time.Since(begin)
	p50, p99, worst := s.end(t)
	_, most := v.rss()
	t.Logf("R5: 1 GiB to 32 sessions that are away in %v, limit %s, most RSS %s; sentinel p50 %v p99 %v worst %v", took.Round(time.Millisecond), mib(limit), mib(most), p50, p99, worst)
	if most > 256<<20 {
		t.Errorf("RSS %s, a container with 256 MiB would have been killed", mib(most))
	}
}

// case R7: one message of 10 KB to ten thousand subscribers.
func TestFloodFanOut(t *testing.T) {
	for _, qos := range []byte{0, 1} {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			const readers, size, rounds = 10_000, 10_000, 5
			v := newVictim(t, options{"max_connections": 20_000, "durability": "memory"})
			v.start()
			var got atomic.Int64
			var wg sync.WaitGroup
			var all []*handset
			for i := range readers {
				d, err := connectDevice(v.mqtt, fmt.Sprint("r", i), e2eUser, e2ePassword, true)
				if err != nil {
					t.Fatal(err)
				}
				if err := d.subscribe("fan", qos); err != nil {
					t.Fatal(err)
				}
				all = append(all, d)
				wg.Go(func() {
					for {
						if _, err := d.next(); err != nil {
							return
						}
						got.Add(1)
					}
				})
			}
			before, _ := v.rss()
			pub, err := connectDevice(v.mqtt, "pub", e2eUser, e2ePassword, true)
			if err != nil {
				t.Fatal(err)
			}
			var most int64
			begin := time.Now()
			for i := range rounds {
				body := mqttString("fan")
				if qos > 0 {
					body += string([]byte{0, byte(i + 1)})
				}
				if _, err := io.WriteString(pub, frameOf(0x30|qos<<1, body+strings.Repeat("x", size))); err != nil {
					t.Fatal(err)
				}
				eventually(t, "all have it", func() bool {
					now, _ := v.rss()
					most = max(most, now)
					return got.Load() >= int64((i+1)*readers)
				})
			}
			took := time.Since(begin)
			t.Logf("R7: QoS %d, %d × 10 kB to %d subscribers in %v: RSS %s → %s", qos, rounds, readers, took.Round(time.Millisecond), mib(before), mib(most))
			if most-before > 64<<20 {
				t.Errorf("RSS grew by %s", mib(most-before))
			}
			for _, d := range all {
				d.Close()
			}
			wg.Wait()
		})
	}
}

// case R8: fifty thousand messages a second from one client.
func TestFloodPublishes(t *testing.T) {
	v := newVictim(t, options{"durability": "memory"})
	v.start()
	reader, err := connectDevice(v.mqtt, "reader", e2eUser, e2ePassword, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.subscribe("flood/#", 0); err != nil {
		t.Fatal(err)
	}
	var got atomic.Int64
	go func() {
		for {
			if _, err := reader.next(); err != nil {
				return
			}
			got.Add(1)
		}
	}()
	s := startSentinel(t, v.mqtt)
	pub, err := connectDevice(v.mqtt, "pub", e2eUser, e2ePassword, true)
	if err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat(publishBytes("flood/t", strings.Repeat("x", 64)), 500)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	begin, sent := time.Now(), 0
	for time.Since(begin) < 20*time.Second {
		<-tick.C
		if _, err := pub.Write(chunk); err != nil {
			t.Fatal(err)
		}
		sent += 500
	}
	p50, p99, worst := s.end(t)
	t.Logf("R8: %.0f messages/s from one client for 20 s, %d %% came to a reader; sentinel p50 %v p99 %v worst %v",
		float64(sent)/time.Since(begin).Seconds(), 100*got.Load()/int64(sent), p50, p99, worst)
	if p99 > 50*time.Millisecond {
		t.Errorf("sentinel p99 %v", p99)
	}
	reader.Close()
}
