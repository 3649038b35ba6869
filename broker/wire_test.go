package broker_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// wireCases is the least number of sequences that the wire-level suite must have.
const wireCases = 2500

// TestWire speaks bytes with the broker and expects bytes: what is sent, what comes [MQTT3-7.0.0-2]
// back exactly, and whether the connection stands afterwards.
func TestWire(t *testing.T) {
	total := 0
	for _, group := range []struct {
		name string
		run  func(*wire)
	}{
		{"truncated", wireTruncated}, {"split", wireSplit}, {"flags", wireFlags}, {"properties", wireProperties},
		{"codes", wireCodes}, {"versions", wireVersions}, {"text", wireText}, {"lengths", wireLengths},
		{"scripts", wireScripts}, {"rules", wireRules},
	} {
		t.Run(group.name, func(t *testing.T) {
			n := 0
			mod := func(_ *broker.Config, d *broker.Deps) { d.Store, d.Log = nil, slog.New(slog.DiscardHandler) }
			inWorld(t, mod, func(w *world) {
				x := &wire{world: w}
				group.run(x)
				n = x.cases
			})
			total += n
			t.Logf("%d cases", n)
		})
	}
	t.Logf("%d wire-level cases", total)
	if f := testing.Verbose(); !t.Failed() && total < wireCases && !filtered() {
		t.Errorf("%d cases, there must be %d at least (verbose %v)", total, wireCases, f)
	}
}

// wire is one group of cases on one broker.
type wire struct {
	*world
	cases int
	next  int // numbers Client Identifiers
}

// line is one connection under test.
type line struct {
	x  *wire
	v  packet.Version
	nc net.Conn

	mu     sync.Mutex
	in     []byte
	closed bool
}

// open makes a connection without CONNECT.
func (x *wire) open(v packet.Version) *line {
	client, server := brokertest.Pipe()
	go x.b.ServeConn(context.Background(), server, broker.ListenerInfo{Name: "mqtt"})
	l := &line{x: x, v: v, nc: client}
	go l.read()
	return l
}

// connect makes a connection whose CONNECT was accepted. Reason Strings are off, so
// that answers can be compared byte by byte.
func (x *wire) connect(v packet.Version) *line {
	x.Helper()
	l := x.open(v)
	x.next++
	l.send(connectOf(v, fmt.Sprint("w", x.next)))
	if got := l.take(); len(got) < 4 || got[0] != 0x20 || got[3] != 0 {
		x.Fatalf("CONNACK % x", got)
	}
	return l
}

// connectOf is a CONNECT with Clean Start.
func connectOf(v packet.Version, id string) []byte {
	p := packet.Connect{Version: v, ClientID: id, CleanStart: true}
	p.Properties.SetRequestProblemInfo(0)
	return p.Append(nil, v)
}

func (l *line) read() {
	buf := make([]byte, 4096)
	for {
		n, err := l.nc.Read(buf)
		l.mu.Lock()
		l.in = append(l.in, buf[:n]...)
		l.closed = err != nil
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send writes; a closed connection is no failure.
func (l *line) send(b []byte) { _, _ = l.nc.Write(b) }

// take returns what came, once all is at rest.
func (l *line) take() []byte {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.in
	l.in = nil
	return b
}

func (l *line) isClosed() bool {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

func (l *line) end() {
	l.nc.Close()
	synctest.Wait()
}

// check compares what came with want. A want that ends in X expects the end of the
// connection; otherwise PINGREQ must still be answered.
func (l *line) check(name, want string) {
	l.x.Helper()
	want, gone := strings.CutSuffix(strings.TrimSpace(want), "X")
	expect := encode(l.v, want)
	if got := l.take(); !bytes.Equal(got, expect) {
		l.x.Errorf("%s %s: got % x, want % x", l.v, name, got, expect)
	}
	if gone {
		if !l.isClosed() {
			l.x.Errorf("%s %s: connection is still open", l.v, name)
		}
		return
	}
	l.send([]byte{0xC0, 0})
	if got := l.take(); !bytes.Equal(got, []byte{0xD0, 0}) {
		l.x.Errorf("%s %s: PINGREQ answered by % x (closed %v)", l.v, name, got, l.isClosed())
	}
}

// one runs a case: after CONNECT, send is sent at once.
func (x *wire) one(v packet.Version, name string, send []byte, want string) {
	x.Helper()
	x.cases++
	l := x.connect(v)
	l.send(send)
	l.check(name, want)
	l.end()
}

// first runs a case in which send is the first that comes over the connection.
func (x *wire) first(v packet.Version, name string, send []byte, want string) {
	x.Helper()
	x.cases++
	l := x.open(v)
	l.send(send)
	l.check(name, want)
	l.end()
}

// bad is how the broker ends a connection of that version after CONNECT. [MQTT-3.14.4-2] [MQTT-3.14.2-4] [MQTT-4.13.2-1]
func bad(v packet.Version, code packet.ReasonCode) string {
	if v != packet.V50 {
		return "X"
	}
	return fmt.Sprintf("e001%02xX", byte(code))
}

// badConnect is the same before CONNACK. [MQTT-3.2.2-6] [MQTT-3.2.2-8] [MQTT-3.14.0-1] [MQTT-4.13.2-1] [MQTT3-3.2.2-6]
func badConnect(v packet.Version, code packet.ReasonCode) string {
	if v != packet.V50 {
		return "X"
	}
	return fmt.Sprintf("200300%02x00X", byte(code))
}

// accepted is the whole CONNACK for clients without wishes. [MQTT-3.2.2-1] [MQTT-2.2.2-1]
func accepted(v packet.Version) string {
	if v != packet.V50 {
		return "20020000"
	}
	return "20{0000{22000a 2701000000 210064}}"
}

var wireVersionsAll = []packet.Version{packet.V31, packet.V311, packet.V50}

// encode turns the suite's notation into bytes: hex digits; "text" with its length in
// two bytes; 'text' without; {...} with a Variable Byte Integer for its length; <...>
// with two length bytes; ~ for an empty property block and 5:hex for bytes that exist
// in MQTT 5 only; 3:hex for bytes of the versions before.
func encode(v packet.Version, s string) []byte {
	out, rest := encodePart(v, s, 0)
	if rest != "" {
		panic("notation: " + rest)
	}
	return out
}

func encodePart(v packet.Version, s string, closing byte) (out []byte, rest string) {
	for s != "" {
		switch ch := s[0]; {
		case ch == closing:
			return out, s[1:]
		case strings.IndexByte(" \n\t", ch) >= 0:
			s = s[1:]
		case ch == '"' || ch == '\'':
			text, after, ok := strings.Cut(s[1:], string(ch))
			if !ok {
				panic("notation: " + s)
			}
			if ch == '"' {
				out = append(out, byte(len(text)>>8), byte(len(text)))
			}
			out, s = append(out, text...), after
		case ch == '{':
			var body []byte
			body, s = encodePart(v, s[1:], '}')
			out = append(appendLength(out, len(body)), body...)
		case ch == '<':
			var body []byte
			body, s = encodePart(v, s[1:], '>')
			out = append(append(out, byte(len(body)>>8), byte(len(body))), body...)
		case ch == '~':
			if v == packet.V50 {
				out = append(out, 0)
			}
			s = s[1:]
		case len(s) > 1 && s[1] == ':':
			word := strings.FieldsFunc(s[2:]+" ", func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })[0]
			b, err := hex.DecodeString(word)
			if err != nil {
				panic("notation: " + s)
			}
			if (ch == '5') == (v == packet.V50) {
				out = append(out, b...)
			}
			s = s[2+len(word):]
		default:
			b, err := hex.DecodeString(s[:min(2, len(s))])
			if err != nil {
				panic("notation: " + s)
			}
			out, s = append(out, b...), s[2:]
		}
	}
	if closing != 0 {
		panic("notation: block is not closed")
	}
	return out, ""
}

func appendLength(dst []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

// filtered reports whether only some groups were asked for.
func filtered() bool { return strings.Contains(runFlag(), "/") }

// script runs lines of the form "NAME > notation", "NAME < notation", "NAME X" (closed
// by the broker), "NAME connect [notation of a whole CONNECT]", "NAME close" and
// "wait 10s". What a connection has sent and no line expects fails the script.
func (x *wire) script(v packet.Version, name, text string) {
	x.Helper()
	x.cases++
	lines := map[string]*line{}
	var order []*line
	for _, row := range strings.Split(text, "\n") {
		who, rest, _ := strings.Cut(strings.TrimSpace(row), " ")
		what, arg, _ := strings.Cut(rest, " ")
		l := lines[who]
		switch {
		case who == "" || who == "#":
		case who == "wait":
			d, err := time.ParseDuration(rest)
			if err != nil {
				x.Fatal(err)
			}
			brokertest.Pass(d)
		case what == "connect" && arg == "":
			lines[who] = x.connect(v)
			order = append(order, lines[who])
		case what == "connect":
			lines[who] = x.open(v)
			order = append(order, lines[who])
			lines[who].send(encode(v, arg))
			synctest.Wait()
		case what == ">":
			l.send(encode(v, arg))
			synctest.Wait()
		case what == "<":
			if got, want := l.take(), encode(v, arg); !bytes.Equal(got, want) {
				x.Errorf("%s, %s: line %q: got % x, want % x", name, v, row, got, want)
			}
		case what == "X":
			if !l.isClosed() {
				x.Errorf("%s, %s: %s is still open", name, v, who)
			}
		case what == "close":
			l.end()
		default:
			x.Fatalf("%s: line %q", name, row)
		}
	}
	for _, l := range order {
		if got := l.take(); len(got) > 0 {
			x.Errorf("%s, %s: unexpected % x", name, v, got)
		}
	}
	for _, l := range order {
		l.end()
	}
}
