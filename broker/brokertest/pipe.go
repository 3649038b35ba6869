package brokertest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBuffer is how many bytes each direction holds before a writer waits, like
// a socket's buffer.
const pipeBuffer = 256 << 10

// Pipe returns both ends of an in-memory connection. Unlike net.Pipe it has
// buffers, as a socket has: code that expects one does not block on it. Deadlines
// obey the clock of a synctest bubble.
func Pipe() (client, server net.Conn) { return PipeSize(pipeBuffer) }

// PipeSize is Pipe with buffers of size bytes.
func PipeSize(size int) (client, server net.Conn) {
	a, b := newHalf(size), newHalf(size)
	return &pipeEnd{in: a, out: b, local: clientAddr, remote: serverAddr}, &pipeEnd{in: b, out: a, local: serverAddr, remote: clientAddr}
}

// PipeFrom is Pipe with a client at address:port.
func PipeFrom(address string) (client, server net.Conn) {
	client, server = Pipe()
	client.(*pipeEnd).local, server.(*pipeEnd).remote = pipeAddr(address), pipeAddr(address)
	return client, server
}

// Both ends are on this machine, where no limits of addresses hold.
const (
	clientAddr = pipeAddr("127.0.0.1:40000")
	serverAddr = pipeAddr("127.0.0.1:1883")
)

// half is one direction.
type half struct {
	mu       sync.Mutex
	buf      []byte
	size     int
	closed   bool
	readable chan struct{}
	writable chan struct{}
}

func newHalf(size int) *half {
	return &half{size: size, readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (h *half) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	poke(h.readable)
	poke(h.writable)
}

func (h *half) read(b []byte, d *deadline) (int, error) {
	for {
		h.mu.Lock()
		n := copy(b, h.buf)
		h.buf = h.buf[n:]
		closed := h.closed
		h.mu.Unlock()
		if n > 0 {
			poke(h.writable)
			return n, nil
		}
		if closed {
			poke(h.readable) // for whoever reads next
			return 0, io.EOF
		}
		select {
		case <-h.readable:
		case <-d.wait():
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (h *half) write(b []byte, d *deadline) (int, error) {
	total := 0
	for len(b) > 0 {
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			poke(h.writable)
			return total, io.ErrClosedPipe
		}
		n := min(len(b), h.size-len(h.buf))
		h.buf = append(h.buf, b[:n]...)
		h.mu.Unlock()
		b, total = b[n:], total+n
		if n > 0 {
			poke(h.readable)
			continue
		}
		select {
		case <-h.writable:
		case <-d.wait():
			return total, os.ErrDeadlineExceeded
		}
	}
	return total, nil
}

// deadline is a point in time that can be moved while somebody waits for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	c     chan struct{} // closed when it has passed
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	select {
	case <-d.c:
		d.c = make(chan struct{})
	default:
		if d.c == nil {
			d.c = make(chan struct{})
		}
	}
	if t.IsZero() {
		return
	}
	c := d.c
	d.timer = time.AfterFunc(time.Until(t), func() { close(c) })
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.c == nil {
		d.c = make(chan struct{})
	}
	return d.c
}

type pipeEnd struct {
	in, out       *half
	rd, wd        deadline
	local, remote pipeAddr
}

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b, &p.rd) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b, &p.wd) }

func (p *pipeEnd) Close() error {
	p.in.close()
	p.out.close()
	p.rd.set(time.Time{})
	p.wd.set(time.Time{})
	return nil
}

func (p *pipeEnd) LocalAddr() net.Addr  { return p.local }
func (p *pipeEnd) RemoteAddr() net.Addr { return p.remote }

func (p *pipeEnd) SetDeadline(t time.Time) error {
	p.rd.set(t)
	p.wd.set(t)
	return nil
}

func (p *pipeEnd) SetReadDeadline(t time.Time) error  { p.rd.set(t); return nil }
func (p *pipeEnd) SetWriteDeadline(t time.Time) error { p.wd.set(t); return nil }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }
