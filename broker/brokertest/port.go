package brokertest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// taken are the ports that this process was told.
var taken sync.Map

// FreePort returns a TCP port on which nobody listens, another one at each call. It is below
// those that connections going out are given, on Linux from 32768 on: one that was free a
// moment ago belonged to some connection of another test when it was wanted.
func FreePort(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		if _, told := taken.LoadOrStore(port, true); told {
			continue
		}
		if ln, err := net.Listen("tcp", ":"+port); err == nil {
			ln.Close()
			return port
		}
	}
	tb.Fatal("no port is free")
	return ""
}

// FreeAddress is a FreePort of 127.0.0.1.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	return net.JoinHostPort("127.0.0.1", FreePort(tb))
}
