package listen

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// case R1: however many say nothing, or half of what they have to, who comes and speaks gets
// in, on every door that looks at first bytes. Those go that have waited longest.
func TestCrowdMakesRoom(t *testing.T) {
	proxies := Config{Log: testLog(t)}
	for _, tt := range []struct {
		name, half string
		open       func(net.Listener) net.Listener
		speak      func(t *testing.T, c net.Conn)
	}{
		{"WebSocket", "GET / HTTP/1.1\r\n", func(ln net.Listener) net.Listener { return newWebSocketListener(ln, proxies) },
			func(t *testing.T, c net.Conn) { upgrade(t, c, mqttProtocol) }},
		{"shared port, silent", "", func(ln net.Listener) net.Listener {
			mqtt, _ := share(ln, testLog(t))
			return mqtt
		}, func(t *testing.T, c net.Conn) { send(t, c, "\x10") }},
		{"shared port, half", "GET", func(ln net.Listener) net.Listener {
			mqtt, _ := share(ln, testLog(t))
			return mqtt
		}, func(t *testing.T, c net.Conn) { send(t, c, "\x10") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := newPipes()
				ln := tt.open(in)
				defer ln.Close()
				const more = 10
				crowd := make([]net.Conn, maxHandshakes+more)
				for i := range crowd {
					crowd[i] = in.dial()
					defer crowd[i].Close()
					send(t, crowd[i], tt.half)
				}
				honest := in.dial()
				defer honest.Close()
				tt.speak(t, honest)
				s, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				synctest.Wait()
				for i, c := range crowd {
					_ = c.SetReadDeadline(time.Now())
					_, err := c.Read(make([]byte, 1))
					open := errors.Is(err, os.ErrDeadlineExceeded)
					if want := i > more; open != want {
						t.Errorf("connection %d is open: %v (%v), want %v", i, open, err, want)
					}
				}
			})
		})
	}
}
