// Package scram is the server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677): a client
// proves that it knows a password, without sending it, to a server that stores only
// keys derived from it, and gets proof that the server has them.
//
// It knows messages and keys, nothing of MQTT or users: it imports the standard
// library only. Channel binding is not offered. Names and passwords are compared as
// the bytes that they are; RFC 4013 changes nothing about ASCII, and a client that
// normalises other text must have done so when the password was set.
package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Method is the mechanism's name, as an Authentication Method of MQTT 5.
const Method = "SCRAM-SHA-256"

// MinIterations is the least iteration count that NewCredential takes (RFC 7677).
const MinIterations = 4096

// Errors of Server.Step. ErrProof is a wrong password or an unknown name, which
// cannot be told apart; ErrMessage is a message that is not what must come next.
var (
	ErrProof   = errors.New("scram: proof does not fit")
	ErrMessage = errors.New("scram: message is not valid here")
)

// Credential is what a server stores of a password. The password can't be computed
// from it, but whoever has it can check guesses: keep it secret.
type Credential struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// NewCredential derives a Credential. It takes as long as iterations ask for.
func NewCredential(password string, salt []byte, iterations int) (Credential, error) {
	if iterations < MinIterations || len(salt) == 0 {
		return Credential{}, fmt.Errorf("scram: %d iterations with a salt of %d bytes are too few", iterations, len(salt))
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return Credential{}, fmt.Errorf("derive key: %w", err)
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	return Credential{Salt: salt, Iterations: iterations, StoredKey: stored[:], ServerKey: mac(salted, "Server Key")}, nil
}

// Lookup finds a user's Credential.
type Lookup func(name string) (Credential, bool)

// Server is one exchange. Make one per connection with NewServer; it is not safe for
// concurrent use.
type Server struct {
	lookup Lookup
	decoy  []byte // key for the salts of names that do not exist
	nonce  string // the server's part

	step   int
	name   string
	cred   Credential
	known  bool
	header string // gs2 header of the first message
	bare   string // client-first-message-bare
	first  string // server-first-message
	both   string // nonce of client and server
}

// NewServer begins an exchange. decoy must be the same secret bytes for all
// exchanges of a server: an unknown name gets the same salt each time, as a known one does.
func NewServer(lookup Lookup, decoy []byte) *Server {
	return &Server{lookup: lookup, decoy: decoy, nonce: rand.Text()}
}

// Name is the user name that the client gave, "" before its first message.
func (s *Server) Name() string { return s.name }

// Step takes the client's next message and returns the answer to it. done is true
// when the client has proven itself: the answer then proves the server. Errors are
// ErrProof and ErrMessage, wrapped; the exchange is over after one.
func (s *Server) Step(msg []byte) (answer []byte, done bool, err error) {
	s.step++
	switch s.step {
	case 1:
		answer, err = s.begin(string(msg))
	case 2:
		answer, err = s.finish(string(msg))
		done = err == nil
	default:
		err = fmt.Errorf("%w: the exchange is over", ErrMessage)
	}
	if err != nil {
		s.step = 3
	}
	return answer, done, err
}

// begin answers client-first-message with salt, iterations and nonce.
func (s *Server) begin(msg string) ([]byte, error) {
	flag, rest, ok := strings.Cut(msg, ",")
	authz, bare, more := strings.Cut(rest, ",")
	switch {
	case !ok || !more:
		return nil, fmt.Errorf("%w: no header", ErrMessage)
	case flag != "n" && flag != "y":
		return nil, fmt.Errorf("%w: channel binding is not offered", ErrMessage)
	}
	s.header, s.bare = flag+","+authz+",", bare
	fields := strings.Split(bare, ",")
	if len(fields) < 2 {
		return nil, fmt.Errorf("%w: name and nonce are due", ErrMessage)
	}
	name, okName := attribute(fields[0], 'n')
	nonce, okNonce := attribute(fields[1], 'r')
	if !okName || !okNonce || nonce == "" || !printable(nonce) { // "m=" in front is an extension that must be understood
		return nil, fmt.Errorf("%w: name and nonce are due", ErrMessage)
	}
	if s.name, ok = unescape(name); !ok {
		return nil, fmt.Errorf("%w: name", ErrMessage)
	}
	if as, has := attribute(authz, 'a'); authz != "" && (!has || as != name) {
		return nil, fmt.Errorf("%w: acting for somebody else is not offered", ErrMessage)
	}
	if s.cred, s.known = s.lookup(s.name); !s.known {
		// Whoever asks must not learn which names exist.
		s.cred = Credential{Salt: mac(s.decoy, s.name)[:16], Iterations: MinIterations,
			StoredKey: make([]byte, sha256.Size), ServerKey: make([]byte, sha256.Size)}
	}
	s.both = nonce + s.nonce
	s.first = "r=" + s.both + ",s=" + base64.StdEncoding.EncodeToString(s.cred.Salt) + ",i=" + strconv.Itoa(s.cred.Iterations)
	return []byte(s.first), nil
}

// finish checks the proof of client-final-message and answers with the server's.
func (s *Server) finish(msg string) ([]byte, error) {
	i := strings.LastIndex(msg, ",p=")
	if i < 0 {
		return nil, fmt.Errorf("%w: no proof", ErrMessage)
	}
	without, proof64 := msg[:i], msg[i+3:]
	fields := strings.Split(without, ",")
	if len(fields) < 2 {
		return nil, fmt.Errorf("%w: channel and nonce are due", ErrMessage)
	}
	channel, okChannel := attribute(fields[0], 'c')
	nonce, okNonce := attribute(fields[1], 'r')
	if !okChannel || !okNonce || channel != base64.StdEncoding.EncodeToString([]byte(s.header)) || nonce != s.both {
		return nil, fmt.Errorf("%w: channel or nonce is not the one agreed", ErrMessage)
	}
	proof, err := base64.StdEncoding.DecodeString(proof64)
	if err != nil || len(proof) != sha256.Size {
		return nil, fmt.Errorf("%w: proof", ErrMessage)
	}
	auth := s.bare + "," + s.first + "," + without
	key := make([]byte, sha256.Size)
	subtle.XORBytes(key, proof, mac(s.cred.StoredKey, auth))
	stored := sha256.Sum256(key)
	fits := subtle.ConstantTimeCompare(stored[:], s.cred.StoredKey) == 1
	if !fits || !s.known {
		return nil, ErrProof
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(mac(s.cred.ServerKey, auth))), nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text)) // a hash never fails
	return h.Sum(nil)
}

// attribute returns the value of "x=value".
func attribute(field string, name byte) (string, bool) {
	if len(field) < 2 || field[0] != name || field[1] != '=' {
		return "", false
	}
	return field[2:], true
}

// unescape undoes "=2C" and "=3D"; no other "=" may stand in a name.
func unescape(s string) (string, bool) {
	plain := strings.NewReplacer("=2C", "", "=3D", "").Replace(s)
	if s == "" || strings.Contains(plain, "=") {
		return "", false
	}
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s), true
}

// printable reports whether a nonce has only the characters that RFC 5802 allows.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E || s[i] == ',' {
			return false
		}
	}
	return true
}
