package main

import (
	"crypto/tls"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// case R15: on each encrypted port a renegotiation ends the connection (no_renegotiation is
// what crypto/tls answers as a client alone; a server has a harder word), records that say nothing are
// taken a few of, and TLS 1.0 and 1.1 are refused. The admin has no port with TLS.
func TestTLSManners(t *testing.T) {
	need(t, "openssl", have("openssl"))
	h := newHouse(t)
	h.issue("server")
	both := brokertest.FreeAddress(t)
	files := options{"certfile": h.path("server.pem"), "keyfile": h.path("server.key"), "max_connections_per_address": 0}
	with := func(more options) options {
		o := options{"wss_address": "127.0.0.1:0"}
		for _, from := range []options{files, more} {
			for k, v := range from {
				o[k] = v
			}
		}
		return o
	}
	apart, shared := start(t, with(nil)), start(t, with(options{"mqtts_address": both, "wss_address": both}))
	for name, addr := range map[string]string{"mqtts": apart.mqtts, "wss": apart.port("MQTT over WebSocket, encrypted"), "shared": shared.mqtts} {
		t.Run(name, func(t *testing.T) {
			// What an old client offers at most, as the first bytes of its ClientHello say.
			for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
				c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
				if err == nil {
					c.Close()
					t.Errorf("%s is spoken", tls.VersionName(version))
				} else if !strings.Contains(err.Error(), "protocol version") {
					t.Errorf("%s: %v", tls.VersionName(version), err)
				}
			}
			renegotiate(t, addr)
			useless(t, addr)
		})
	}
}

// renegotiate has openssl ask for it ("R" at the begin of a line).
func renegotiate(t *testing.T, addr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", addr, "-tls1_2", "-msg")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said := newSyncBuffer(nil)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handshake is made", func() bool { return strings.Contains(said.String(), "Verify return code") })
	_, _ = io.WriteString(stdin, "R\n")
	eventually(t, "the renegotiation is refused", func() bool { return strings.Contains(said.String(), "unexpected_message") })
	_ = stdin.Close()
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // what it said counts
}

// useless sends records behind a handshake that TLS 1.3 has the other side pass over, one
// more than it bears.
func useless(t *testing.T, addr string) {
	t.Helper()
	tcp, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	_ = tcp.SetDeadline(time.Now().Add(time.Minute))
	c := tls.Client(tcp, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	const changeCipherSpec, most = "\x14\x03\x03\x00\x01\x01", 16
	if _, err := io.WriteString(tcp, strings.Repeat(changeCipherSpec, most+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "unexpected message") {
		t.Errorf("useless records: %v", err)
	}
}
