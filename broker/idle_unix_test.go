//go:build unix

package broker_test

import (
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
)

// case R1: what a connection holds that has said nothing, one that has not finished what it
// says, and a device that is there and quiet. Memory of the kernel is not in it.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const n = 300
	connect := func(i int) string {
		return fmt.Sprintf("\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06d%05d", i)
	}
	b, err := broker.New(broker.DefaultConfig(), broker.Deps{
		Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(t.Context(), ln, broker.ListenerInfo{Name: "mqtt"}) }()
	defer func() { ln.Close(); <-served }()
	// All at once, since goroutines that have ended leave their memory to new ones; those
	// that may not stay come last.
	for k, tt := range []struct {
		name  string
		says  func(i int) string
		hears int // bytes of answers
		most  uint64
	}{
		{"connected", connect, 4, 8 << 10},
		{"subscribed and heard", func(i int) string {
			return connect(i) + fmt.Sprintf("\x82\x0f\x00\x01\x00\x0ad%05d/set\x00", i) + fmt.Sprintf("\x30\x11\x00\x08d%05d/ton, off", i)
		}, 9, 11 << 10},
		{"half a CONNECT", func(i int) string { return connect(i)[:12] }, 0, 6 << 10},
		{"silent", func(int) string { return "" }, 0, 4 << 10},
	} {
		before := holds()
		for i := range n {
			fd := dialRaw(t, ln.Addr().(*net.TCPAddr).Port, tt.says(k*n+i), tt.hears)
			defer syscall.Close(fd)
		}
		for begin := time.Now(); b.Stats().Connections < (k+1)*n && time.Since(begin) < time.Minute; {
			runtime.Gosched()
		}
		each := (holds() - before) / n
		t.Logf("%s: %d bytes each", tt.name, each)
		if got := b.Stats().Connections; got != (k+1)*n {
			t.Fatalf("%d connections, want %d", got, (k+1)*n)
		}
		if each > tt.most*instrumented {
			t.Errorf("%s: %d bytes each, want at most %d", tt.name, each, tt.most)
		}
	}
}

// holds is what Go's objects and stacks take.
func holds() uint64 {
	runtime.GC()
	runtime.GC() // the first one leaves what pools have
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// dialRaw opens a connection that costs this process nothing but the descriptor.
func dialRaw(t *testing.T, port int, says string, hears int) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		_, err = syscall.Write(fd, []byte(says))
	}
	for answer := make([]byte, 64); err == nil && hears > 0; {
		var k int
		if k, err = syscall.Read(fd, answer); k == 0 {
			t.Fatal("closed")
		}
		hears -= k
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// case R1: the same bound as in TestUnfinishedConnectsAreBounded, for sockets, which hold their
// bytes elsewhere.
func TestUnfinishedConnectsOfSockets(t *testing.T) {
	b, err := broker.New(broker.DefaultConfig(), broker.Deps{
		Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(t.Context(), ln, broker.ListenerInfo{Name: "mqtt"}) }()
	defer func() { ln.Close(); <-served }()
	const size, fit = 1000, 3
	b.BoundClaims(fit * size)
	says := "\x10\xff\x7f" + string(make([]byte, size-3))
	for i := range 2 * fit {
		fd := dialRaw(t, ln.Addr().(*net.TCPAddr).Port, says, 0)
		defer syscall.Close(fd)
		want := min(i+1, fit)
		for begin := time.Now(); b.Stats().Connections != want || b.Claims() != want*size; runtime.Gosched() {
			if time.Since(begin) > 4*time.Second { // before all have taken too long for a CONNECT
				t.Fatalf("%d connections hold %d bytes, want %d and %d", b.Stats().Connections, b.Claims(), want, want*size)
			}
		}
	}
}

// case R6: what a plain socket does not take is bounded to the byte.
func TestFullSocketHoldsItsBound(t *testing.T) {
	const bound, size = 1 << 20, 4 << 10
	b, err := broker.New(broker.DefaultConfig(), broker.Deps{
		Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(t.Context(), ln, broker.ListenerInfo{Name: "mqtt"}) }()
	defer func() { ln.Close(); <-served }()
	fd := dialRaw(t, ln.Addr().(*net.TCPAddr).Port,
		"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04deaf"+"\x82\x0a\x00\x01\x00\x05flood\x00", 9)
	defer syscall.Close(fd)
	most := int64(0)
	for range 32 << 20 / size {
		if err := b.Publish(t.Context(), broker.NewMessage("flood", make([]byte, size), 0, false)); err != nil {
			t.Fatal(err)
		}
		most = max(most, b.Stats().Memory.Backlog)
	}
	if most < bound/2 || most > bound+2*size {
		t.Errorf("%d bytes waited, want at most %d", most, bound)
	}
	dropped := b.Stats().PublishDropped
	// What is left of one large message, which always fits, leaves no room for more than one.
	large := dialRaw(t, ln.Addr().(*net.TCPAddr).Port,
		"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05large"+"\x82\x0a\x00\x01\x00\x05large\x00", 9)
	defer syscall.Close(large)
	for _, n := range []int{15 << 20, size} {
		if err := b.Publish(t.Context(), broker.NewMessage("large", make([]byte, n), 0, false)); err != nil {
			t.Fatal(err)
		}
	}
	before := b.Stats().Memory.Backlog
	for range 100 {
		if err := b.Publish(t.Context(), broker.NewMessage("large", make([]byte, size), 0, false)); err != nil {
			t.Fatal(err)
		}
	}
	if after := b.Stats().Memory.Backlog; before < 4*bound || after > before {
		t.Errorf("%d bytes waited, then %d", before, after)
	}
	if info, _, err := b.Session("deaf"); err != nil || info.Dropped == 0 || dropped != info.Dropped {
		t.Errorf("%d dropped, %d of all, %v", info.Dropped, dropped, err)
	}
}
