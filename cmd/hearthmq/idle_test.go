package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker/brokertest"
)

// case R1: what a connection costs that says nothing, one that does not finish what it
// says, and a device that is there and has nothing to say.
func TestFloodIdle(t *testing.T) {
	const places = 1500 // fewer than the half handshakes that may be under way: 64 MiB of 40 KiB
	h := newHouse(t)
	h.issue("server")
	for _, door := range []string{"tcp", "tls", "ws", "wss"} {
		for _, state := range []string{"silent", "half", "connected", "heard"} {
			t.Run(door+" "+state, func(t *testing.T) {
				ws, wss := brokertest.FreeAddress(t), brokertest.FreeAddress(t)
				v := newVictim(t, options{"max_connections": 2 * places, "ws_address": ws, "wss_address": wss,
					"certfile": h.path("server.pem"), "keyfile": h.path("server.key")})
				v.start()
				addr := map[string]string{"tcp": v.mqtt, "tls": v.mqtts, "ws": ws, "wss": wss}[door]
				eventually(t, "the port is open", func() bool {
					c, err := net.Dial("tcp", addr)
					if err == nil {
						c.Close()
					}
					return err == nil
				})
				if warm := visit(t, door, addr, "warm", "heard"); warm != nil { // what is made once
					defer warm.Close()
				}
				before, _ := v.rss()
				used := v.processor()
				conns := make([]net.Conn, places)
				work := make(chan int)
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						for i := range work {
							conns[i] = visit(t, door, addr, fmt.Sprint("idle", i), state)
						}
					})
				}
				begin := time.Now()
				for i := range places {
					work <- i
				}
				close(work)
				wg.Wait()
				took := time.Since(begin)
				have := 0 // the kernel has accepted them all, the process follows
				for begin := time.Now(); have < places && time.Since(begin) < 3*time.Second; {
					have = v.sockets()
				}
				if have < places {
					t.Errorf("%d sockets in the process, want %d: some are gone again", have, places)
				}
				now, _ := v.rss()
				t.Logf("R1: %s %s: %d came in %v with %v of the processors, RSS %s → %s: %d bytes each",
					door, state, places, took.Round(time.Millisecond), v.processor()-used, mib(before), mib(now), (now-before)/places)
				for _, c := range conns {
					if c != nil {
						c.Close()
					}
				}
			})
		}
	}
}

// visit opens a connection by a door and brings it into a state: silent, half (of its first
// packet), connected, or heard (it has also subscribed and published).
func visit(t *testing.T, door, addr, clientID, state string) net.Conn {
	c, err := net.DialTimeout("tcp", addr, 30*time.Second)
	if err != nil {
		t.Error(err)
		return nil
	}
	encrypted, web := door == "tls" || door == "wss", strings.HasPrefix(door, "ws")
	packet := frameOf(0x10, "\x00\x04MQTT\x04\xC2\x00\x00"+mqttString(clientID)+mqttString(e2eUser)+mqttString(e2ePassword))
	if state == "silent" || state == "half" && door != "tcp" {
		if state == "half" {
			first := "GET /mqtt HTTP/1.1\r\nHost: x\r\n"
			if encrypted {
				first = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" // the head of a ClientHello
			}
			_, err = io.WriteString(c, first)
		}
		if err != nil {
			t.Error(err)
		}
		return c
	}
	if encrypted {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	send := func(text string) { _, err = io.WriteString(c, text) }
	receive := func(n int) { _, err = io.ReadFull(c, make([]byte, n)) }
	if web {
		u := "ws://x/mqtt"
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, NetDial: func(string, string) (net.Conn, error) { return c, nil }}
		ws, _, err := dialer.Dial(u, http.Header{})
		if err != nil {
			t.Error(err)
			return nil
		}
		send = func(text string) { err = ws.WriteMessage(websocket.BinaryMessage, []byte(text)) }
		receive = func(int) { _, _, err = ws.ReadMessage() }
	}
	if state == "half" {
		packet = packet[:20]
	}
	send(packet)
	if state != "half" {
		receive(4)
	}
	if state == "heard" {
		send(frameOf(0x82, "\x00\x01"+mqttString(clientID+"/set")+"\x00"))
		receive(5)
		send(string(publishBytes(clientID+"/state", "21.5")))
	}
	if err != nil {
		t.Error(err)
	}
	return c
}
