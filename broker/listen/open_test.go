package listen

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// Two listeners with one address share its port where one of them is for WebSocket and both
// are encrypted alike; whichever stands first, each gets its own clients. All others that
// want a port that is taken stay closed, and only they.
func TestOpenShares(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	free := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	open := func(cfgs ...Config) []Opened {
		t.Helper()
		for i := range cfgs {
			cfgs[i].Network, cfgs[i].Log = "tcp", testLog(t)
		}
		list := Open(t.Context(), cfgs)
		for i, o := range list {
			if o.Listener != nil {
				t.Cleanup(func() { o.Listener.Close() })
			}
			if (o.Listener == nil) == (o.Err == nil) || o.Config.Name != cfgs[i].Name {
				t.Fatalf("listener %d: %+v", i, o)
			}
		}
		return list
	}
	dialTo := func(ln net.Listener) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		bound(t, c)
		return c
	}
	for _, webFirst := range []bool{false, true} {
		at, other := free(), free()
		cfgs := []Config{{Name: "mqtt", Address: at}, {Name: "elsewhere", Address: other}, {Name: "ws", Address: at, WebSocket: true}}
		mqtt, web := 0, 2
		if webFirst {
			cfgs[0], cfgs[2] = cfgs[2], cfgs[0]
			mqtt, web = 2, 0
		}
		list := open(cfgs...)
		for _, o := range list {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
		}
		c := dialTo(list[web].Listener)
		send(t, c, "\x10x")
		receive(t, accept(t, list[mqtt].Listener), "\x10x")
		upgrade(t, dialTo(list[mqtt].Listener), mqttProtocol)
		accept(t, list[web].Listener)
		c = dialTo(list[1].Listener)
		send(t, c, "GET ")
		receive(t, accept(t, list[1].Listener), "GET ")
	}
	at := free()
	for name, second := range map[string]Config{
		"both MQTT":             {Name: "b", Address: at},
		"one of them encrypted": {Name: "b", Address: at, WebSocket: true, TLS: &files},
	} {
		list := open(Config{Name: "a", Address: at}, second)
		if list[0].Err != nil || !errors.Is(list[1].Err, syscall.EADDRINUSE) {
			t.Errorf("%s: %v and %v, want the second closed", name, list[0].Err, list[1].Err)
		}
		if list[0].Listener != nil {
			list[0].Listener.Close()
		}
	}
	// Any free port is another one each time.
	list := open(Config{Name: "a", Address: "127.0.0.1:0"}, Config{Name: "b", Address: "127.0.0.1:0", WebSocket: true})
	if list[0].Err != nil || list[1].Err != nil || list[0].Listener.Addr().String() == list[1].Listener.Addr().String() {
		t.Errorf("%v %v", list[0].Err, list[1].Err)
	}
	// An encrypted one without its files stays closed together with its other half, and says so.
	missing := files
	missing.CertFile += ".none"
	at = free()
	list = open(Config{Name: "mqtts", Address: at, TLS: &missing}, Config{Name: "wss", Address: at, WebSocket: true, TLS: &missing}, Config{Name: "mqtt", Address: free()})
	if !errors.Is(list[0].Err, ErrNoCertificate) || !errors.Is(list[1].Err, ErrNoCertificate) || list[2].Err != nil {
		t.Errorf("%v, %v, %v", list[0].Err, list[1].Err, list[2].Err)
	}
	// Both halves tell of their certificate.
	at = free()
	list = open(Config{Name: "mqtts", Address: at, TLS: &files}, Config{Name: "wss", Address: at, WebSocket: true, TLS: &files})
	for _, o := range list {
		if o.Err != nil || o.keys == nil {
			t.Errorf("%s: %v, certificate %v", o.Config.Name, o.Err, o.keys)
		}
	}
}
