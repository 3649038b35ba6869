package listen

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Values of Names.From.
const (
	NamesOff     = ""        // certificates name nobody but those in Users
	NamesCN      = "cn"      // the Common Name
	NamesSAN     = "san"     // the first Subject Alternative Name: DNS, mail, URI
	NamesSubject = "subject" // the whole subject as RFC 2253 writes it
)

// Names says whom client certificates name: the user in Users, found by the SHA-256
// fingerprint (hex, colons or not), the Common Name or any Subject Alternative Name,
// else what From says.
type Names struct {
	From  string
	Users map[string]string
}

// On reports whether certificates name users at all.
func (n Names) On() bool { return n.From != NamesOff || len(n.Users) > 0 }

// of returns the user that a verified certificate names. The error is a *ClientError:
// somebody is meant to be named, and nobody is, or with a name that none can have.
func (n Names) of(cert *x509.Certificate) (string, error) {
	if !n.On() {
		return "", nil
	}
	alternatives := alternativeNames(cert)
	sum := sha256.Sum256(cert.Raw)
	if user, ok := n.byFingerprint(hex.EncodeToString(sum[:])); ok {
		return user, nil
	}
	for _, key := range append([]string{cert.Subject.CommonName}, alternatives...) {
		if user, ok := n.Users[key]; ok && key != "" && !isFingerprint(key) {
			return user, nil
		}
	}
	name := ""
	switch n.From {
	case NamesCN:
		name = cert.Subject.CommonName
	case NamesSAN:
		if len(alternatives) > 0 {
			name = alternatives[0]
		}
	case NamesSubject:
		name = cert.Subject.String()
	}
	switch {
	case name == "":
		return "", &ClientError{Err: fmt.Errorf("the certificate of %s names no user", printable(cert.Subject.String()))}
	case !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl): // case A16
		return "", &ClientError{Err: fmt.Errorf("the certificate names %s, which is no name", printable(name))}
	}
	return name, nil
}

// byFingerprint looks a fingerprint up in Users, where it may stand as people write them.
func (n Names) byFingerprint(sum string) (string, bool) {
	for k, user := range n.Users {
		if strings.EqualFold(strings.ReplaceAll(k, ":", ""), sum) {
			return user, true
		}
	}
	return "", false
}

// isFingerprint tells what stands for one certificate from names, which anybody may have
// put into another that calls itself so.
func isFingerprint(key string) bool {
	b, err := hex.DecodeString(strings.ReplaceAll(key, ":", ""))
	return err == nil && len(b) == sha256.Size
}

func alternativeNames(cert *x509.Certificate) []string {
	all := append([]string(nil), cert.DNSNames...)
	all = append(all, cert.EmailAddresses...)
	for _, u := range cert.URIs {
		all = append(all, u.String())
	}
	return all
}

func printable(s string) string { return fmt.Sprintf("%.100q", s) }

// ClientError says why a client was turned away before MQTT began, by TLS or on the way to
// a WebSocket.
type ClientError struct {
	Missing   bool   // it has no certificate and needs one
	WrongDoor bool   // it speaks something else than this port
	Doubts    bool   // it did not accept the server's certificate
	Stranger  bool   // it is a web page of an origin that may not come
	Proxy     bool   // it is a proxy that nobody named, with the PROXY protocol
	Name      string // whom its certificate names, "" for nobody; nothing proves it
	Err       error
}

func (e *ClientError) Error() string { return e.Err.Error() }

func (e *ClientError) Unwrap() error { return e.Err }

// clientError makes a *ClientError of a handshake's error where an owner can do something
// about the reason, else nil: who only went is none.
func clientError(err error, names Names) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		name := ""
		if len(e.UnverifiedCertificates) > 0 {
			name, _ = names.of(e.UnverifiedCertificates[0]) // it is turned away for something else
		}
		return &ClientError{Name: name, Err: e.Err}
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if startsProxied(e.RecordHeader[:]) {
			return &ClientError{Proxy: true, Err: errProxyUnknown}
		}
		if e.RecordHeader[0]>>4 == 1 { // CONNECT
			return &ClientError{WrongDoor: true, Err: errors.New("the client speaks MQTT without encryption, and this port is encrypted (TLS)")}
		}
		return &ClientError{WrongDoor: true, Err: errors.New("the client does not speak TLS, and this port is encrypted")}
	}
	// Package tls has no types for these; a test holds the words.
	switch text := err.Error(); {
	case strings.HasPrefix(text, "remote error: tls: ") && strings.Contains(text, "certificate"):
		return &ClientError{Doubts: true, Err: errors.New("the client says: " + strings.TrimPrefix(text, "remote error: tls: "))}
	case strings.Contains(text, "bad record MAC"):
		// OpenSSL says so unencrypted, where TLS 1.3 has encryption on already.
		return &ClientError{Doubts: true, Err: errors.New("the client broke off when it saw the certificate")}
	case strings.Contains(text, "client offered only unsupported versions"), strings.Contains(text, "no cipher suite supported"):
		return &ClientError{WrongDoor: true, Err: fmt.Errorf("the client knows no encryption that is safe: %s", strings.TrimPrefix(text, "tls: "))}
	case strings.Contains(text, "client didn't provide a certificate"):
		return &ClientError{Missing: true, Err: errors.New("the client has no certificate")}
	case strings.Contains(text, "failed to parse client certificate"):
		return &ClientError{Err: err}
	}
	return nil
}

// verifyAnyDate is a tls.Config.VerifyConnection that verifies client certificates as
// package tls does, but for their time. then checks further, nil: there is nothing to.
func verifyAnyDate(roots *x509.CertPool, then func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 { // none required
			return nil
		}
		between := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			between.AddCert(timeless(c))
		}
		chains, err := timeless(state.PeerCertificates[0]).Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
		}
		if state.VerifiedChains = chains; then == nil {
			return nil
		}
		return then(state)
	}
}

// timeless is a certificate that is good now, for verification alone.
func timeless(c *x509.Certificate) *x509.Certificate {
	t := *c
	t.NotBefore, t.NotAfter = time.Time{}, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	return &t
}

// parseCertificates returns the certificates of a PEM text; what is none is skipped.
func parseCertificates(text []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c)
		}
	}
	return all
}
