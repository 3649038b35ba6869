package broker

import (
	"sync"

	"hearthmq/broker/packet"
)

const (
	// readSize is how much one read takes at the most, unless a larger packet is under way.
	readSize = 64 << 10
	// shortRead is as much from transports whose reads wait with their buffer.
	shortRead = 4 << 10
	// smallBuffer is the outbound buffer that a quiet connection gets and gives back at once.
	smallBuffer = 2 << 10
	// keepBuffer is the largest outbound buffer that an active connection keeps
	// once it is drained. Dropping it earlier costs 4.5x throughput.
	keepBuffer = 256 << 10
	// keepAll bounds those of all connections together.
	keepAll = 32 << 20
)

// readBuffer holds what one read brought, behind the unfinished packet of the
// reads before.
type readBuffer struct {
	b      []byte
	n      int // bytes in use
	pooled bool
}

// readPool has buffers for reads that have something to take, shortPool for those that
// may have to wait first.
var (
	readPool  = sync.Pool{New: func() any { return &readBuffer{b: make([]byte, readSize), pooled: true} }}
	shortPool = sync.Pool{New: func() any { return &readBuffer{b: make([]byte, shortRead), pooled: true} }}
)

// takeReadBuffer returns a buffer that begins with carry and has room behind it.
// A large packet's buffer doubles as its bytes arrive: its announced length alone
// allocates nothing.
func takeReadBuffer(carry []byte) *readBuffer {
	if len(carry) <= readSize/2 {
		r := readPool.Get().(*readBuffer)
		r.n = copy(r.b, carry)
		return r
	}
	if cap(carry)-len(carry) >= readSize/2 {
		return &readBuffer{b: carry[:cap(carry)], n: len(carry)}
	}
	r := &readBuffer{b: make([]byte, 2*len(carry)+readSize)}
	r.n = copy(r.b, carry)
	return r
}

func (r *readBuffer) space() []byte { return r.b[r.n:] }

func (r *readBuffer) isShort() bool { return len(r.b) == shortRead }

func (r *readBuffer) release() {
	if !r.pooled {
		return
	}
	r.n = 0
	if r.isShort() {
		shortPool.Put(r)
	} else {
		readPool.Put(r)
	}
}

// outBuffer is an outbound buffer of the small size, pooled.
type outBuffer struct{ b []byte }

// bigPool holds outbound buffers of up to keepBuffer that no connection keeps.
var bigPool sync.Pool

var outPool = sync.Pool{New: func() any { return &outBuffer{b: make([]byte, 0, smallBuffer)} }}

// desk is what a reader needs for the PUBLISH packets of a batch. Quiet connections hold
// none, nor, by what lies on it, the buffer that their last message came in.
type desk struct {
	pub         packet.Publish
	msg         Message // the one under way, shown to observers
	publication publication
}

var deskPool = sync.Pool{New: func() any { return new(desk) }}

func (c *conn) takeDesk() *desk {
	if c.desk == nil {
		c.desk = deskPool.Get().(*desk)
	}
	return c.desk
}

// clearDesk gives the desk back at the end of a batch.
func (c *conn) clearDesk() {
	d := c.desk
	if d == nil {
		return
	}
	c.desk = nil
	enc := d.publication.enc
	enc.reset()
	if cap(enc.v3) > readSize || cap(enc.v5) > readSize {
		enc = encodings{}
	}
	*d = desk{publication: publication{enc: enc}}
	deskPool.Put(d)
}
