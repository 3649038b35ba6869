package main

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// case R3: by default one address has 50 connections, whoever passes them on: behind a proxy
// that tells the clients' addresses each counts by its own, and neither the proxy's nor one
// of exempt_addresses counts at all.
func TestAddressesBehindProxy(t *testing.T) {
	s := start(t, options{"anonymous": "full", "proxy_protocol": []string{"127.0.0.1/32"}, "exempt_addresses": []string{"198.51.100.0/24"}})
	number := 0
	lets := func(from string) bool {
		t.Helper()
		number++
		nc, err := net.DialTimeout("tcp", s.mqtt, patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(patience)) // it is a socket
		hello := fmt.Appendf(nil, "PROXY TCP4 %s 127.0.0.1 1000 1883\r\n%s", from, say(t, fmt.Sprintf(`C4("c%d")`, number)))
		if _, err := nc.Write(hello); err != nil {
			return false
		}
		answer := make([]byte, 4)
		n, err := nc.Read(answer)
		return err == nil && n == 4 && answer[0] == 0x20 && answer[3] == 0
	}
	for i := range 50 {
		if !lets("192.0.2.9") {
			t.Fatalf("connection %d of one address is refused", i+1)
		}
	}
	if lets("192.0.2.9") {
		t.Error("51 connections of one address")
	}
	for i := range 60 {
		if !lets("198.51.100.7") {
			t.Fatalf("connection %d of an exempt address is refused", i+1)
		}
	}
	if !lets("192.0.2.10") || lets("192.0.2.9") {
		t.Error("addresses behind one proxy count together")
	}
}
