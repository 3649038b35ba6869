package listen

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What Mosquitto demands of a PROXY header beyond what its description does, and what it
// takes out of one.

// acceptable tells what is wrong with a header that was understood, and with its client.
func (c *Config) acceptable(header []byte) error {
	if c.ProxyVersion > 0 && !strict(header, c.ProxyVersion) {
		return errProxyHeader
	}
	own := startsLike(header, proxyV2Start) && header[12]&0xF == 0 // a health check
	switch {
	case c.ProxyTLS && !spokeTLS(header):
		return ErrProxyTLS
	case c.ProxyCertificate && !own && !verified(header):
		return ErrProxyCertificate
	}
	return nil
}

// strict reports whether a header is of that version, has an address, and is whole to its
// last extension.
func strict(header []byte, version int) bool {
	if !startsLike(header, proxyV2Start) {
		return version == 1
	}
	if version != 2 {
		return false
	}
	command, family, length := header[12]&0xF, header[13], len(header)-proxyV2Head
	switch {
	case command == 0 && family == 0: // the proxy's own
		return true
	case family == 0x11 && length >= 12, family == 0x21 && length >= 36, family == 0x31 && length > 0:
	default:
		return false
	}
	list := extensions(header)
	ssl := tlvOf(list, 0x20)
	return whole(list) && (ssl == nil || len(ssl) >= 5 && whole(ssl[5:]))
}

// whole reports whether a list of TLVs ends with one.
func whole(list []byte) bool {
	for len(list) > 0 {
		if len(list) < 3 {
			return false
		}
		n := 3 + int(binary.BigEndian.Uint16(list[1:]))
		if len(list) < n {
			return false
		}
		list = list[n:]
	}
	return true
}

// verified reports whether the proxy has verified a certificate of the client, in this
// TLS session at least.
func verified(header []byte) bool {
	const spoke = 0x01 | 0x04
	ssl := tlvOf(extensions(header), 0x20)
	return len(ssl) >= 5 && ssl[0]&spoke == spoke && binary.BigEndian.Uint32(ssl[1:]) == 0
}

// negotiated is what TLS the client spoke with the proxy, "" where that is not told.
func negotiated(header []byte) (version, cipher string) {
	ssl := tlvOf(extensions(header), 0x20)
	if len(ssl) < 5 {
		return "", ""
	}
	version, cipher = string(tlvOf(ssl[5:], 0x21)), string(tlvOf(ssl[5:], 0x23))
	if version == "" {
		return "", ""
	}
	return plain(version), plain(cipher)
}

// unixPath is where a client of a proxy's Unix domain socket is, "" where it is elsewhere.
func unixPath(header []byte) string {
	if !startsLike(header, proxyV2Start) || len(header) <= proxyV2Head || header[13] != 0x31 {
		return ""
	}
	path, _, _ := strings.Cut(string(header[proxyV2Head:]), "\x00")
	return plain(path)
}

// plain is a text that may stand in a log and a list, else "".
func plain(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}
