package bridge

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker/packet"
)

// writeTimeout is how long a side may refuse to take what is sent to it.
const writeTimeout = 20 * time.Second

// leaveTimeout bounds the goodbye.
const leaveTimeout = time.Second

// replyTimeout bounds the wait for CONNACK.
const replyTimeout = 20 * time.Second

// helloMost bounds the packets of the other side until it has said who it is: 256 MB would
// be taken otherwise.
const helloMost = 1 << 20

// link is a connection as a client to one of the two brokers. One goroutine reads;
// any may write.
type link struct {
	nc      net.Conn
	rd      *packet.Reader
	version packet.Version
	most    uint32          // largest packet that the other end takes, 0: no bound
	parted  <-chan struct{} // closed once this broker has let go of its end; nil: it is another broker's

	wrote, read moment // of the last packets

	mu  sync.Mutex
	out []byte // not written yet
}

// moment is when something was last, on the clock that nobody sets (case R12). One
// goroutine starts it before others use it.
type moment struct {
	begun time.Time
	after atomic.Int64 // nanoseconds
}

func (m *moment) start() {
	m.begun = time.Now()
	m.after.Store(0)
}

func (m *moment) pass() { m.after.Store(int64(time.Since(m.begun))) }

func (m *moment) time() time.Time { return m.begun.Add(time.Duration(m.after.Load())) }

func newLink(nc net.Conn, v packet.Version, limit uint32) *link {
	l := &link{nc: nc, rd: packet.NewReader(nc, limit), version: v}
	l.wrote.start()
	l.read.start()
	return l
}

// put adds a packet to what the next flush writes.
func (l *link) put(p packet.Packet) {
	l.mu.Lock()
	l.out = p.Append(l.out, l.version)
	l.mu.Unlock()
}

// flush writes what was put.
func (l *link) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.out) == 0 {
		return nil
	}
	if err := l.nc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := l.nc.Write(l.out); err != nil {
		return err
	}
	l.wrote.pass()
	if l.out = l.out[:0]; cap(l.out) > 256<<10 {
		l.out = nil
	}
	return nil
}

// next returns the next packet; the frame is valid until the next call.
func (l *link) next() (packet.Frame, error) {
	f, err := l.rd.ReadFrame()
	if err == nil {
		l.read.pass()
	}
	return f, err
}

// errOlder says that the other end does not know MQTT 5.
var errOlder = errors.New("it does not know MQTT 5")

// refusedError is a CONNACK that says no.
type refusedError struct{ code packet.ReasonCode }

func (e *refusedError) Error() string { return "refused: " + e.code.String() }

// connect sends CONNECT and waits for CONNACK.
func (l *link) connect(p *packet.Connect) (*packet.Connack, error) {
	p.Version = l.version
	l.put(p)
	if err := l.flush(); err != nil {
		return nil, err
	}
	if err := l.nc.SetReadDeadline(time.Now().Add(replyTimeout)); err != nil {
		return nil, err
	}
	f, err := l.next()
	if err != nil {
		return nil, fmt.Errorf("no answer to CONNECT: %w", err)
	}
	if l.version == packet.V50 && f.Type() == packet.TypeConnack && len(f.Body) == 2 && f.Body[1] == 1 {
		return nil, errOlder // the form and the code of a broker that knows MQTT 3.1.1 alone
	}
	ack := new(packet.Connack)
	if err := ack.Decode(l.version, f); err != nil {
		return nil, fmt.Errorf("answer to CONNECT: %w", err)
	}
	if ack.Code != packet.Success {
		return nil, &refusedError{ack.Code}
	}
	if ack.Properties.Has(packet.PropMaximumPacketSize) {
		l.most = ack.Properties.MaximumPacketSize
	}
	return ack, l.nc.SetReadDeadline(time.Time{})
}

// leave says goodbye, as far as the other end still listens, and closes. Where that is this
// broker it has let go of the connection afterwards: what is published from now on waits in
// the session (HoldQoS0), and does not go to a connection about to end.
func (l *link) leave() error {
	late := make(chan struct{})
	enough := time.AfterFunc(leaveTimeout, func() {
		l.nc.Close()
		close(late)
	})
	defer enough.Stop()
	l.put(new(packet.Disconnect))
	err := errors.Join(l.flush(), l.nc.Close())
	if l.parted != nil {
		select {
		case <-l.parted:
		case <-late:
		}
	}
	return err
}

// localError is what went wrong on this side.
type localError struct{ err error }

func (e *localError) Error() string { return "this broker: " + e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

func inside(err error) error { return &localError{err} }
