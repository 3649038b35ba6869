package listen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"hearthmq/broker/forwarded"
)

// The PROXY protocol, versions 1 and 2, as HAProxy's proxy-protocol.txt has it:
// a reverse proxy names the client's address ahead of the client's own bytes.

const (
	proxyV1Start = "PROXY "
	proxyV1Max   = 107 // bytes, CRLF included
	proxyV2Start = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV2Head  = 16  // bytes before the addresses
	proxyV2Max   = 536 // bytes of addresses and TLVs that are taken
)

var (
	errNoProxyHeader = errors.New("no PROXY protocol header")
	errProxyHeader   = errors.New("PROXY header not understood")
)

// Why a proxy's client is turned away whose header was understood.
var (
	ErrProxyTLS         = errors.New("the proxy does not say that the client spoke TLS")
	ErrProxyCertificate = errors.New("the proxy does not say that it has verified a certificate of the client")
)

// errProxyUnknown is of a PROXY header from an address that is in none of the networks
// whose headers are believed.
var errProxyUnknown = errors.New("the connection begins with a PROXY protocol header, and proxy_protocol does not name its address")

// startsProxied reports whether the first bytes of a connection are those of a PROXY header.
func startsProxied(first []byte) bool {
	return len(first) >= 5 && (startsLike(first, proxyV1Start) || startsLike(first, proxyV2Start))
}

// behindProxies reads the header off connections from the given networks, where
// it is required. All other connections pass as they are.
func behindProxies(ln net.Listener, cfg Config) net.Listener {
	networks, log := cfg.Proxies, cfg.log()
	g := newGate(ln)
	out := g.outlet()
	go g.run(func(c net.Conn) (*outlet, net.Conn) {
		if !contains(networks, c.RemoteAddr()) {
			return out, c
		}
		remote, header, rest, err := readProxyHeader(c)
		if err == nil && remote.IsValid() {
			remote, err = clientOf(remote, c.RemoteAddr())
		}
		conn := &prefixed{replayed: replayed{Conn: c, rest: rest}}
		switch path := unixPath(header); {
		case remote.IsValid():
			conn.remote = net.TCPAddrFromAddrPort(remote)
		case path != "" && cfg.ProxyVersion > 0:
			conn.remote = &net.UnixAddr{Net: "unix", Name: path}
		}
		if err == nil {
			err = cfg.acceptable(header)
		}
		if err != nil {
			log.Warn("A proxy's connection was closed", "remote", conn.RemoteAddr().String(), "err", err)
			return nil, nil
		}
		if version, cipher := negotiated(header); cipher != "" && cfg.ProxyVersion > 0 {
			log.Info("A proxy's client spoke TLS", "remote", conn.RemoteAddr().String(), "version", version, "cipher", cipher)
		}
		if cfg.ProxyNames {
			conn.name = certifiedName(header)
		}
		return out, conn
	})
	return out
}

func contains(networks []netip.Prefix, addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && forwarded.Trusted(tcp.AddrPort().Addr(), networks)
}

// clientOf judges whom a trusted proxy names. No client has an address of nobody or of many,
// nor a zone, which is text and means nothing here. A program on the proxy's own machine is
// not on this one: it counts as the proxy, as it does by X-Forwarded-For.
func clientOf(named netip.AddrPort, proxy net.Addr) (netip.AddrPort, error) {
	a := named.Addr().Unmap()
	if a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
		return netip.AddrPort{}, errProxyHeader
	}
	if tcp, ok := proxy.(*net.TCPAddr); a.IsLoopback() && ok && !tcp.IP.IsLoopback() {
		return netip.AddrPort{}, nil
	}
	return named, nil
}

// readProxyHeader reads one header. remote is not valid when the proxy speaks
// for itself (a health check). rest are the client's bytes that came along.
func readProxyHeader(c net.Conn) (remote netip.AddrPort, header, rest []byte, err error) {
	buf := make([]byte, 0, proxyV2Head+proxyV2Max)
	for {
		var size int
		remote, size, err = parseProxyHeader(buf)
		if err != nil {
			return netip.AddrPort{}, nil, nil, err
		}
		if size > 0 {
			return remote, buf[:size:size], buf[size:], nil
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			return netip.AddrPort{}, nil, nil, fmt.Errorf("read PROXY header: %w", err)
		}
	}
}

// parseProxyHeader returns the size of the header at the start of b, 0 while
// it is incomplete.
func parseProxyHeader(b []byte) (remote netip.AddrPort, size int, err error) {
	switch {
	case startsLike(b, proxyV2Start):
		return parseProxyV2(b)
	case startsLike(b, proxyV1Start):
		return parseProxyV1(b)
	}
	return netip.AddrPort{}, 0, errNoProxyHeader
}

// startsLike reports whether b begins with start, as far as b goes.
func startsLike(b []byte, start string) bool {
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

func parseProxyV1(b []byte) (netip.AddrPort, int, error) {
	line, _, found := bytes.Cut(b[:min(len(b), proxyV1Max)], []byte("\r\n"))
	if !found {
		if len(b) >= proxyV1Max {
			return netip.AddrPort{}, 0, errors.New("PROXY header without an end")
		}
		return netip.AddrPort{}, 0, nil
	}
	size := len(line) + 2
	f := strings.Split(string(line), " ")
	switch {
	case len(f) >= 2 && f[1] == "UNKNOWN":
		return netip.AddrPort{}, size, nil
	case len(f) == 6 && (f[1] == "TCP4" || f[1] == "TCP6"):
		remote, err1 := netip.ParseAddrPort(net.JoinHostPort(f[2], f[4]))
		local, err2 := netip.ParseAddrPort(net.JoinHostPort(f[3], f[5]))
		if err := errors.Join(err1, err2); err != nil {
			return netip.AddrPort{}, 0, fmt.Errorf("PROXY header: %w", err)
		}
		if four := f[1] == "TCP4"; remote.Addr().Is4() != four || local.Addr().Is4() != four || remote.Port() == 0 || local.Port() == 0 {
			return netip.AddrPort{}, 0, errProxyHeader
		}
		return remote, size, nil
	}
	return netip.AddrPort{}, 0, errProxyHeader
}

func parseProxyV2(b []byte) (netip.AddrPort, int, error) {
	if len(b) < proxyV2Head {
		return netip.AddrPort{}, 0, nil
	}
	version, command, family := b[12]>>4, b[12]&0xF, b[13]
	length := int(binary.BigEndian.Uint16(b[14:]))
	if version != 2 || command > 1 {
		return netip.AddrPort{}, 0, errors.New("PROXY header of an unknown version")
	}
	if length > proxyV2Max {
		return netip.AddrPort{}, 0, fmt.Errorf("PROXY header of %d bytes", length)
	}
	size := proxyV2Head + length
	if len(b) < size {
		return netip.AddrPort{}, 0, nil
	}
	body := b[proxyV2Head:size]
	switch {
	case command == 0: // the proxy's own
		return netip.AddrPort{}, size, nil
	case family == 0x11 && length < 12, family == 0x21 && length < 36: // or its client would pass for the proxy
		return netip.AddrPort{}, 0, errProxyHeader
	case family == 0x11: // TCP over IPv4: two addresses, two ports
		ip := netip.AddrFrom4([4]byte(body[:4]))
		return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(body[8:])), size, nil
	case family == 0x21: // TCP over IPv6
		ip := netip.AddrFrom16([16]byte(body[:16]))
		return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(body[32:])), size, nil
	}
	return netip.AddrPort{}, size, nil
}

// spokeTLS reports whether a header of version 2 has a TLV that says that the client
// spoke TLS with the proxy, or is the proxy's own (a health check).
func spokeTLS(header []byte) bool {
	if startsLike(header, proxyV2Start) && len(header) >= proxyV2Head && header[12]&0xF == 0 {
		return true
	}
	const clientSSL = 0x01
	ssl := tlvOf(extensions(header), 0x20)
	return len(ssl) > 0 && ssl[0]&clientSSL != 0
}

// certifiedName is the Common Name of the client's certificate as a header of version 2
// has it, "" where the proxy has seen none that it could verify.
func certifiedName(header []byte) string {
	const certificate = 0x02 | 0x04 // on this connection, or on the TLS session's first
	ssl := tlvOf(extensions(header), 0x20)
	if len(ssl) < 5 || ssl[0]&certificate == 0 || binary.BigEndian.Uint32(ssl[1:]) != 0 {
		return ""
	}
	return string(tlvOf(ssl[5:], 0x22))
}

// extensions are the TLVs of a header of version 2, behind its addresses.
func extensions(header []byte) []byte {
	if !startsLike(header, proxyV2Start) || len(header) < proxyV2Head {
		return nil
	}
	addresses := map[byte]int{0x11: 12, 0x21: 36, 0x31: min(216, len(header)-proxyV2Head)}[header[13]]
	if addresses == 0 || len(header) < proxyV2Head+addresses {
		return nil
	}
	return header[proxyV2Head+addresses:]
}

// tlvOf is the value of the first TLV of a type, nil without one.
func tlvOf(list []byte, typ byte) []byte {
	for len(list) >= 3 {
		n := int(binary.BigEndian.Uint16(list[1:]))
		if len(list) < 3+n {
			return nil
		}
		if list[0] == typ {
			return list[3 : 3+n]
		}
		list = list[3+n:]
	}
	return nil
}
