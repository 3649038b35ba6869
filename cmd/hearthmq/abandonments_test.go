package main

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"hearthmq/broker/brokertest"
)

// abandonment is a state that a client leaves without a word.
type abandonment struct {
	name string
	door string // one of the doors of leakyHouse
	head string // of a proxy, before anything else; ADDRESS in it is one of many
	send string // within what the door is, TLS
	read int    // bytes of answer that it waits for
	then string // sent after that
	last int    // bytes of answer that it waits for then
}

// upgrade is the request for a WebSocket, upgraded how long the answer is.
const (
	upgrade = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	upgraded = len("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
	helloStart = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	connack    = 4 // bytes of the answer to CONNECT
)

// hello is a CONNECT of MQTT 3.1.1.
func hello(clientID string, flags byte, will string) string {
	return frameOf(0x10, "\x00\x04MQTT\x04"+string([]byte{0xC0 | flags, 0, 60})+mqttString(clientID)+will+mqttString(e2eUser)+mqttString(e2ePassword))
}

// framedConnect is CONNECT as a WebSocket's message.
func framedConnect() string {
	connect := hello("", 2, "")
	return string([]byte{0x82, 0x80 | byte(len(connect)), 0, 0, 0, 0}) + connect
}

// abandonments are the states of R13, from the socket to the middle of a handshake of
// QoS 2, by every door.
func abandonments() []abandonment {
	return append(append(abandonedMQTT(), abandonedBeneath()...), abandonedProxies()...)
}

// abandonedMQTT are those within MQTT.
func abandonedMQTT() []abandonment {
	const clean, hasWill = 2, 4
	connect := hello("", clean, "")
	wrong := frameOf(0x10, "\x00\x04MQTT\x04\xC2\x00\x3C"+mqttString("c")+mqttString("nobody")+mqttString("wrong"))
	filters := "\x00\x01"
	for i := range 10 {
		filters += mqttString(fmt.Sprintf("leak/%d/#", i)) + "\x01"
	}
	publish := func(first byte, id uint16) string {
		return frameOf(first, mqttString("leak/1/x")+string(binary.BigEndian.AppendUint16(nil, id))+"21.5")
	}
	return []abandonment{
		{"silence", "mqtt", "", "", 0, "", 0},
		{"garbage", "mqtt", "", "GET / HTTP/1.1\r\n\r\n", 0, "", 0},
		{"half a CONNECT", "mqtt", "", connect[:len(connect)/2], 0, "", 0},
		{"a wrong password", "mqtt", "", wrong, 0, "", 0},
		{"CONNECT", "mqtt", "", connect, 0, "", 0},
		{"CONNACK", "mqtt", "", connect, connack, "", 0},
		{"a Will", "mqtt", "", hello("", clean|hasWill, mqttString("leak/will")+mqttString("gone")), connack, "", 0},
		{"half a PUBLISH", "mqtt", "", connect, connack, publish(0x32, 1)[:9], 0},
		{"QoS 1 without its PUBACK", "mqtt", "", connect, connack, publish(0x32, 1) + publish(0x32, 2) + publish(0x32, 3), 0},
		{"QoS 2 without its PUBREL", "mqtt", "", connect + publish(0x34, 1), connack + 4, "", 0},
		{"subscribed", "mqtt", "", connect + frameOf(0x82, filters), connack + 4 + 10, "", 0},
		{"subscribed to its own", "mqtt", "", connect + frameOf(0x82, filters), connack + 4 + 10, publish(0x32, 1) + publish(0x34, 2), 0},
		{"a session that stays", "mqtt", "", hello("leak-stays", 0, "") + frameOf(0x82, "\x00\x01"+mqttString("stays/#")+"\x01"), connack, publish(0x32, 1), 0},
		{"silence", "unix", "", "", 0, "", 0},
		{"garbage", "unix", "", "GET / HTTP/1.1\r\n\r\n", 0, "", 0},
		{"half a CONNECT", "unix", "", connect[:len(connect)/2], 0, "", 0},
		{"CONNACK", "unix", "", connect, connack, "", 0},
		{"QoS 1 without its PUBACK", "unix", "", connect, connack, publish(0x32, 1) + publish(0x32, 2), 0},
		{"subscribed to its own", "unix", "", connect + frameOf(0x82, filters), connack + 4 + 10, publish(0x32, 1) + publish(0x34, 2), 0},
		{"a session that stays", "unix", "", hello("leak-stays-too", 0, "") + frameOf(0x82, "\x00\x01"+mqttString("stays/#")+"\x01"), connack, publish(0x32, 1), 0},
	}
}

// abandonedBeneath are those of TLS, of WebSocket, and of ports that MQTT shares with it.
func abandonedBeneath() []abandonment {
	connect, masked := hello("", 2, ""), framedConnect()
	all := []abandonment{
		{"half a ClientHello", "mqtts beneath", "", helloStart, 0, "", 0},
		{"half a ClientHello", "wss beneath", "", helloStart, 0, "", 0},
		{"silence", "wss beneath", "", "", 0, "", 0},
		{"no TLS", "wss beneath", "", upgrade, 0, "", 0},
		{"half a ClientHello", "shared tls beneath", "", helloStart, 0, "", 0},
	}
	for _, door := range []string{"ws", "wss", "shared", "shared tls"} {
		all = append(all,
			abandonment{"half an upgrade", door, "", upgrade[:90], 0, "", 0},
			abandonment{"a WebSocket", door, "", upgrade, upgraded, "", 0},
			abandonment{"MQTT over WebSocket", door, "", upgrade, upgraded, masked, 0},
			abandonment{"MQTT over WebSocket, let in", door, "", upgrade, upgraded, masked, 2 + connack},
			abandonment{"half a frame", door, "", upgrade, upgraded, masked[:10], 0},
		)
	}
	for _, door := range []string{"mqtts", "wss", "shared", "shared tls"} {
		all = append(all, abandonment{"silence", door, "", "", 0, "", 0})
	}
	for _, door := range []string{"mqtts", "shared", "shared tls"} {
		all = append(all,
			abandonment{"half a CONNECT", door, "", connect[:len(connect)/2], 0, "", 0},
			abandonment{"CONNACK", door, "", connect, connack, "", 0},
		)
	}
	for _, door := range []string{"shared", "shared tls"} { // which do not know yet what it will be
		all = append(all,
			abandonment{"the first byte of HTTP", door, "", "G", 0, "", 0},
			abandonment{"three bytes of HTTP", door, "", "GET", 0, "", 0},
			abandonment{"the first byte of MQTT", door, "", "\x10", 0, "", 0},
			abandonment{"neither", door, "", "GEX", 0, "", 0},
		)
	}
	return all
}

// abandonedProxies are those of proxies, which tell whose connection it is.
func abandonedProxies() []abandonment {
	const (
		v1    = "PROXY TCP4 ADDRESS 127.0.0.1 40000 1883\r\n"
		local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	)
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + "ADDRESS\x7f\x00\x00\x01\x9c\x40\x07\x5b"
	connect := hello("", 2, "")
	all := []abandonment{
		{"no header", "proxied", "", connect, 0, "", 0},
		{"a header that says nothing", "proxied", "PROXY UNKNOWN\r\n", "", 0, "", 0},
		{"a header that says nothing, CONNACK", "proxied", "PROXY UNKNOWN\r\n", connect, connack, "", 0},
		{"LOCAL", "proxied", local, "", 0, "", 0},
		{"LOCAL, CONNACK", "proxied", local, connect, connack, "", 0},
		{"v2, too long", "proxied", local[:14] + "\xff\xff", connect, 0, "", 0},
		{"LOCAL", "proxied mqtts", local, "", 0, "", 0},
	}
	for version, head := range map[string]string{"v1": v1, "v2": v2} {
		half := head[:10]
		all = append(all,
			abandonment{"half of " + version, "proxied", half, "", 0, "", 0},
			abandonment{version + " and nothing", "proxied", head, "", 0, "", 0},
			abandonment{version + ", half a CONNECT", "proxied", head, connect[:len(connect)/2], 0, "", 0},
			abandonment{version + ", CONNACK", "proxied", head, connect, connack, "", 0},
			abandonment{version + ", half a ClientHello", "proxied mqtts beneath", head, helloStart, 0, "", 0},
			abandonment{version + ", CONNACK", "proxied mqtts", head, connect, connack, "", 0},
			abandonment{version + ", half an upgrade", "proxied ws", head, upgrade[:90], 0, "", 0},
			abandonment{version + ", a WebSocket", "proxied ws", head, upgrade, upgraded, "", 0},
		)
	}
	return all
}

// leakyHouse has every door open: ports of their own, and such that MQTT and WebSocket share.
type leakyHouse struct {
	ports, shared *testServer
	addr          map[string]string // by door
}

// proxies are addresses of this machine from which a PROXY header is expected: of one alone
// the ports would run out.
const proxies = "127.9.0.0/16"

func newLeakyHouse(h *house, socket string) *leakyHouse {
	h.issue("server")
	wss, plain, safe := brokertest.FreeAddress(h.tb), brokertest.FreeAddress(h.tb), brokertest.FreeAddress(h.tb)
	begin := func(o options) *testServer {
		o["certfile"], o["keyfile"], o["log_level"] = h.path("server.pem"), h.path("server.key"), "error"
		o["logins"] = []map[string]any{{"username": e2eUser, "password": e2ePassword}}
		return start(h.tb, o)
	}
	l := &leakyHouse{
		ports:  begin(options{"wss_address": wss, "unix_socket": socket, "proxy_protocol": []string{proxies}}),
		shared: begin(options{"mqtt_address": plain, "ws_address": plain, "mqtts_address": safe, "wss_address": safe}),
	}
	l.addr = map[string]string{"mqtt": l.ports.mqtt, "ws": l.ports.ws, "mqtts": l.ports.mqtts, "wss": wss, "unix": socket, "shared": plain, "shared tls": safe}
	return l
}

// once goes through the state for the nth time and leaves, with a FIN or, hard, with a reset.
func (l *leakyHouse) once(a *abandonment, n int, hard bool) error {
	door, proxied := strings.CutPrefix(a.door, "proxied")
	if door = strings.TrimPrefix(door, " "); door == "" {
		door = "mqtt"
	}
	door, beneath := strings.CutSuffix(door, " beneath")
	network, dialer := "tcp", net.Dialer{Timeout: time.Minute}
	if door == "unix" {
		network = "unix"
	}
	if proxied {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 9, byte(n>>8), byte(n))}
	}
	c, err := dialer.Dial(network, l.addr[door])
	// A Unix socket doesn't let wait who comes while its backlog is full.
	for full := time.Now(); errors.Is(err, syscall.EAGAIN) && time.Since(full) < time.Minute; c, err = dialer.Dial(network, l.addr[door]) {
		<-time.After(time.Millisecond)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	if tcp, is := c.(*net.TCPConn); is && hard {
		_ = tcp.SetLinger(0)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	// One client an address: none meets the limits of one.
	from := net.IPv4(10, byte(n>>16), byte(n>>8), byte(n)).To4()
	address := from.String()
	if !strings.HasPrefix(a.head, "PROXY") {
		address = string(from)
	}
	if _, err := io.WriteString(c, strings.ReplaceAll(a.head, "ADDRESS", address)); err != nil {
		return err
	}
	if !beneath && (door == "mqtts" || door == "wss" || door == "shared tls") {
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
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
	if _, err := io.WriteString(c, a.then); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, a.last))
	return err
}
