package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker/brokertest"
)

// case R2: one byte every four seconds, of each thing that a client says before it is let in, on
// every door of the running program. Each has an end that no byte moves; where one thing comes
// after another each may take its own five seconds, a TLS handshake and CONNECT ten together.
func TestFloodDrip(t *testing.T) {
	h := newHouse(t)
	h.issue("server")
	wss, shared, ws := brokertest.FreeAddress(t), brokertest.FreeAddress(t), brokertest.FreeAddress(t)
	serve := func(o options) *victim {
		o["certfile"], o["keyfile"], o["max_connections_per_address"] = h.path("server.pem"), h.path("server.key"), 0
		v := newVictim(t, o)
		v.start()
		return v
	}
	v := serve(options{"ws_address": ws, "wss_address": wss, "unix_socket": "mqtt.sock"})
	serve(options{"mqtt_address": shared, "ws_address": shared})
	proxied := serve(options{"proxy_protocol": []string{"127.0.0.1/32"}})
	const connect = "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04drip"
	const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	const get = "GET /mqtt HTTP/1.1\r\nHost: x\r\n"
	plain := func(network, addr, first string) func() (io.ReadWriteCloser, error) {
		return func() (io.ReadWriteCloser, error) {
			c, err := net.Dial(network, addr)
			if err == nil && first != "" {
				_, err = io.WriteString(c, first)
			}
			return c, err
		}
	}
	insecure := &tls.Config{InsecureSkipVerify: true}
	encrypted := func(addr string) func() (io.ReadWriteCloser, error) {
		return func() (io.ReadWriteCloser, error) { return tls.Dial("tcp", addr, insecure) }
	}
	upgraded := func(u string) func() (io.ReadWriteCloser, error) {
		return func() (io.ReadWriteCloser, error) {
			d := websocket.Dialer{Subprotocols: []string{"mqtt"}, TLSClientConfig: insecure}
			c, _, err := d.Dial(u, http.Header{})
			if err != nil {
				return nil, err
			}
			return drippedFrames{c}, nil
		}
	}
	var wg sync.WaitGroup
	for _, tt := range []struct {
		name, drips string
		open        func() (io.ReadWriteCloser, error)
		within      time.Duration
	}{
		{"tcp: CONNECT", connect, plain("tcp", v.mqtt, ""), 5 * time.Second},
		{"unix: CONNECT", connect, plain("unix", filepath.Join(v.dir, "mqtt.sock"), ""), 5 * time.Second},
		{"tls: ClientHello", hello, plain("tcp", v.mqtts, ""), 10 * time.Second},
		{"tls: CONNECT", connect, encrypted(v.mqtts), 10 * time.Second},
		{"ws: upgrade", get, plain("tcp", ws, ""), 10 * time.Second},
		{"ws: headers", "X-A: b\r\n", plain("tcp", ws, get), 10 * time.Second},
		{"ws: CONNECT in frames of a byte", connect, upgraded("ws://" + ws + "/mqtt"), 5 * time.Second},
		{"wss: ClientHello", hello, plain("tcp", wss, ""), 10 * time.Second},
		{"wss: headers", get, encrypted(wss), 10 * time.Second},
		{"wss: CONNECT in frames of a byte", connect, upgraded("wss://" + wss + "/mqtt"), 5 * time.Second},
		{"shared port: CONNECT", connect, plain("tcp", shared, ""), 10 * time.Second},
		{"shared port: first bytes", get, plain("tcp", shared, ""), 5 * time.Second},
		{"shared port: headers", "X-A: b\r\n", plain("tcp", shared, get), 10 * time.Second},
		{"shared port: CONNECT in frames of a byte", connect, upgraded("ws://" + shared + "/mqtt"), 5 * time.Second},
		{"PROXY header", "PROXY TCP4 192.0.2.7", plain("tcp", proxied.mqtt, ""), 5 * time.Second},
		{"behind a PROXY header: CONNECT", connect, plain("tcp", proxied.mqtt, "PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"), 5 * time.Second},
		{"behind a PROXY header: ClientHello", hello, plain("tcp", proxied.mqtts, "PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"), 10 * time.Second},
	} {
		wg.Go(func() {
			var c io.ReadWriteCloser
			var err error
			for begin := time.Now(); time.Since(begin) < 10*time.Second; <-time.After(50 * time.Millisecond) {
				if c, err = tt.open(); err == nil { // the port may not be open yet
					break
				}
			}
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				return
			}
			defer c.Close()
			begin := time.Now()
			var sent atomic.Int32
			stop := make(chan struct{})
			defer close(stop)
			go func() { // ends with the connection
				for i := range len(tt.drips) {
					if _, err := io.WriteString(c, tt.drips[i:i+1]); err != nil {
						return
					}
					sent.Add(1)
					select {
					case <-time.After(4 * time.Second):
					case <-stop:
						return
					}
				}
			}()
			_, _ = io.Copy(io.Discard, c)
			took := time.Since(begin)
			t.Logf("R2: %s: closed %v after the first of %d bytes", tt.name, took.Round(time.Millisecond), sent.Load())
			if took > tt.within+time.Second || took < 4*time.Second {
				t.Errorf("%s: closed after %v, want %v", tt.name, took, tt.within)
			}
		})
	}
	wg.Wait()
}

// drippedFrames is a WebSocket as bytes: each Write is one frame.
type drippedFrames struct{ *websocket.Conn }

func (f drippedFrames) Write(b []byte) (int, error) {
	return len(b), f.WriteMessage(websocket.BinaryMessage, b)
}

func (f drippedFrames) Read([]byte) (int, error) {
	for {
		if _, _, err := f.ReadMessage(); err != nil {
			return 0, err
		}
	}
}

// case R1: as many connections as there are places, each with all of a CONNECT that may come
// before a client is known but its last byte, or with a TLS handshake that stays half done. The
// memory limit holds, and somebody honest gets in.
func TestFloodUnfinished(t *testing.T) {
	const places, limit = 5000, 205 << 20
	h := newHouse(t)
	h.issue("server")
	for _, door := range []string{"tcp", "tls"} {
		t.Run(door, func(t *testing.T) {
			v := newVictim(t, options{"max_connections": places, "memory_limit": strconv.Itoa(limit), "certfile": h.path("server.pem"), "keyfile": h.path("server.key")})
			v.start()
			before, _ := v.rss()
			begun := frameOf(0x10, "\x00\x04MQTT\x04\xC2\x00\x00"+mqttString("unfinished")+mqttString("user")+mqttString(strings.Repeat("x", 60<<10)))
			var conns []net.Conn
			var written atomic.Int64
			var wg sync.WaitGroup
			begin := time.Now()
			for range places {
				c, err := net.DialTimeout("tcp", map[string]string{"tcp": v.mqtt, "tls": v.mqtts}[door], 10*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
				wg.Go(func() {
					_ = c.SetDeadline(time.Now().Add(12 * time.Second))
					if door == "tls" {
						_ = tls.Client(silentAfterHello{c}, &tls.Config{InsecureSkipVerify: true}).Handshake()
						return
					}
					n, _ := io.WriteString(c, begun[:len(begun)-1])
					written.Add(int64(n))
				})
			}
			took := time.Since(begin)
			in := 0
			for i := range 10 {
				if d, err := connectDevice(v.mqtt, fmt.Sprint("honest", i), e2eUser, e2ePassword, true); err == nil {
					d.Close()
					in++
				}
			}
			<-time.After(time.Second) // until what was sent is taken
			now, _ := v.rss()
			open := v.sockets()
			wg.Wait()
			_, most := v.rss()
			t.Logf("R1: %s: %d connections in %v with %s of unfinished CONNECTs: RSS %s → %s, %s at most, %d sockets open then; %d of 10 honest clients got in",
				door, places, took.Round(time.Millisecond), mib(written.Load()), mib(before), mib(now), mib(most), open, in)
			for _, c := range conns {
				c.Close()
			}
			if most > limit || in != 10 {
				t.Errorf("RSS %s with a limit of %s, %d of 10 honest clients got in", mib(most), mib(limit), in)
			}
		})
	}
}

// silentAfterHello is a client's socket that sends its first flight and no other.
type silentAfterHello struct{ net.Conn }

func (s silentAfterHello) Read([]byte) (int, error) { return 0, errors.New("silent") }
