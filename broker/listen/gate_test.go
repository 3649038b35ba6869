package listen

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// case R1: who has said what comes before MQTT makes room for nobody any more, whoever
// follows and says nothing; nor does a deadline of the handshake hold for it (case R2).
func TestWhoIsInStaysIn(t *testing.T) {
	for name, open := range map[string]func(net.Listener) net.Listener{
		"shared port": func(ln net.Listener) net.Listener { mqtt, _ := share(ln, testLog(t)); return mqtt },
		"behind a proxy": func(ln net.Listener) net.Listener {
			return behindProxies(remotes{ln}, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Log: testLog(t)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := newPipes()
				ln := open(in)
				defer ln.Close()
				device := in.dial()
				defer device.Close()
				begin := "\x10"
				if name != "shared port" {
					begin = proxyLine
				}
				go func() { _, _ = device.Write([]byte(begin + "x")) }()
				s, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if name == "shared port" {
					receive(t, s, begin)
				}
				receive(t, s, "x")
				heard := make(chan error, 1)
				go func() {
					_, err := s.Read(make([]byte, 1))
					heard <- err
				}()
				for range maxHandshakes + 1 {
					defer in.dial().Close()
				}
				<-time.After(2 * handshakeTimeout)
				select {
				case err := <-heard:
					t.Fatalf("made to go: %v", err)
				default:
				}
				go func() { _, _ = device.Write([]byte("y")) }()
				if err := <-heard; err != nil {
					t.Errorf("hears nothing any more: %v", err)
				}
			})
		})
	}
}

// The same of those who have opened a WebSocket (cases R1, R2).
func TestWebSocketThatIsInStaysIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newPipes()
		ln := newWebSocketListener(in, Config{Log: testLog(t)})
		defer ln.Close()
		device := in.dial()
		defer device.Close()
		upgrade(t, device, mqttProtocol)
		s, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i := range 2 * maxHandshakes { // half of them have come and gone before the others come
			c := in.dial()
			defer c.Close()
			if i < maxHandshakes {
				c.Close()
			}
		}
		<-time.After(2 * handshakeTimeout)
		go func() { _, _ = device.Write([]byte("\x82\x81\x00\x00\x00\x00x")) }()
		receive(t, s, "x")
	})
}

// case W12: which web pages may open a WebSocket, by what their browser says of them.
func TestOrigins(t *testing.T) {
	for _, x := range []struct {
		origin, host string
		allowed      []string
		want         bool
	}{
		{"", "hearth.local:1884", nil, true},
		{"http://hearth.local:8123", "hearth.local:1884", nil, true},
		{"https://HEARTH.local", "hearth.local:1884", nil, true},
		{"http://[fd00::1]:8123", "[fd00::1]:1884", nil, true},
		{"http://evil.example", "hearth.local:1884", nil, false},
		{"http://hearth.local.evil.example", "hearth.local:1884", nil, false},
		{"ftp://hearth.local", "hearth.local:1884", nil, false},
		{"hearth.local", "hearth.local:1884", nil, false},
		{"null", "hearth.local:1884", nil, false},
		{"http://", ":1884", nil, false},
		{"http://:8123", "", nil, false},
		{"http://hearth.local%zz", "hearth.local", nil, false},
		{"http://evil.example", "hearth.local", []string{"*"}, true},
		{"null", "hearth.local", []string{"*"}, true},
		{"https://panel.example", "hearth.local", []string{"https://panel.example/"}, true},
		{"https://PANEL.example", "hearth.local", []string{"https://other.example", "https://panel.example"}, true},
		{"https://panel.example:8443", "hearth.local", []string{"https://panel.example"}, false},
		{"http://panel.example", "hearth.local", []string{"https://panel.example"}, false},
		{"https://panel.example", "hearth.local", []string{""}, false},
	} {
		r := &http.Request{Host: x.host, Header: http.Header{}}
		if x.origin != "" {
			r.Header.Set("Origin", x.origin)
		}
		if got := allowOrigin(r, x.allowed); got != x.want {
			t.Errorf("%q on %q, with %q: %v", x.origin, x.host, x.allowed, got)
		}
	}
}

// What a crowd knows of those who left is nothing.
func TestCrowdForgets(t *testing.T) {
	var w crowd
	a, b := net.Pipe()
	defer b.Close()
	w.enter(a)
	w.leave(b) // has not come
	if w.order.Len() != 1 || len(w.at) != 1 {
		t.Errorf("%d in order, %d known", w.order.Len(), len(w.at))
	}
	w.leave(a)
	w.leave(a)
	if w.order.Len() != 0 || len(w.at) != 0 {
		t.Errorf("%d in order, %d known after it left", w.order.Len(), len(w.at))
	}
	synctest.Test(t, func(t *testing.T) {
		var w crowd
		for range maxHandshakes + 3 {
			c, far := net.Pipe()
			defer far.Close()
			defer c.Close()
			w.enter(c)
		}
		if w.order.Len() != maxHandshakes || len(w.at) != maxHandshakes {
			t.Errorf("%d in order, %d known", w.order.Len(), len(w.at))
		}
		synctest.Wait()
	})
}

// failing fails to accept a few times before it has a connection, and then for good.
type failing struct {
	*pipes
	errs []error
	at   []time.Time
}

func (f *failing) Accept() (net.Conn, error) {
	f.at = append(f.at, time.Now())
	if len(f.errs) > 0 {
		err := f.errs[0]
		if f.errs = f.errs[1:]; err != nil {
			return nil, err
		}
	}
	return f.pipes.Accept()
}

// A shortage that passes does not end a port (case R4): it waits a little, longer each time, and
// a second at most. What does not pass ends it, and who waits for its connections hears so.
func TestGateOutlastsAShortage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := &net.OpError{Op: "accept", Err: syscall.EMFILE}
		f := &failing{pipes: newPipes()}
		for range 10 {
			f.errs = append(f.errs, short)
		}
		f.errs = append(f.errs, nil, short, errors.New("it is broken"))
		mqtt, web := share(f, testLog(t))
		start := time.Now()
		c := f.dial()
		defer c.Close()
		go func() { _, _ = c.Write([]byte("\x10")) }()
		s, err := mqtt.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		// 5, 10, 20 … 640 ms, then a second.
		if took := time.Since(start); took != 1275*time.Millisecond+2*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, ln := range []net.Listener{mqtt, web} {
			if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the port has ended, and Accept says %v", err)
			}
		}
		if again := f.at[len(f.at)-1].Sub(f.at[len(f.at)-2]); again != 5*time.Millisecond {
			t.Errorf("after a connection it waited %v, want 5ms as at first", again)
		}
		select {
		case <-f.done:
		default:
			t.Error("the listener beneath is still open")
		}
	})
}

// Who closes a port that waits out a shortage is not held up, and gets no connection any more.
func TestGateClosesInAShortage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{pipes: newPipes()}
		for range 1000 {
			f.errs = append(f.errs, &net.OpError{Op: "accept", Err: syscall.EMFILE})
		}
		mqtt, _ := share(f, testLog(t))
		<-time.After(10 * time.Second)
		if err := mqtt.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		tries := len(f.at)
		<-time.After(time.Minute)
		if len(f.at) != tries {
			t.Errorf("%d more tries after it was closed", len(f.at)-tries)
		}
	})
}
