package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker/brokertest"
)

// plenty of memory that no thousand of slow readers fill.
const plenty = 16 << 30

// case R6: a thousand subscribers that read nothing, a thousand messages a second, by every
// door. Where memory is short they are let go before its limit is reached; where it is not, each holds
// 1 MiB, the rest is dropped, and the write timeout ends it. Who reads beside them notices
// nothing.
func TestFloodSlowReaders(t *testing.T) {
	h := newHouse(t)
	h.issue("server")
	for _, door := range []string{"tcp", "tls", "ws", "wss"} {
		for _, limit := range []int64{205 << 20, plenty} {
			t.Run(fmt.Sprintf("%s with %d MiB", door, limit>>20), func(t *testing.T) { floodSlowReaders(t, h, door, limit) })
		}
	}
}

func floodSlowReaders(t *testing.T, h *house, door string, limit int64) {
	const readers, size, writeTimeout = 1000, 4 << 10, 20 * time.Second
	ws, wss := brokertest.FreeAddress(t), brokertest.FreeAddress(t)
	v := newVictim(t, options{"memory_limit": strconv.FormatInt(limit, 10), "durability": "memory", "ws_address": ws, "wss_address": wss,
		"certfile": h.path("server.pem"), "keyfile": h.path("server.key")})
	if limit == plenty {
		v.shell = "export GOGC=25; " // so that what is garbage adds little to what is held
	}
	v.start()
	addr := map[string]string{"tcp": v.mqtt, "tls": v.mqtts, "ws": ws, "wss": wss}[door]
	slow := make([]*handset, readers)
	work := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range work {
				slow[i] = slowReader(t, door, addr, fmt.Sprint("slow", i))
			}
		})
	}
	for i := range readers {
		work <- i
	}
	close(work)
	wg.Wait()
	if t.Failed() {
		return
	}
	before, _ := v.rss()
	here := v.sockets()
	s := startSentinel(t, v.mqtt)
	pub, err := connectDevice(v.mqtt, "pub", e2eUser, e2ePassword, true)
	if err != nil {
		t.Fatal(err)
	}
	p := publishBytes("flood/t", strings.Repeat("x", size))
	begin := time.Now()
	sent, firstGone, lastGone := 0, time.Duration(0), time.Duration(0)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Since(begin) < 40*time.Second {
		<-tick.C
		if _, err := pub.Write(bytes.Repeat(p, 10)); err != nil {
			t.Fatal(err)
		}
		if sent += 10; sent%500 == 0 {
			n := v.sockets()
			if firstGone == 0 && n < here-10 {
				firstGone = time.Since(begin)
			}
			if lastGone == 0 && n < here-readers*9/10 {
				lastGone = time.Since(begin)
			}
		}
	}
	gone := here - v.sockets()
	for _, d := range slow {
		d.Close()
	}
	p50, p99, worst := s.end(t)
	_, most := v.rss()
	t.Logf("R6: %s: %d messages of %d bytes offered to %d readers that read nothing in %v, limit %s, RSS %s, at most %s: %d KiB each; %d of them were cut off, after %v to %v; sentinel p50 %v p99 %v worst %v",
		door, sent, size, readers, time.Since(begin).Round(time.Second), mib(limit), mib(before), mib(most), (most-before)/readers>>10, gone, firstGone.Round(time.Second), lastGone.Round(time.Second), p50, p99, worst)
	if most > limit+limit/10 {
		t.Errorf("RSS %s with a limit of %s", mib(most), mib(limit))
	}
	if limit == plenty && most-before > readers*(3<<19) {
		t.Errorf("%d KiB each", (most-before)/readers>>10)
	}
	if gone < readers*9/10 {
		t.Errorf("%d of %d slow readers were cut off", gone, readers)
	}
	if limit == plenty && firstGone < writeTimeout-2*time.Second {
		t.Errorf("the first of them were cut off after %v", firstGone)
	}
}

// slowReader logs in by a door, subscribes, and reads no more from then on.
func slowReader(t *testing.T, door, addr, clientID string) *handset {
	c, err := net.DialTimeout("tcp", addr, 30*time.Second)
	if err != nil {
		t.Error(err)
		return nil
	}
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	if door == "tls" || door == "wss" {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	if strings.HasPrefix(door, "ws") {
		raw := c
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, NetDial: func(string, string) (net.Conn, error) { return raw, nil }, HandshakeTimeout: time.Minute}
		ws, _, err := dialer.Dial("ws://x/mqtt", nil)
		if err != nil {
			t.Error(err)
			return nil
		}
		c = &framed{Conn: raw, ws: ws}
	}
	d := &handset{c, bufio.NewReaderSize(c, 512)}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, err = io.WriteString(c, frameOf(0x10, "\x00\x04MQTT\x04\xC2\x00\x00"+mqttString(clientID)+mqttString(e2eUser)+mqttString(e2ePassword)))
	if err == nil {
		_, err = d.next()
	}
	if err == nil {
		err = d.subscribe("flood/#", 0)
	}
	if err != nil {
		t.Error(err)
	}
	_ = c.SetDeadline(time.Time{})
	return d
}
