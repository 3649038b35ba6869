package listen

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"hearthmq/broker/regular"
)

// revoked are lists of certificates that are not to be trusted any more.
type revoked struct {
	lists []revocationList
	end   time.Time // when the first of them should have been replaced, zero: never
}

type revocationList struct {
	issuer  []byte // raw subject of the authority
	serials []serial
}

// serial is a Serial Number, with zeros ahead. Lists have millions.
type serial [20]byte

func serialOf(number []byte) (s serial) {
	number = bytes.TrimLeft(number, "\x00")
	if len(number) > len(s) { // RFC 5280, section 4.1.2.2 allows no such
		sum := sha256.Sum256(number)
		number = sum[:len(s)]
	}
	copy(s[len(s)-len(number):], number)
	return s
}

func (s serial) compare(other serial) int { return bytes.Compare(s[:], other[:]) }

// readRevoked reads lists that the authorities signed. One of a stranger is an error, and so
// is one that can't be read (case A16): the owner believes that it protects.
func readRevoked(file string, authorities []*x509.Certificate) (*revoked, error) {
	text, err := regular.Read(file)
	if err != nil {
		return nil, fmt.Errorf("crlfile: %w", err)
	}
	r := new(revoked)
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, entries, err := parseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("crlfile %s: %w", file, err)
		}
		if !signedByOne(list, authorities) {
			return nil, fmt.Errorf("crlfile %s: the list of %s is signed by nobody in cafile", file, printable(list.Issuer.String()))
		}
		serials, err := revokedSerials(entries)
		if err = errors.Join(unknownExtension(list), err); err != nil {
			return nil, fmt.Errorf("crlfile %s: the list of %s: %w", file, printable(list.Issuer.String()), err)
		}
		r.lists = append(r.lists, revocationList{list.RawIssuer, serials})
		if end := list.NextUpdate; !end.IsZero() && (r.end.IsZero() || end.Before(r.end)) {
			r.end = end
		}
	}
	// Package pem passes over what it can't read, and a list that is missing protects nobody.
	if begun := bytes.Count(text, []byte("-----BEGIN X509 CRL-----")); begun != len(r.lists) {
		return nil, fmt.Errorf("crlfile %s can't be read whole: %d lists begin in it, %d are lists", file, begun, len(r.lists))
	}
	if len(r.lists) == 0 {
		return nil, fmt.Errorf("crlfile %s holds no list of revoked certificates", file)
	}
	return r, nil
}

var errBrokenList = errors.New("a list of revoked certificates is broken")

// element cuts the first element off what is encoded in DER. ok is false where there is none.
func element(der []byte) (tag byte, body, rest []byte, ok bool) {
	if len(der) < 2 {
		return 0, nil, nil, false
	}
	n, head := int(der[1]), 2
	if n >= 0x80 {
		head += n & 0x7F
		if n == 0x80 || head > 6 || len(der) < head {
			return 0, nil, nil, false
		}
		n = 0
		for _, b := range der[2:head] {
			n = n<<8 | int(b)
		}
	}
	if n < 0 || n > len(der)-head { // below zero on 32 bits
		return 0, nil, nil, false
	}
	return der[0], der[head : head+n], der[head+n:], true
}

const (
	derInteger   = asn1.TagInteger
	derBoolean   = asn1.TagBoolean
	derSequence  = asn1.TagSequence | 0x20
	derIndirect  = 4 | 0x80 // in an Issuing Distribution Point
	derAttribute = 5 | 0x80
)

// parseRevocationList reads a list of version 2 or 1, but for its entries, which it returns
// as they are encoded: package x509 takes 1 kB for each. It knows version 2 only, too; version
// 1 is what openssl makes without crl_extensions, the same without a number for the version,
// and without extensions. So it is shown a list of version 2 without entries.
func parseRevocationList(der []byte) (list *x509.RevocationList, entries []byte, err error) {
	var outer struct{ Signed, Algorithm, Signature asn1.RawValue }
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || outer.Signed.FullBytes[0] != derSequence {
		list, err = x509.ParseRevocationList(der) // it says what is wrong
		return list, nil, errors.Join(err, errBrokenList)
	}
	original := outer.Signed.FullBytes
	shown := []byte{derInteger, 1, 1}
	timed := false
	for left := outer.Signed.Bytes; len(left) > 0; {
		tag, body, rest, ok := element(left)
		switch {
		case !ok:
			return nil, nil, errBrokenList
		case tag == derInteger && len(left) == len(outer.Signed.Bytes): // the version
			if !bytes.Equal(body, []byte{1}) {
				return nil, nil, fmt.Errorf("%w: its version is not known", errBrokenList)
			}
		case tag == derSequence && timed && entries == nil:
			entries = body
		default:
			shown = append(shown, left[:len(left)-len(rest)]...)
		}
		timed = timed || tag == asn1.TagUTCTime || tag == asn1.TagGeneralizedTime
		left = rest
	}
	outer.Signed = asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: shown}
	short, err := asn1.Marshal(outer)
	if err != nil {
		return nil, nil, err
	}
	if list, err = x509.ParseRevocationList(short); err != nil {
		return nil, nil, err
	}
	list.RawTBSRevocationList = original // what the signature is of
	return list, entries, nil
}

// revokedSerials reads the entries of a list.
func revokedSerials(entries []byte) ([]serial, error) {
	var all []serial
	for len(entries) > 0 {
		tag, entry, rest, ok := element(entries)
		if !ok || tag != derSequence {
			return nil, errBrokenList
		}
		if all == nil { // most have the same length
			all = make([]serial, 0, len(entries)/(len(entries)-len(rest))+1)
		}
		tag, number, more, ok := element(entry)
		if !ok || tag != derInteger || len(number) == 0 {
			return nil, errBrokenList
		}
		_, _, extensions, ok := element(more) // when it was revoked
		if !ok {
			return nil, errBrokenList
		}
		if len(extensions) > 0 {
			if err := uncritical(extensions); err != nil {
				return nil, err
			}
		}
		all = append(all, serialOf(number))
		entries = rest
	}
	slices.SortFunc(all, serial.compare)
	return slices.Clip(all), nil
}

// uncritical looks for extensions of an entry that it would be wrong to pass over (RFC 5280,
// section 5.3): another authority's certificate may be meant.
func uncritical(extensions []byte) error {
	tag, list, rest, ok := element(extensions)
	if !ok || tag != derSequence || len(rest) > 0 {
		return errBrokenList
	}
	for len(list) > 0 {
		var extension, more []byte
		if tag, extension, list, ok = element(list); !ok || tag != derSequence {
			return errBrokenList
		}
		if _, _, more, ok = element(extension); !ok {
			return errBrokenList
		}
		if tag, value, _, ok := element(more); !ok || tag == derBoolean && !bytes.Equal(value, []byte{0}) {
			return errors.New("an entry has a critical extension, as in a list for several authorities, which is not understood")
		}
	}
	return nil
}

// unknownExtension says why a list does not mean what a list means. One that leaves out what
// another list has, or is for other authorities' certificates, must not be taken for whole
// (RFC 5280, section 5.2).
func unknownExtension(list *x509.RevocationList) error {
	for _, e := range list.Extensions {
		switch id := e.Id.String(); {
		case id == "2.5.29.27":
			return errors.New("it holds only what changed since another one (a delta CRL): use the complete list")
		case id == "2.5.29.28":
			if err := plainPoint(e.Value); err != nil {
				return err
			}
		case e.Critical && id != "2.5.29.20" && id != "2.5.29.35": // its number, and the authority's key
			return fmt.Errorf("its critical extension %s is not understood", id)
		}
	}
	return nil
}

// plainPoint refuses an Issuing Distribution Point of a list for several authorities, or for
// attribute certificates. That a list is for some certificates alone makes it no worse.
func plainPoint(der []byte) error {
	tag, point, rest, ok := element(der)
	if !ok || tag != derSequence || len(rest) > 0 {
		return errBrokenList
	}
	for len(point) > 0 {
		var value []byte
		if tag, value, point, ok = element(point); !ok {
			return errBrokenList
		}
		if (tag == derIndirect || tag == derAttribute) && !bytes.Equal(value, []byte{0}) {
			return errors.New("it is one for several authorities, or for attribute certificates, which is not understood")
		}
	}
	return nil
}

func signedByOne(list *x509.RevocationList, authorities []*x509.Certificate) bool {
	for _, a := range authorities {
		if bytes.Equal(a.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(a) == nil {
			return true
		}
	}
	return false
}

// check implements tls.Config.VerifyConnection: of every way up to an authority, one is
// enough whose first authority has a list and which holds no revoked certificate. Without
// that list nobody can say that the client's own certificate still counts.
func (r *revoked) check(state tls.ConnectionState) error {
	if len(state.VerifiedChains) == 0 { // no certificate, and none required
		return nil
	}
	var why error
	for _, chain := range state.VerifiedChains {
		err := r.trusts(chain)
		if err == nil {
			return nil
		}
		why = cmp.Or(why, err)
	}
	return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: why}
}

func (r *revoked) trusts(chain []*x509.Certificate) error {
	for _, cert := range chain {
		for _, l := range r.lists {
			if bytes.Equal(cert.RawIssuer, l.issuer) && l.has(cert.SerialNumber) {
				return fmt.Errorf("the certificate of %s was revoked", printable(chain[0].Subject.String()))
			}
		}
	}
	if own := chain[0]; !slices.ContainsFunc(r.lists, func(l revocationList) bool { return bytes.Equal(own.RawIssuer, l.issuer) }) {
		return fmt.Errorf("crlfile holds no list of %s, which signed the certificate of %s", printable(own.Issuer.String()), printable(own.Subject.String()))
	}
	return nil
}

func (l revocationList) has(number *big.Int) bool {
	_, listed := slices.BinarySearchFunc(l.serials, serialOf(number.Bytes()), serial.compare)
	return listed
}
