package main

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// abandonment is a state that a client leaves without a word.
type abandonment struct {
	name string
	door string // "mqtt", "ws" or "mqtts"
	send string
	read int    // bytes of answer that it waits for
	then string // sent after that
}

// abandonments are the states of R13, from the socket to the middle of a handshake of QoS 2.
func abandonments() []abandonment {
	hello := func(clientID string, flags byte, will string) string {
		return frameOf(0x10, "\x00\x04MQTT\x04"+string([]byte{0xC0 | flags, 0, 60})+mqttString(clientID)+will+mqttString(e2eUser)+mqttString(e2ePassword))
	}
	const clean, hasWill, connack = 2, 4, 4
	connect := hello("", clean, "")
	wrong := frameOf(0x10, "\x00\x04MQTT\x04\xC2\x00\x3C"+mqttString("c")+mqttString("nobody")+mqttString("wrong"))
	filters := "\x00\x01"
	for i := range 10 {
		filters += mqttString(fmt.Sprintf("leak/%d/#", i)) + "\x01"
	}
	publish := func(first byte, id uint16) string {
		return frameOf(first, mqttString("leak/1/x")+string(binary.BigEndian.AppendUint16(nil, id))+"21.5")
	}
	upgrade := "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	upgraded := len("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
	masked := string([]byte{0x82, 0x80 | byte(len(connect)), 0, 0, 0, 0}) + connect
	return []abandonment{
		{"silence", "mqtt", "", 0, ""},
		{"garbage", "mqtt", "GET / HTTP/1.1\r\n\r\n", 0, ""},
		{"half a CONNECT", "mqtt", connect[:len(connect)/2], 0, ""},
		{"a wrong password", "mqtt", wrong, 0, ""},
		{"CONNECT", "mqtt", connect, 0, ""},
		{"CONNACK", "mqtt", connect, connack, ""},
		{"a Will", "mqtt", hello("", clean|hasWill, mqttString("leak/will")+mqttString("gone")), connack, ""},
		{"half a PUBLISH", "mqtt", connect, connack, publish(0x32, 1)[:9]},
		{"QoS 1 without its PUBACK", "mqtt", connect, connack, publish(0x32, 1) + publish(0x32, 2) + publish(0x32, 3)},
		{"QoS 2 without its PUBREL", "mqtt", connect + publish(0x34, 1), connack + 4, ""},
		{"subscribed", "mqtt", connect + frameOf(0x82, filters), connack + 4 + 10, ""},
		{"subscribed to its own", "mqtt", connect + frameOf(0x82, filters), connack + 4 + 10, publish(0x32, 1) + publish(0x34, 2)},
		{"a session that stays", "mqtt", hello("leak-stays", 0, "") + frameOf(0x82, "\x00\x01"+mqttString("stays/#")+"\x01"), connack, publish(0x32, 1)},
		{"half an upgrade", "ws", upgrade[:90], 0, ""},
		{"a WebSocket", "ws", upgrade, upgraded, ""},
		{"MQTT over WebSocket", "ws", upgrade, upgraded, masked},
		{"half a frame", "ws", upgrade, upgraded, masked[:10]},
		{"half a ClientHello", "mqtt-over-tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0, ""},
		{"TLS", "mqtts", "", 0, ""},
		{"MQTT over TLS", "mqtts", connect, connack, ""},
	}
}

// once goes through it and leaves, with a FIN or, hard, with a reset.
func (a *abandonment) once(s *testServer, hard bool) error {
	addr := map[string]string{"mqtt": s.mqtt, "ws": s.ws, "mqtts": s.mqtts, "mqtt-over-tls": s.mqtts}[a.door]
	tcp, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return err
	}
	if hard {
		_ = tcp.(*net.TCPConn).SetLinger(0)
	}
	defer tcp.Close()
	c := tcp
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if a.door == "mqtts" {
		t := tls.Client(tcp, &tls.Config{InsecureSkipVerify: true})
		if err := t.Handshake(); err != nil {
			return err
		}
		c = t
	}
	if _, err := io.WriteString(c, a.send); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, make([]byte, a.read)); err != nil {
		return err
	}
	_, err = io.WriteString(c, a.then)
	return err
}

// belongings is what a process holds.
type belongings struct{ goroutines, files, heap int }

func holds(t *testing.T) belongings {
	t.Helper()
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc to count open files in")
	}
	return belongings{runtime.NumGoroutine(), len(fds), int(m.HeapAlloc)}
}

// case R13: clients that go in the middle of anything leave nothing behind: a few of each
// sort, with -flood ten thousand.
func TestFloodAbandoned(t *testing.T) {
	each := 40
	if *flood {
		each = 10_000
	}
	h := newHouse(t)
	h.issue("server")
	s := start(t, options{
		"certfile": h.path("server.pem"), "keyfile": h.path("server.key"), "log_level": "error",
		"logins": []map[string]any{{"username": e2eUser, "password": e2ePassword}},
	})
	round := func(a *abandonment, n int) {
		t.Helper()
		var wg sync.WaitGroup
		errs := make(chan error, 8)
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < n; i += 8 {
					if err := a.once(s, i&8 == 0); err != nil && a.read > 0 && a.name != "a session that stays" { // which the next one takes over
						select {
						case errs <- err:
						default:
						}
					}
				}
			})
		}
		wg.Wait()
		select {
		case err := <-errs:
			t.Fatalf("%s: %v", a.name, err)
		default:
		}
	}
	list := abandonments()
	for i := range list { // what is made once and stays
		round(&list[i], 40)
	}
	// As quiet as it gets: nothing goes on going away.
	before := holds(t)
	for same := 0; same < 10; {
		<-time.After(50 * time.Millisecond)
		now := holds(t)
		if same++; now.goroutines < before.goroutines || now.files < before.files || now.heap < before.heap*99/100 {
			same = 0
		}
		before = now
	}
	for i := range list {
		round(&list[i], each)
	}
	most := before.heap + before.heap/20 + 2<<20
	begun, m := time.Now(), brokertest.WatchMachine()
	after := holds(t)
	for time.Since(begun) < time.Minute && (after.goroutines > before.goroutines || after.files > before.files || after.heap > most) {
		<-time.After(50 * time.Millisecond)
		after = holds(t)
	}
	took := time.Since(begun)
	t.Logf("R13: %d times each of %d ways to go: goroutines %d → %d, open files %d → %d, heap %d → %d KiB, %v after the last",
		each, len(list), before.goroutines, after.goroutines, before.files, after.files, before.heap>>10, after.heap>>10, took.Round(time.Millisecond))
	if after.goroutines > before.goroutines || after.files > before.files {
		t.Errorf("more than before: %+v, then %+v", before, after)
	}
	if after.heap > most {
		t.Errorf("the heap grew from %d to %d KiB", before.heap>>10, after.heap>>10)
	}
	if took > 10*time.Second {
		m.Timing(t, "it took %v until all was given back", took)
	}
}
