package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hearthmq/broker/brokertest"
)

// Every door with tools that others made, beyond those of taps_test.go: ports that MQTT
// and WebSocket share, plain and encrypted, the Unix domain socket, and HAProxy in front.

// doors is a server with ports for both, which are also where clients find them.
type doors struct {
	*testing.T
	*testServer
	house       *house
	js          string // folder of MQTT.js
	plain, safe string // host:port
}

func openDoors(t *testing.T, o options) *doors {
	t.Helper()
	need(t, "mosquitto_pub", have("mosquitto_pub") && have("mosquitto_sub"))
	d := &doors{T: t, house: newHouse(t), js: npmPackage(t, mqttJS), plain: brokertest.FreeAddress(t), safe: brokertest.FreeAddress(t)}
	all := options{"mqtt_address": d.plain, "ws_address": d.plain, "mqtts_address": d.safe, "wss_address": d.safe}
	maps.Copy(all, o)
	d.testServer = d.house.start(t, all)
	return d
}

// certified are arguments of Mosquitto's tools for a device with a certificate.
func (d *doors) certified(device string) []string {
	return []string{"--cafile", d.house.path("ca.pem"), "--cert", d.house.path(device + ".pem"), "--key", d.house.path(device + ".key")}
}

var byPassword = []string{"-u", e2eUser, "-P", e2ePassword}

// mosquitto has a message go in by mosquitto_pub and come back by mosquitto_sub.
func (d *doors) mosquitto(what string, args ...string) {
	d.Helper()
	for _, version := range []string{"311", "5"} {
		name := "door/" + strings.ReplaceAll(what, " ", "-") + "/" + version
		all := append(slices.Clone(args), "-V", version, "-t", name, "-q", "1")
		if out, err := exec.CommandContext(d.Context(), "mosquitto_pub", append(slices.Clone(all), "-r", "-m", "came by "+what)...).CombinedOutput(); err != nil {
			d.Errorf("%s: mosquitto_pub: %v\n%s", what, err, out)
			continue
		}
		out, err := exec.CommandContext(d.Context(), "mosquitto_sub", append(all, "-C", "1", "-W", "120")...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "came by "+what {
			d.Errorf("%s: mosquitto_sub: %v, %q", what, err, out)
		}
	}
}

// node runs one of the scripts with MQTT.js.
func (d *doors) node(script string, args ...string) {
	d.Helper()
	env := append(os.Environ(), "NODE_PATH="+filepath.Join(d.js, "node_modules"))
	if out := launch(d.T, env, "testdata", "node", append([]string{script}, args...)...).drain(); len(out) != 1 || out[0] != "ok" {
		d.Errorf("%s %v: %s", script, args, strings.Join(out, "\n"))
	}
}

func hostPort(address string) []string {
	host, port, _ := net.SplitHostPort(address) // ours
	return []string{"-h", host, "-p", port}
}

func TestTapSharedPorts(t *testing.T) {
	need(t, "openssl", have("openssl"))
	dir, err := os.MkdirTemp("", "hm") //nolint:usetesting // t.TempDir may be too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := openDoors(t, options{"unix_socket": filepath.Join(dir, "mqtt.sock")})
	d.mosquitto("Unix socket", append([]string{"--unix", filepath.Join(dir, "mqtt.sock")}, byPassword...)...)
	d.mosquitto("shared port", append(hostPort(d.plain), byPassword...)...)
	d.node("mqttjs_e2e.cjs", "ws://"+d.plain+"/mqtt", e2eUser, e2ePassword, "5")
	d.node("mqttjs_e2e.cjs", "mqtt://"+d.plain, e2eUser, e2ePassword, "4")
	d.mosquitto("shared encrypted port", append(hostPort(d.safe), d.certified("lamp")...)...)
	d.node("mqttjs_tls.cjs", "wss://"+d.safe+"/mqtt", d.house.path("ca.pem"), d.house.path("lamp.pem"), d.house.path("lamp.key"))
	if out, err := exec.CommandContext(t.Context(), "mosquitto_pub", append(append(hostPort(d.safe), d.certified("thief")...), "-t", "t", "-m", "x")...).CombinedOutput(); err == nil {
		t.Errorf("a revoked certificate got in by the shared port: %s", out)
	}
	// What comes first decides, also beneath TLS.
	const upgrade = "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	for first, want := range map[string]string{connectBytes: "\x20\x02\x00\x00", upgrade: "HTTP/1.1 101"} {
		if got := d.openssl(first, len(want)); got != want {
			t.Errorf("%.20q is answered with %q, want %q", first, got, want)
		}
	}
}

// openssl sends text by openssl s_client and returns the first n bytes of the answer.
func (d *doors) openssl(text string, n int) string {
	d.Helper()
	cmd := exec.CommandContext(d.Context(), "openssl", "s_client", "-connect", d.safe, "-CAfile", d.house.path("ca.pem"), "-verify_return_error",
		"-quiet", "-cert", d.house.path("lamp.pem"), "-key", d.house.path("lamp.key"))
	stdin, err := cmd.StdinPipe()
	d.house.check(err)
	stdout, err := cmd.StdoutPipe()
	d.house.check(err)
	d.house.check(cmd.Start())
	_, err = io.WriteString(stdin, text)
	d.house.check(err)
	answer := make([]byte, n)
	n, _ = io.ReadFull(stdout, answer) // what came counts
	_ = cmd.Process.Kill()             // it would wait for more
	_ = cmd.Wait()
	return string(answer[:n])
}

// case A24: HAProxy passes every kind of port on, in both versions of the PROXY
// protocol, TLS to its end at the broker included; the client's own address arrives.
func TestTapHAProxyDoors(t *testing.T) {
	const program = "/usr/sbin/haproxy"
	_, err := os.Stat(program)
	need(t, "haproxy", err == nil)
	d := openDoors(t, options{"proxy_protocol": []string{"127.0.0.1/32"}})
	var b strings.Builder
	b.WriteString("global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 120s\n  timeout server 120s\n")
	fronts := map[string]string{}
	for _, how := range []string{"send-proxy", "send-proxy-v2"} {
		for kind, behind := range map[string]string{"plain": d.plain, "safe": d.safe} {
			front := brokertest.FreeAddress(t)
			fronts[how+" "+kind] = front
			fmt.Fprintf(&b, "listen door%d\n  bind %s\n  server broker %s %s\n", len(fronts), front, behind, how)
		}
	}
	d.house.check(os.WriteFile(d.house.path("doors.cfg"), []byte(b.String()), 0o600))
	launch(t, os.Environ(), d.house.dir, program, "-db", "-f", d.house.path("doors.cfg"))
	for _, front := range fronts {
		eventually(t, "HAProxy listens", func() bool {
			c, err := net.Dial("tcp", front)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	from := 40
	for _, how := range []string{"send-proxy", "send-proxy-v2"} {
		plain, safe := fronts[how+" plain"], fronts[how+" safe"]
		for what, args := range map[string][]string{how: append(hostPort(plain), byPassword...), how + " with TLS": append(hostPort(safe), d.certified("lamp")...)} {
			from++
			address := fmt.Sprintf("127.0.0.%d", from)
			d.mosquitto(what, append(args, "-A", address)...)
			eventually(t, "the client's own address is logged", func() bool { return strings.Contains(d.log.String(), "remote="+address+":") })
		}
		d.node("mqttjs_e2e.cjs", "ws://"+plain+"/mqtt", e2eUser, e2ePassword, "5")
		d.node("mqttjs_tls.cjs", "wss://"+safe+"/mqtt", d.house.path("ca.pem"), d.house.path("lamp.pem"), d.house.path("lamp.key"))
	}
}
