package dynsec

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/regular"
	"hearthmq/broker/topic"
)

// Engine is dynamic security at work. It implements broker.Authenticator,
// broker.Authorizer, broker.Classifier, broker.UnsubscribeAuthorizer and broker.Reviewer for
// its users, and broker.Controller for $CONTROL/dynamic-security/v1. Safe for concurrent use.
type Engine struct {
	file string
	log  *slog.Logger

	// Sessions are the broker's, and Changed is told whose rights have changed, a moment after
	// the answer left. They are set before the broker serves anybody; Sessions may be nil.
	Sessions func() iter.Seq[broker.SessionInfo]
	Changed  func(affected func(user string) bool)

	policy     atomic.Pointer[policy]
	generation atomic.Uint64
	epochs     atomic.Uint64     // of classes, over all policies
	directory  *access.Directory // knows the passwords, under names of its own

	mu       sync.Mutex // guards what follows; held while a request is carried out, hashing and writing the file
	state    *state
	accounts *access.Accounts
	logins   map[string]string // names in the directory, by user
	hashes   map[string]string // what the directory has for each, by user
}

// Options say where dynamic security is kept and what a new file begins with.
type Options struct {
	File        string // dynamic-security.json
	InitFile    string // plugin_opt_password_init_file, "": none
	Password    string // MOSQUITTO_DYNSEC_PASSWORD; has is whether it is set
	HasPassword bool
	Log         *slog.Logger // must not be nil
}

// Open reads the file. Where there is none yet, one is made, with an administrator whose
// password is that of InitFile, else Password, else a new one that stands in File.pw.
func Open(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{file: o.File, log: o.Log, directory: access.NewDirectory(access.Policy{KeepHashes: true}), logins: map[string]string{}, hashes: map[string]string{}}
	e.accounts = access.NewAccounts(access.NewMemoryRepository(), e.directory, nil, nil)
	if err := e.accounts.Load(ctx); err != nil {
		return nil, err
	}
	text, err := regular.Read(o.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if e.state, err = o.begin(); err == nil {
			err = e.save()
		}
	case err == nil:
		var passed []string
		if e.state, passed, err = decode(text); err != nil {
			err = fmt.Errorf("%s: %w", o.File, err)
		}
		for _, p := range passed {
			e.log.Warn("left out of dynamic security", "file", o.File, "what", p)
		}
	}
	if err != nil {
		return nil, err
	}
	return e, e.apply(ctx)
}

// apply makes anew what logins and messages are judged by. e.mu is held, or nobody else
// has e yet.
func (e *Engine) apply(ctx context.Context) error {
	var add access.Import
	for name, login := range e.logins {
		if c := e.state.clients[name]; c == nil || c.hash != e.hashes[name] {
			if err := e.accounts.DeleteUser(ctx, login); err != nil {
				return err
			}
			delete(e.logins, name)
			delete(e.hashes, name)
		}
	}
	for name, c := range e.state.clients {
		if c.hash == "" || e.logins[name] != "" {
			continue
		}
		sum := sha256.Sum256([]byte(name + "\x00" + c.hash))
		login := hex.EncodeToString(sum[:16])
		e.logins[name], e.hashes[name] = login, c.hash
		add.Users = append(add.Users, access.NewUser{Name: login, Hash: c.hash})
	}
	if len(add.Users) > 0 {
		if _, err := e.accounts.Import(ctx, add); err != nil {
			return err
		}
	}
	p := e.state.newPolicy(e.logins)
	p.classes = topic.NewClasses(&e.epochs)
	e.policy.Store(p)
	e.generation.Add(1)
	return nil
}

// save replaces the file. e.mu is held, or nobody else has e yet.
func (e *Engine) save() error {
	text, err := e.state.encode()
	if err != nil {
		return err
	}
	return replace(e.file, append(text, '\n'))
}

// replace writes a file of secrets: whole, or not at all. One that is there keeps its mode.
func replace(name string, text []byte) (err error) {
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(name); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Generation implements broker.Authorizer.
func (e *Engine) Generation() uint64 { return e.generation.Load() }

// Review implements broker.Reviewer.
func (e *Engine) Review(id *broker.Identity) (stands bool, reason broker.Reason) {
	c := e.policy.Load().clients[id.User]
	switch {
	case id.User == "":
		return true, ""
	case c == nil:
		return false, broker.UnknownUser
	case c.disabled:
		return false, broker.UserDisabled
	case id.Version != 0 && id.Version != c.version: // 0: restored, not logged in since
		return false, access.AccountChanged
	}
	return true, ""
}

// mark stands for a password's hash; never 0.
func mark(hash string) uint64 {
	sum := sha256.Sum256([]byte(hash))
	return binary.BigEndian.Uint64(sum[:]) | 1
}

var errOtherClientID = errors.New("the client may log in with another client identifier alone")

// Authenticate implements broker.Authenticator.
func (e *Engine) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	who := e.policy.Load().clients[c.User]
	own := *c
	own.TLSName, own.User = "", "nobody" // takes as long as anybody (case A17)
	if who != nil && who.login != "" {
		own.User = who.login
	}
	if _, err := e.directory.Authenticate(ctx, &own); err != nil {
		return nil, err
	}
	switch {
	case who == nil:
		return nil, broker.Refuse(broker.UnknownUser, nil)
	case who.disabled:
		return nil, broker.Refuse(broker.UserDisabled, nil)
	case who.clientID != "" && who.clientID != c.ClientID:
		return nil, &broker.Refusal{Reason: broker.BadClientID, Code: broker.Refuse(broker.UnknownUser, nil).Code, Err: errOtherClientID}
	}
	return &broker.Identity{ClientID: c.ClientID, User: c.User, Listener: c.Listener.Name, Remote: c.Remote, TLSName: c.TLSName, Version: who.version}, nil
}

// usable reports whether a hash can be checked.
func usable(hash string) bool {
	_, err := access.ParseHash(hash)
	return err == nil
}

// Cost of a password's hash. Mosquitto reads it too, and checks it where nothing else goes
// on meanwhile: that bounds it.
const iterations = 20_000

// newHash hashes a password as both versions of Mosquitto read it. One that nobody could log
// in with is a failure (case A22); none at all is Mosquitto's to have.
func newHash(password string) (string, error) {
	if problem := access.ValidJSONPassword(password); password != "" && problem != "" {
		return "", failure("Invalid password: " + problem)
	}
	salt := make([]byte, 12)
	rand.Read(salt) // never fails: it ends the process instead
	sum, err := pbkdf2.Key(sha512.New, password, salt, iterations, sha512.Size)
	if err != nil {
		return "", internal
	}
	enc := base64.StdEncoding
	return fmt.Sprintf("$7$%d$%s$%s", iterations, enc.EncodeToString(salt), enc.EncodeToString(sum)), nil
}

// afterAnswer is how long those whose rights have changed stay connected, so that the
// answer to who changed them is on its way first.
const afterAnswer = 50 * time.Millisecond
