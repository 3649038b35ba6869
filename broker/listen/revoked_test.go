package listen

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// case A16: a list that does not mean what a list of revoked certificates means is not taken
// for one: it leaves out what another list has, or is of other authorities' certificates.
func TestRevokedExtensions(t *testing.T) {
	ca := newSigner(t)
	id := func(last int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, last} }
	one := []byte{2, 1, 1}
	for _, tt := range []struct {
		name  string
		list  []pkix.Extension
		entry []pkix.Extension
		want  string // words of the error, "": it is read
	}{
		{name: "none"},
		{name: "one that is not critical", list: []pkix.Extension{{Id: id(99), Value: one}}},
		{name: "a critical one that nobody knows", list: []pkix.Extension{{Id: id(99), Critical: true, Value: one}}, want: "2.5.29.99 is not understood"},
		{name: "what changed since another", list: []pkix.Extension{{Id: id(27), Critical: true, Value: one}}, want: "delta CRL"},
		{name: "the same, not marked", list: []pkix.Extension{{Id: id(27), Value: one}}, want: "delta CRL"},
		{name: "for users' certificates alone", list: []pkix.Extension{{Id: id(28), Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xFF}}}},
		{name: "for several authorities", list: []pkix.Extension{{Id: id(28), Critical: true, Value: []byte{0x30, 6, 0x81, 1, 0xFF, 0x84, 1, 0xFF}}}, want: "several authorities"},
		{name: "for several authorities: no", list: []pkix.Extension{{Id: id(28), Critical: true, Value: []byte{0x30, 3, 0x84, 1, 0}}}},
		{name: "for attribute certificates", list: []pkix.Extension{{Id: id(28), Critical: true, Value: []byte{0x30, 3, 0x85, 1, 0xFF}}}, want: "attribute certificates"},
		{name: "a point that breaks off", list: []pkix.Extension{{Id: id(28), Critical: true, Value: []byte{0x30, 9, 0x81}}}, want: "broken"},
		{name: "a plain point, and what changed since another", list: []pkix.Extension{{Id: id(28), Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xFF}}, {Id: id(27), Value: one}}, want: "delta CRL"},
		{name: "a point with something behind it", list: []pkix.Extension{{Id: id(28), Critical: true, Value: []byte{0x30, 0, 5, 0}}}, want: "broken"},
		{name: "a point that is none", list: []pkix.Extension{{Id: id(28), Critical: true, Value: []byte{5, 0}}}, want: "broken"},
		{name: "no point at all", list: []pkix.Extension{{Id: id(28), Critical: true}}, want: "broken"},
		{name: "a point with a part that breaks off", list: []pkix.Extension{{Id: id(28), Critical: true, Value: []byte{0x30, 2, 0x81, 9}}}, want: "broken"},
		{name: "an extension of an entry", entry: []pkix.Extension{{Id: id(24), Value: one}}},
		{name: "another authority's entry", entry: []pkix.Extension{{Id: id(29), Critical: true, Value: []byte{0x30, 0}}}, want: "several authorities"},
	} {
		list := &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour), ExtraExtensions: tt.list,
			RevokedCertificateEntries: []x509.RevocationListEntry{
				{SerialNumber: big.NewInt(5), RevocationTime: time.Now()},
				{SerialNumber: big.NewInt(0xF7), RevocationTime: time.Now(), ExtraExtensions: tt.entry},
			},
		}
		der, err := x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		r, err := readList(t, ca, der)
		switch {
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want == "":
			for number, want := range map[int64]bool{5: true, 0xF7: true, 0: false, 6: false, -9: false, 0xF700: false, 0x5F7: false} {
				if r.lists[0].has(big.NewInt(number)) != want {
					t.Errorf("%s: %d revoked: %v", tt.name, number, !want)
				}
			}
		}
	}
}

func readList(tb testing.TB, ca *authority, der []byte) (*revoked, error) {
	tb.Helper()
	return readRevoked(listFile(tb, der), []*x509.Certificate{ca.cert})
}

func listFile(tb testing.TB, der []byte) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "crl.pem")
	write(tb, file, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
	return file
}

// tlv is what it says, in DER.
func tlv(tag byte, parts ...[]byte) []byte {
	der, err := asn1.Marshal(asn1.RawValue{Tag: int(tag &^ 0x20), IsCompound: tag&0x20 != 0, Bytes: bytes.Join(parts, nil)})
	if err != nil {
		panic(err)
	}
	return der
}

// signedList is a list with these entries, made without package x509, which takes 1 kB for each.
func (a *authority) signedList(tb testing.TB, entries []byte) []byte {
	tb.Helper()
	algorithm := tlv(derSequence, []byte{6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2}) // ECDSA with SHA-256
	at := tlv(asn1.TagUTCTime, []byte("260101000000Z"))
	body := tlv(derSequence, []byte{2, 1, 1}, algorithm, a.cert.RawSubject, at, at, tlv(derSequence, entries))
	sum := sha256.Sum256(body)
	signature, err := a.key.Sign(rand.Reader, sum[:], nil)
	if err != nil {
		tb.Fatal(err)
	}
	return tlv(derSequence, body, algorithm, tlv(asn1.TagBitString, []byte{0}, signature))
}

// case A16: a list of tens of MB costs little more than its own size while it is read, and 20
// bytes an entry afterwards, where package x509 would take a gigabyte for a million entries.
func TestRevokedLarge(t *testing.T) {
	ca := newSigner(t)
	number := func(i int) []byte { // 16 bytes, spread
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		return append([]byte{0x41}, sum[:15]...)
	}
	const n = 30_000
	at := []byte("\x17\x0d260101000000Z")
	var entries []byte
	for i := range n {
		entries = append(append(append(append(entries, 0x30, 18+15), 2, 16), number(i)...), at...)
	}
	der := ca.signedList(t, entries)
	file := listFile(t, der)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := readRevoked(file, []*x509.Certificate{ca.cert})
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	// The file as PEM, twice, and as DER.
	if took, most := after.TotalAlloc-before.TotalAlloc, uint64(6*len(der)); took > most {
		t.Errorf("it took %d bytes to read a list of %d", took, len(der))
	}
	l := r.lists[0]
	if len(l.serials) != n || cap(l.serials) > n+n/50 || !r.end.Before(time.Now()) {
		t.Errorf("%d entries in %d places, to be replaced on %v", len(l.serials), cap(l.serials), r.end)
	}
	for i := range n + 1000 {
		if got, want := l.has(new(big.Int).SetBytes(number(i))), i < n; got != want {
			t.Fatalf("number %d revoked: %v", i, got)
		}
	}
	entries = entries[:100*len(entries)/n]
	for name, spoilt := range map[string][]byte{
		"an entry breaks off":       append(entries[:len(entries):len(entries)], 0x30, 0x7F, 2),
		"an entry has no number":    append(entries[:len(entries):len(entries)], 0x30, 0),
		"a number has no end":       append(entries[:len(entries):len(entries)], 0x30, 4, 2, 0x80, 0, 0),
		"a length of four gigabyte": append(entries[:len(entries):len(entries)], 0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF),
		"an entry has no time":      append(entries[:len(entries):len(entries)], 0x30, 3, 2, 1, 7),
		"extensions are none":       append(entries[:len(entries):len(entries)], 0x30, 20, 2, 1, 7, 0x17, 13, '2', '6', '0', '1', '0', '1', '0', '0', '0', '0', '0', '0', 'Z', 5, 0),
	} {
		if _, err := readList(t, ca, ca.signedList(t, spoilt)); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// case A16: while long lists are read again, others get in by what was read before.
func TestRevokedRereadHoldsNobodyUp(t *testing.T) {
	ca := newSigner(t)
	files := ca.files(t)
	files.CRLFile = filepath.Join(t.TempDir(), "revoked.pem")
	ca.revoke(t, files.CRLFile, time.Now().Add(time.Hour))
	keys, err := loadCertificates(files, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	good := keys.current(time.Now())
	keys.reading.Lock() // as by somebody who reads
	later := time.Now().Add(2 * reloadInterval)
	reread := make(chan *keySet)
	ca.revoke(t, files.CRLFile, time.Now().Add(time.Hour), 5, 6, 7)
	go func() { reread <- keys.current(later) }()
	for begun := false; !begun; runtime.Gosched() {
		keys.mu.Lock()
		begun = keys.looked.Equal(later)
		keys.mu.Unlock()
	}
	if keys.current(later) != good { // hangs, if it waits
		t.Error("not what was read before")
	}
	keys.reading.Unlock()
	if set := <-reread; set == good || keys.current(later) != set {
		t.Error("the new list does not count when it has been read")
	}
}
