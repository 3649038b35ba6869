package broker

import "sync"

const (
	// readSize is how much one read takes at the most, unless a larger packet is under way.
	readSize = 64 << 10
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

var readPool = sync.Pool{New: func() any { return &readBuffer{b: make([]byte, readSize), pooled: true} }}

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

func (r *readBuffer) release() {
	if r.pooled {
		r.n = 0
		readPool.Put(r)
	}
}

// outBuffer is an outbound buffer of the small size, pooled.
type outBuffer struct{ b []byte }

// bigPool holds outbound buffers of up to keepBuffer that no connection keeps.
var bigPool sync.Pool

var outPool = sync.Pool{New: func() any { return &outBuffer{b: make([]byte, 0, smallBuffer)} }}
