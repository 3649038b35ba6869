package access

import (
	"bytes"
	"cmp"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Cost are the parameters of Argon2id.
type Cost struct {
	Time      uint32 // passes
	MemoryKiB uint32
	Threads   uint8
}

// DefaultCost is the minimum that OWASP recommends: 25 ms and 19 MiB a login on one
// core of a server, 140 ms on a Raspberry Pi 4.
var DefaultCost = Cost{Time: 2, MemoryKiB: 19456, Threads: 1}

const saltBytes, sumBytes = 16, 32

// Bounds of what an imported hash may cost; it is verified on behalf of anybody who
// knows a user name. The largest takes about two seconds.
const (
	maxIterations = 4_000_000
	maxMemoryKiB  = 256 << 10
	maxArgonWork  = 2 << 20 // passes times KiB
	maxSaltBytes  = 256
)

type scheme byte

const (
	schemeArgon2id scheme = iota + 1
	schemePBKDF2          // HMAC-SHA-512
	schemeSHA512          // one round, Mosquitto up to 1.6
	schemeSHA256          // ours, for generated passwords only
)

// Hash is a password hash that was read by ParseHash. The zero value matches nothing.
type Hash struct {
	scheme     scheme
	cost       Cost // Argon2id
	iterations int  // PBKDF2
	salt, sum  []byte
}

// errHash is what all bad hashes have in common; the text never repeats the hash.
var errHash = errors.New("not a password hash that HearthMQ knows")

// ParseHash reads a stored or imported password hash:
//
//	$argon2id$v=19$m=19456,t=2,p=1$SALT$SUM   ours for chosen passwords, Mosquitto 2.1
//	$sha256$SALT$SUM                          ours for generated passwords
//	$7$ITERATIONS$SALT$SUM                    Mosquitto 2
//	$6$SALT$SUM                               Mosquitto 1
//	PBKDF2$sha512$ITERATIONS$SALT$SUM         Mosquitto's app for Home Assistant
//
// Salts and sums are Base64 with or without padding. The error never repeats the text.
func ParseHash(text string) (Hash, error) {
	parts := strings.Split(text, "$")
	switch {
	case len(parts) == 6 && parts[0] == "" && parts[1] == "argon2id":
		return parseArgon2id(parts)
	case len(parts) == 4 && parts[0] == "" && parts[1] == "sha256":
		return parseSum(Hash{scheme: schemeSHA256}, parts[2], parts[3], sha256.Size)
	case len(parts) == 5 && parts[0] == "" && parts[1] == "7",
		len(parts) == 5 && parts[0] == "PBKDF2" && parts[1] == "sha512":
		n, err := parseNumber(parts[2], maxIterations)
		if err != nil {
			return Hash{}, fmt.Errorf("%w: iterations %w", errHash, err)
		}
		return parseSum(Hash{scheme: schemePBKDF2, iterations: n}, parts[3], parts[4], sha512.Size)
	case len(parts) == 4 && parts[0] == "" && parts[1] == "6":
		return parseSum(Hash{scheme: schemeSHA512}, parts[2], parts[3], sha512.Size)
	}
	return Hash{}, errHash
}

func parseArgon2id(parts []string) (Hash, error) {
	if parts[2] != "v=19" {
		return Hash{}, fmt.Errorf("%w: version %.16q of Argon2id", errHash, parts[2])
	}
	params := strings.Split(parts[3], ",")
	if len(params) != 3 {
		return Hash{}, fmt.Errorf("%w: parameters of Argon2id", errHash)
	}
	var n [3]int
	for i, name := range []string{"m=", "t=", "p="} {
		value, ok := strings.CutPrefix(params[i], name)
		most := []int{maxMemoryKiB, maxArgonWork, 16}[i]
		v, err := parseNumber(value, most)
		if !ok || err != nil {
			return Hash{}, fmt.Errorf("%w: parameter %s of Argon2id", errHash, name)
		}
		n[i] = v
	}
	if n[0] < 8*n[2] || n[0]*n[1] > maxArgonWork {
		return Hash{}, fmt.Errorf("%w: parameters of Argon2id out of bounds", errHash)
	}
	cost := Cost{MemoryKiB: uint32(n[0]), Time: uint32(n[1]), Threads: uint8(n[2])}
	return parseSum(Hash{scheme: schemeArgon2id, cost: cost}, parts[4], parts[5], 0)
}

// parseNumber reads 1..most in plain digits.
func parseNumber(s string, most int) (int, error) {
	if s == "" || s[0] < '1' || s[0] > '9' {
		return 0, errors.New("not a number from 1")
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > most {
		return 0, fmt.Errorf("not a number from 1 to %d", most)
	}
	return n, nil
}

// parseSum completes h. size is the length of the sum, 0: anything from 16 to 128 bytes.
func parseSum(h Hash, salt, sum string, size int) (Hash, error) {
	var err error
	if h.salt, err = decode64(salt); err != nil || len(h.salt) < 8 || len(h.salt) > maxSaltBytes {
		return Hash{}, fmt.Errorf("%w: bad salt", errHash)
	}
	if h.sum, err = decode64(sum); err != nil || size > 0 && len(h.sum) != size || len(h.sum) < 16 || len(h.sum) > 128 {
		return Hash{}, fmt.Errorf("%w: bad sum", errHash)
	}
	return h, nil
}

func decode64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which package base64 skips
		return nil, errHash
	}
	if strings.HasSuffix(s, "=") {
		return base64.StdEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}

// String is the hash in the form that we write.
func (h Hash) String() string {
	enc := base64.RawStdEncoding
	if h.scheme == schemePBKDF2 || h.scheme == schemeSHA512 { // as Mosquitto does
		enc = base64.StdEncoding
	}
	salt, sum := enc.EncodeToString(h.salt), enc.EncodeToString(h.sum)
	switch h.scheme {
	case schemeArgon2id:
		return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", h.cost.MemoryKiB, h.cost.Time, h.cost.Threads, salt, sum)
	case schemePBKDF2:
		return fmt.Sprintf("$7$%d$%s$%s", h.iterations, salt, sum)
	case schemeSHA512:
		return fmt.Sprintf("$6$%s$%s", salt, sum)
	case schemeSHA256:
		return fmt.Sprintf("$sha256$%s$%s", salt, sum)
	}
	return ""
}

// Matches reports whether password is the one. All bytes count, none is added or cut
// off (case A22). It takes the time that the hash costs, whatever the answer.
func (h Hash) Matches(password []byte) bool {
	var sum []byte
	switch h.scheme {
	case schemeArgon2id:
		sum = argon2.IDKey(password, h.salt, h.cost.Time, h.cost.MemoryKiB, h.cost.Threads, uint32(len(h.sum)))
	case schemePBKDF2:
		// HMAC pads its key with NULs, so these would match the password without them.
		// Mosquitto can't have made a hash of one.
		if bytes.HasSuffix(password, []byte{0}) {
			return false
		}
		var err error
		if sum, err = pbkdf2.Key(sha512.New, string(password), h.salt, h.iterations, len(h.sum)); err != nil {
			return false
		}
	case schemeSHA512: // password, then salt
		d := sha512.New()
		d.Write(password)
		d.Write(h.salt)
		sum = d.Sum(nil)
	case schemeSHA256: // salt, then password
		d := sha256.New()
		d.Write(h.salt)
		d.Write(password)
		sum = d.Sum(nil)
	default:
		return false
	}
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// costs reports whether verifying h takes as long as verifying other.
func (h Hash) costs(other Hash) bool {
	return h.scheme == other.scheme && h.cost == other.cost && h.iterations == other.iterations
}

// maxSorts bounds what a wrong password costs where users' hashes come from many places.
const maxSorts = 8

// amongSorts adds to sorts what h costs more than they do. PBKDF2 is there once, with the
// most iterations: those of any other are a part of it (case A17).
func (h Hash) amongSorts(sorts []Hash) []Hash {
	at := slices.IndexFunc(sorts, func(s Hash) bool { return h.scheme == schemePBKDF2 && s.scheme == schemePBKDF2 || h.costs(s) })
	switch {
	case at < 0:
		return append(sorts, h)
	case h.iterations > sorts[at].iterations:
		sorts[at] = h
	}
	return sorts
}

// costliestSorts keeps maxSorts of them, the cheapest ones of Argon2id last.
func costliestSorts(sorts []Hash) []Hash {
	slices.SortStableFunc(sorts, func(a, b Hash) int {
		return cmp.Or(cmp.Compare(b.scheme, a.scheme), cmp.Compare(b.cost.work(), a.cost.work()))
	})
	return slices.Clip(sorts[:min(len(sorts), maxSorts)])
}

// work grows with the time that it takes.
func (c Cost) work() uint64 { return uint64(c.Time) * uint64(c.MemoryKiB) }

// besides is what a wrong password is verified against after own, so that it takes the same
// time whoever is asked for: dummy and all sorts, less what own has cost already (case A17).
// Of more sorts of Argon2id than maxSorts, one of the cheaper ones stands for the cheapest
// that counts.
func besides(own, dummy Hash, sorts []Hash) []Hash {
	all := dummy.amongSorts(slices.Clone(sorts))
	if own.scheme == schemeArgon2id && len(sorts) > 0 && !slices.ContainsFunc(all, own.costs) {
		own = sorts[len(sorts)-1]
	}
	at := slices.IndexFunc(all, func(h Hash) bool { return h.costs(own) || h.scheme == schemePBKDF2 && own.scheme == schemePBKDF2 })
	switch {
	case at < 0: // own has cost nothing
	case all[at].iterations > own.iterations:
		all[at].iterations -= own.iterations
	default:
		all = slices.Delete(all, at, at+1)
	}
	return all
}

// outdated reports whether the hash is worth replacing after a login: it is not
// Argon2id, or weaker than c.
func (h Hash) outdated(c Cost) bool {
	return h.scheme != schemeArgon2id || h.cost.MemoryKiB < c.MemoryKiB || h.cost.Time < c.Time
}

// newArgon2id hashes a password that a person chose.
func newArgon2id(password []byte, c Cost) Hash {
	h := Hash{scheme: schemeArgon2id, cost: c, salt: randomBytes(saltBytes)}
	h.sum = argon2.IDKey(password, h.salt, c.Time, c.MemoryKiB, c.Threads, sumBytes)
	return h
}

// newSHA256 hashes a generated password. Only those: it is fast.
func newSHA256(password string) Hash {
	salt := randomBytes(saltBytes)
	sum := sha256.Sum256(append(salt[:saltBytes:saltBytes], password...))
	return Hash{scheme: schemeSHA256, salt: salt, sum: sum[:]}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the process instead
	return b
}

// GeneratePassword returns a password for a device: 26 characters A-Z and 2-7, 130
// random bits.
func GeneratePassword() string { return rand.Text() }

// ValidJSONPassword is ValidPassword for one that stood in JSON. What is no text there, package
// json reads as U+FFFD: the password would not be the one that was set (case A22).
func ValidJSONPassword(password string) string {
	if strings.ContainsRune(password, utf8.RuneError) {
		return "it holds bytes that are no text (UTF-8), which can't be set this way"
	}
	return ValidPassword(password)
}

// ValidPassword says in words what keeps password from being one, "" when nothing does.
func ValidPassword(password string) string {
	switch n := len(password); {
	case n == 0:
		return "a password is needed"
	case n > MaxPasswordBytes:
		return fmt.Sprintf("at most %d bytes, this has %d", MaxPasswordBytes, n)
	}
	return ""
}
