package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// TLS names the files of a TLS listener. They are read again when they change,
// which is looked for at most once a minute: when a client connects, and whenever
// somebody asks for the Status of the certificate.
type TLS struct {
	CertFile, KeyFile string
	// CAFile and CAPath (a folder of PEM files) hold the certificates that sign client
	// certificates; both "": clients need none and are asked for none.
	CAFile, CAPath string
	// ChainFile and ChainPath hold certificates of authorities, too, but for the way from
	// the server's certificate up to them alone.
	ChainFile, ChainPath string
	// CRLFile lists revoked client certificates (PEM, one list or several). A list
	// whose time is over counts on: what was revoked stays so.
	CRLFile string
	// RequireCertificate refuses clients without a certificate that one of those signed.
	RequireCertificate bool
	// AnyDate lets in client certificates, and those that signed them, whose time is over
	// or has not come.
	AnyDate bool
	// Names says whom a client certificate names.
	Names Names
	// MinVersion is tls.VersionTLS12 or tls.VersionTLS13; 0: TLS 1.2.
	MinVersion uint16
}

// reloadInterval is how often the files are looked at, at most.
const reloadInterval = time.Minute

// tlsListener makes TLS connections. The handshake happens at the first Read,
// under the reader's deadline, so Accept never waits for a client.
type tlsListener struct {
	net.Listener
	keys    *certificates
	refused func(net.Addr, error)
}

// Accept implements net.Listener.
func (l *tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	k := newCalm(c)
	return &encrypted{calm: k, below: inTurn{Conn: k, turns: l.keys.turns}, listener: l}, nil
}

// encrypted is a TLS connection. Until its client has said something, and whenever it
// waits by Wait, it holds no more than it must: houses are full of devices with nothing
// to say.
type encrypted struct {
	*calm
	listener *tlsListener
	below    inTurn                   // between the two
	made     atomic.Pointer[tls.Conn] // when the client had said something, or somebody asked
	greeted  bool                     // somebody has waited for its first byte; the reader's own
	dry      bool                     // all that came was read; the reader's own
	shook    atomic.Bool              // the handshake has been made
	closed   atomic.Bool
	once     sync.Once
	farewell atomic.Pointer[func(err error, ended bool)] // see OnDistrust
}

// tls is the connection above the socket.
func (c *encrypted) tls() *tls.Conn {
	if t := c.made.Load(); t != nil {
		return t
	}
	c.made.CompareAndSwap(nil, tls.Server(&c.below, c.listener.keys.config))
	return c.made.Load()
}

// Wait returns when there may be something to read, or Read would fail: the first time,
// when the client has begun its handshake, else after that. From the second time on Read
// fails with EAGAIN when it finds that there was nothing.
func (c *encrypted) Wait() error {
	if c.greeted {
		if !c.shook.Load() {
			if err := c.shake(); err != nil {
				return err
			}
		}
		c.readAtOnce()
		if !c.dry {
			return nil
		}
	}
	c.greeted, c.dry = true, false
	return c.wait()
}

// Read implements net.Conn. The first one makes the handshake.
func (c *encrypted) Read(p []byte) (int, error) {
	if !c.shook.Load() {
		if err := c.shake(); err != nil {
			return 0, err
		}
	}
	n, err := c.tls().Read(p)
	c.dry = n == 0 && errors.Is(err, syscall.EAGAIN)
	return n, err
}

// Write implements net.Conn.
func (c *encrypted) Write(p []byte) (int, error) { return c.tls().Write(p) }

// ConnectionState tells of the handshake.
func (c *encrypted) ConnectionState() tls.ConnectionState { return c.tls().ConnectionState() }

// SetWriteDeadline implements net.Conn.
func (c *encrypted) SetWriteDeadline(t time.Time) error { return c.tls().SetWriteDeadline(t) }

// shake makes the handshake, and tells once of a client that was turned away by it.
func (c *encrypted) shake() error {
	keys := c.listener.keys
	asked := keys.current(time.Now())
	err := c.handshake()
	c.once.Do(func() {
		reason, ok := errors.AsType[*ClientError](clientError(err, keys.files.Names))
		if ok && c.listener.refused != nil {
			c.listener.refused(c.RemoteAddr(), reason)
		}
	})
	if err != nil {
		return err
	}
	if c.shook.Swap(true) || len(c.ConnectionState().PeerCertificates) == 0 {
		return nil
	}
	keys.held.add(c)
	if c.closed.Load() { // meanwhile, by somebody else
		keys.held.remove(c)
	}
	// The files may have changed while the handshake was under way.
	now := time.Now()
	if set := keys.current(now); set != asked {
		if err := set.trusts(c.ConnectionState(), now); err != nil {
			c.expel(err)
			return err
		}
	}
	return nil
}

// handshake makes it when it is its turn.
func (c *encrypted) handshake() error {
	turns := c.listener.keys.turns
	turns.take()
	defer turns.pass()
	c.below.shaking = true
	defer func() { c.below.shaking = false }()
	return c.tls().Handshake()
}

// expel ends a connection whose certificate is not trusted any more. Who serves it says
// goodbye; where nobody does yet it is closed at once and told of as one that was turned away.
func (c *encrypted) expel(err error) {
	c.listener.keys.held.remove(c)
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = e.Err
	}
	if farewell := c.farewell.Load(); farewell != nil {
		invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
		(*farewell)(err, ok && invalid.Reason == x509.Expired)
		return
	}
	if c.listener.refused != nil {
		name, _ := c.PeerName() // who is not named has a reason of its own to be gone
		c.listener.refused(c.RemoteAddr(), &ClientError{Name: name, Err: err})
	}
	_ = c.calm.Close() // nothing more is to be said to it
}

// OnDistrust has f called, once at most and on a goroutine of the listener's, when the
// client's certificate is not trusted any more: it was revoked, its authority is gone, or
// it has ended. f has to close the connection. err says why for people.
func (c *encrypted) OnDistrust(f func(err error, ended bool)) { c.farewell.Store(&f) }

// Close implements net.Conn.
func (c *encrypted) Close() error {
	c.closed.Store(true)
	c.listener.keys.held.remove(c)
	if t := c.made.Load(); t != nil {
		return t.Close()
	}
	return c.calm.Close()
}

// PeerName returns whom the client's certificate names, "" when there is none or
// certificates name nobody here. The handshake has been made.
func (c *encrypted) PeerName() (string, error) {
	state := c.ConnectionState()
	files := &c.listener.keys.files
	switch {
	case len(state.VerifiedChains) > 0:
		return files.Names.of(state.VerifiedChains[0][0])
	case files.AnyDate && len(state.PeerCertificates) > 0:
		return files.Names.of(state.PeerCertificates[0]) // the handshake has verified it
	}
	return "", nil
}

// peer is a connection that knows whom a client certificate names.
type peer interface{ PeerName() (string, error) }

// onDistrust passes a function on to a connection that may call it.
func onDistrust(c net.Conn, f func(err error, ended bool)) {
	if d, ok := c.(interface {
		OnDistrust(f func(err error, ended bool))
	}); ok {
		d.OnDistrust(f)
	}
}

// peerName asks a connection for it.
func peerName(c net.Conn) (string, error) {
	if p, ok := c.(peer); ok {
		return p.PeerName()
	}
	return "", nil
}

// certificates keeps the last good set of TLS files. It is shared by the listeners
// that have the same.
type certificates struct {
	files  TLS
	log    *slog.Logger
	config *tls.Config // asks current for each client
	turns  turns
	held   held

	reading sync.Mutex // held while files are read, before mu; who has it alone changes good, stamp and failed

	mu     sync.Mutex // guards what follows
	good   *keySet
	looked time.Time // when the files were last looked at
	stamp  stamp     // what the files looked like when they were last read
	failed error     // why they can't be used as they are now
	warned time.Time // when an owner was last told that the certificate ends
	told   string    // and of which other problem
}

// loadCertificates reads the files for the first time. The error names the
// file and what is wrong; it wraps ErrNoCertificate while one is missing.
func loadCertificates(files TLS, log *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log, turns: newTurns()}
	now := time.Now()
	seen, err := files.look()
	if err != nil {
		return nil, err
	}
	good, err := files.read()
	if err != nil {
		return nil, err
	}
	c.good, c.stamp, c.looked = good, seen, now
	c.warn(now)
	c.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current(time.Now()).config, nil
		},
	}
	return c, nil
}

// current returns the set for a handshake now. Whoever comes while the files are read again,
// which takes seconds for long lists of revoked certificates, gets the set before.
func (c *certificates) current(now time.Time) *keySet {
	c.mu.Lock()
	good, due := c.good, now.Sub(c.looked) >= reloadInterval
	if due {
		c.looked = now
	}
	c.mu.Unlock()
	if !due {
		return good
	}
	good, before := c.reread(now)
	c.held.review(good, good != before, now)
	return good
}

// reread looks at the files and returns the sets after and before that.
func (c *certificates) reread(now time.Time) (good, before *keySet) {
	c.reading.Lock()
	defer c.reading.Unlock()
	before = c.good
	c.refresh(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warn(now)
	return c.good, before
}

// refresh takes over changed files. With files that do not fit together, as
// when the key was replaced and the certificate not yet, the old set stays. c.reading is held.
func (c *certificates) refresh(now time.Time) {
	seen, err := c.files.look()
	changed := err != nil || seen != c.stamp
	if !changed && c.failed == nil {
		return
	}
	var good *keySet
	if err == nil {
		good, err = c.files.read()
	}
	if err == nil && good.leaf.NotAfter.Before(now) && c.good.leaf.NotAfter.After(now) {
		err = fmt.Errorf("the new certificate in %s has ended on %s", c.files.CertFile, good.leaf.NotAfter.Format(time.DateOnly))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stamp = seen
	if err != nil {
		if changed && c.failed == nil {
			c.log.Warn("The changed certificate can't be used, the one before stays", "err", err)
		}
		c.failed = err
		return
	}
	c.good, c.failed, c.warned = good, nil, time.Time{}
	c.log.Info("Certificate read again", "file", c.files.CertFile, "ends", good.leaf.NotAfter.Format(time.DateOnly))
}
