package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// FuzzSession gives a connection any bytes after its CONNECT, in two pieces: the
// broker must neither panic nor hang, and a pair of other clients must lose nothing.
func FuzzSession(f *testing.F) {
	for _, v := range wireVersionsAll {
		for _, s := range seeds(v) {
			b := encode(v, s.packet)
			f.Add(byte(v), b, uint16(len(b)/2))
		}
	}
	for _, s := range []string{
		"82 07 00 01 00 00 02 61 62", // without options byte
		`82{0001 00 "$share/g/#" 02} 34{"a" 0001 00 'x'} 62{0001} 50{0001} 70{0001}`,
		`82{0001 00 "#" 02} 33{"a" 0001 {02 00000001} 'x'} a2{0002 00 "#"} e0{04}`,
		`30{"a" {230001} 'x'} 30{"" {230001} 'y'} 30{"" {230002} 'z'}`,
		"f0{19{15\"m\"}} c000",
		"10 ffffff7f", "30 80808001 0000",
	} {
		f.Add(byte(packet.V50), encode(packet.V50, s), uint16(3))
	}
	f.Fuzz(func(t *testing.T, level byte, b []byte, at uint16) {
		v := wireVersionsAll[int(level)%len(wireVersionsAll)]
		synctest.Test(t, func(t *testing.T) { fuzzSession(t, v, b, int(at)) })
	})
}

func fuzzSession(t *testing.T, v packet.Version, b []byte, at int) {
	cfg := broker.DefaultConfig()
	cfg.MaxPacketSize = 1 << 16
	bk, err := broker.New(cfg, broker.Deps{Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{},
		Store: broker.NewMemoryStore(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, b: bk}
	x := &wire{world: w}
	sub, pub := x.connect(packet.V311), x.connect(packet.V50)
	sub.send(encode(packet.V311, `82{0001 "sentinel/+" 01}`))
	sub.take()

	l := x.open(v)
	first := packet.Connect{Version: v, ClientID: "fuzz", CleanStart: true, Will: &packet.Will{Topic: "fuzz/will", Payload: []byte("x")}}
	l.send(first.Append(nil, v))
	l.take()
	at = min(at, len(b))
	l.send(b[:at])
	synctest.Wait()
	l.send(b[at:])
	synctest.Wait()
	brokertest.Pass(time.Second)
	l.end()

	for i := range 3 {
		pub.send(encode(packet.V50, fmt.Sprintf(`32{"sentinel/s" %04x 00 'x'}`, i+1)))
	}
	brokertest.Pass(time.Second)
	got := sub.take()
	if n := bytes.Count(got, []byte("sentinel/s")); n < 3 {
		t.Errorf("the sentinel got %d of 3 messages: % x", n, got)
	}
	if acks := pub.take(); bytes.Count(acks, []byte{0x40}) < 3 {
		t.Errorf("the sentinel's messages were not acknowledged: % x", acks)
	}
	sub.end()
	pub.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := bk.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	synctest.Wait()
}
