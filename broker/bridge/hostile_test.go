package bridge

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// answering is the other side of a bridge as it should not be: it answers CONNECT
// with hello and then does as f says.
func answering(hello []byte, f func(nc net.Conn)) func(net.Conn) {
	return func(nc net.Conn) {
		defer nc.Close()
		if _, err := packet.NewReader(nc, 0).ReadFrame(); err != nil {
			return
		}
		if _, err := nc.Write(hello); err != nil {
			return
		}
		f(nc)
	}
}

// What a broker sends that means ill ends the connection or is dropped; this broker and
// its clients go on (case W21).
func TestHostileBroker(t *testing.T) {
	welcome := (&packet.Connack{}).Append(nil, packet.V50)
	publish := func(p packet.Publish) []byte { return p.Append(nil, packet.V50) }
	read := func(nc net.Conn) {
		b := make([]byte, 4096)
		for {
			if _, err := nc.Read(b); err != nil {
				return
			}
		}
	}
	say := func(b []byte) func(net.Conn) {
		return func(nc net.Conn) {
			if _, err := nc.Write(b); err == nil {
				read(nc)
			}
		}
	}
	for _, c := range []struct {
		name    string
		serve   func(net.Conn)
		error   string // what the owner reads, "": it stays connected
		arrives []string
	}{
		{"garbage for CONNACK", answering([]byte("\xff\xff\xff\xff\xff\xff"), read), "what it says is not MQTT", nil},
		{"a web server", answering([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), read), "it does not answer", nil},
		{"another packet for CONNACK", answering([]byte{0xd0, 0}, read), "what it says is not MQTT", nil},
		{"nothing", answering(nil, read), "it does not answer", nil},
		{"closes", answering(nil, func(net.Conn) {}), "the connection was closed", nil},
		{"refuses", answering((&packet.Connack{Code: packet.BadUserNameOrPassword}).Append(nil, packet.V50), read), "it refuses the user name or password", nil},
		{"announces 256 MB", answering(welcome, say([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'x'})), "what it says is not MQTT", nil},
		{"a Topic Alias", answering(welcome, say(publish(packet.Publish{Topic: []byte("in/a"), HasAlias: true, TopicAlias: 1}))), "what it says is not MQTT", nil},
		{"CONNECT", answering(welcome, say((&packet.Connect{Version: packet.V50}).Append(nil, packet.V50))), "what it says is not MQTT", nil},
		{"topics of the server", answering(welcome, say(publish(packet.Publish{Topic: []byte("$SYS/broker/version"), Payload: []byte("x")}))), "", nil},
		{"topics that nobody asked for", answering(welcome, say(publish(packet.Publish{Topic: []byte("out/x"), QoS: 2, PacketID: 1}))), "", nil},
		{"a name that is none here", answering(welcome, say(append(
			publish(packet.Publish{Topic: []byte("deep/" + strings.Repeat("/", 60000)), QoS: 1, PacketID: 1}),
			publish(packet.Publish{Topic: []byte("in/good"), QoS: 1, PacketID: 2})...))), "", []string{"in/good "}},
		{"acknowledgements of nothing", answering(welcome, say([]byte{0x40, 2, 0, 9, 0x50, 2, 0, 9, 0x70, 2, 0, 9, 0x62, 2, 0, 9, 0x90, 4, 0, 9, 0, 1, 0xd0, 0})), "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, n := newSite(t), new(network)
				n.serve("far:1883", c.serve)
				m := manager(t, "near", near, n)
				set(t, m, settings("b", func(s *Settings) { s.MaxPacket, s.RestartMin, s.RestartMax = 100_000, time.Hour, 0 },
					Topic{Pattern: "in/#", In: true, QoS: 2}, Topic{Pattern: "deep/#", In: true, QoS: 1, Local: strings.Repeat("d/", 20)},
					Topic{Pattern: "#", In: true, QoS: 0, Remote: "$SYS/", Local: "$SYS/"}))
				pass(replyTimeout)
				s := m.Statuses()[0]
				if (s.State == Connected) != (c.error == "") || s.LastError != c.error {
					t.Errorf("%+v", s)
				}
				want(t, near, c.arrives...)
				near.say(t, "still", "here", 1, false)
				want(t, near, "still here")
			})
		})
	}
}

// Topics that a broker names as none asked of it are dropped: nothing leaves the part of the
// tree that the bridge is for, and what is dropped is counted (case W21).
func TestHostileNames(t *testing.T) {
	welcome := (&packet.Connack{}).Append(nil, packet.V50)
	long := strings.Repeat("x", 65_535-len("theirs/"))
	for _, c := range []struct {
		name   string // of the remote side
		local  string // that it has here; "": it is dropped
		broken bool   // no Topic Name: the connection ends
	}{
		{name: "theirs/a", local: "ours/deep/a"}, {name: "theirs/", local: "ours/deep/"}, {name: "theirs//", local: "ours/deep//"},
		{name: "theirs/../../x", local: "ours/deep/../../x"},
		{name: "theirs/$SYS/x", local: "ours/deep/$SYS/x"}, {name: "theirs/ours/deep/a", local: "ours/deep/ours/deep/a"},
		{name: "theirs/\x1b[31m", local: "ours/deep/\x1b[31m"}, {name: "theirs"}, {name: "their"}, {name: "theirsx/a"}, {name: "Theirs/a"}, {name: "/theirs/a"}, {name: "ours/deep/a"}, {name: "a"}, {name: "/"},
		{name: "$SYS/broker/uptime"}, {name: "$CONTROL/dynamic-security/v1"}, {name: "$share/g/theirs/a"}, {name: "$hearthmq/x"}, {name: "theirs/" + long},
		{name: "theirs/#", broken: true}, {name: "theirs/+/a", broken: true}, {name: "#", broken: true}, {name: "theirs/a+", broken: true}, {name: "theirs/a\x00", broken: true},
		{name: "theirs/\xff", broken: true}, {name: "", broken: true},
		{name: "bare", local: "bare/here"}, {name: "bare/x"}, {name: "ctl/x"}, {name: "ctl/dynamic-security/v1"},
	} {
		short := fmt.Sprintf("%.40q", c.name)
		t.Run(short, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, n := newSite(t), new(network)
				n.serve("far:1883", answering(welcome, func(nc net.Conn) {
					p := packet.Publish{Topic: []byte(c.name), QoS: 1, PacketID: 1, Payload: []byte("x")}
					if _, err := nc.Write(p.Append(nil, packet.V50)); err == nil {
						_, _ = io.Copy(io.Discard, nc) // until it ends
					}
				}))
				m := manager(t, "near", near, n)
				set(t, m, settings("b", func(s *Settings) { s.RestartMin, s.RestartMax = time.Hour, 0 },
					Topic{Pattern: "#", In: true, QoS: 1, Remote: "theirs/", Local: "ours/deep/"}, Topic{Remote: "bare", In: true, QoS: 1, Local: "bare/here"},
					Topic{Pattern: "#", In: true, QoS: 1, Remote: "ctl/", Local: "$CONTROL/"}))
				pass(replyTimeout)
				s := m.Statuses()[0]
				if (s.State == Connected) == c.broken {
					t.Errorf("%+v", s)
				}
				if c.local != "" {
					want(t, near, c.local+" x")
				} else {
					want(t, near)
				}
			})
		})
	}
}

func TestOutside(t *testing.T) { // case W20
	guard := Outside([]netip.Prefix{netip.MustParsePrefix("172.30.33.5/32")})
	for addr, ok := range map[string]bool{
		"127.0.0.1": false, "127.8.9.1": false, "::1": false, "::ffff:127.0.0.1": false, "169.254.169.254": false, "fe80::1": false,
		"172.30.32.2": false, "172.30.33.4": false, "172.30.33.5": true, "0.0.0.0": false, "::": false, "224.0.0.1": false,
		"192.168.1.2": true, "10.0.0.1": true, "172.30.34.1": true, "2001:db8::1": true,
	} {
		if err := guard(netip.MustParseAddr(addr)); (err == nil) != ok || err != nil && !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	s := settings("b", func(s *Settings) { s.Addresses = []string{"localhost:1883"} }, Topic{Pattern: "x", In: true})
	m := &Manager{Guard: guard}
	if err := m.Test(t.Context(), s); err == nil || !strings.Contains(err.Error(), ErrForbidden.Error()) {
		t.Errorf("%v", err)
	}
}

func TestTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, n := newSite(t), newSite(t), new(network)
		n.put("far:1883", far)
		m := manager(t, "near", near, n)
		s := settings("b", nil, Topic{Pattern: "x", In: true, QoS: 1})
		set(t, m, s)
		if err := m.Test(t.Context(), s); err != nil {
			t.Error(err)
		}
		pass(time.Second)
		state(t, m, Connected) // the running one was left alone
		s.Addresses = []string{"far:1883", "nowhere:1"}
		if err := m.Test(t.Context(), s); err == nil || err.Error() != "nowhere:1: it can't be reached" {
			t.Errorf("%v", err)
		}
	})
}

// A link that swallows everything is noticed by Keep Alive.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, n := newSite(t), newSite(t), new(network)
		deaf := false
		n.serve("far:1883", func(nc net.Conn) {
			if deaf {
				return
			}
			deaf = true
			a, b := brokertest.Pipe()
			go n.sites["real:1883"](b)
			go func() { // the way there stays open, the way back ends after a while
				buf := make([]byte, 4096)
				for {
					k, err := nc.Read(buf)
					if err != nil {
						return
					}
					if _, err := a.Write(buf[:k]); err != nil {
						return
					}
				}
			}()
			buf := make([]byte, 4096)
			until := time.Now().Add(10 * time.Second)
			for time.Now().Before(until) {
				if a.SetReadDeadline(until) != nil {
					return
				}
				k, err := a.Read(buf)
				if err != nil {
					return
				}
				if _, err := nc.Write(buf[:k]); err != nil {
					return
				}
			}
		})
		n.put("real:1883", far)
		m := manager(t, "near", near, n)
		set(t, m, settings("b", func(s *Settings) { s.KeepAlive, s.RestartMin, s.RestartMax = 20*time.Second, time.Hour, 0 }, Topic{Pattern: "x", Out: true, QoS: 1}))
		state(t, m, Connected)
		pass(time.Minute)
		if s := state(t, m, Waiting); s.LastError != errSilent.Error() {
			t.Errorf("%+v", s)
		}
		n.cut()
	})
}

func TestValidate(t *testing.T) {
	good := settings("b", nil, Topic{Pattern: "x", In: true})
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*Settings){
		"name":         func(s *Settings) { s.Name = "a/b" },
		"addresses":    func(s *Settings) { s.Addresses = []string{"host"} },
		"topics":       func(s *Settings) { s.Topics = []Topic{{Pattern: "a/#/b", In: true}} },
		"client_id":    func(s *Settings) { s.ClientID = "a/#" },
		"password":     func(s *Settings) { s.Password, s.Version = "x", packet.V311 },
		"keep_alive":   func(s *Settings) { s.KeepAlive = time.Second },
		"start":        func(s *Settings) { s.Start = "" },
		"restart_min":  func(s *Settings) { s.RestartMin = 0 },
		"restart_max":  func(s *Settings) { s.RestartMax = time.Millisecond },
		"tls":          func(s *Settings) { s.TLS.KeyFile = "x" },
		"bind_address": func(s *Settings) { s.BindAddress = "eth0" },
		"version":      func(s *Settings) { s.Version = 0 },
	} {
		s := good
		change(&s)
		p, ok := errors.AsType[Problems](s.Validate())
		if !ok || len(p) != 1 || p[field] == "" {
			t.Errorf("%s: %v", field, p)
		}
	}
	for _, bad := range []Topic{
		{Pattern: "x"}, {Pattern: "x", In: true, QoS: 3}, {In: true, Local: "a"}, {Pattern: "x", In: true, Local: "+/"},
		{Pattern: "$share/g/x", In: true}, {Pattern: "x#", Out: true},
	} {
		if bad.validate() == nil {
			t.Errorf("accepted: %+v", bad)
		}
	}
	if text := Problems(map[string]string{"b": "2", "a": "1"}).Error(); text != "a: 1; b: 2" {
		t.Error(text)
	}
}
