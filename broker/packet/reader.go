package packet

import (
	"errors"
	"io"
)

const (
	readerStart = 1 << 10  // first buffer
	readerKeep  = 64 << 10 // an empty buffer above this is not kept
)

// Reader reads packets from a stream, for clients and tests; the broker reads
// its sockets by other means and calls Split. It is not safe for concurrent use.
type Reader struct {
	r     io.Reader
	max   uint32
	buf   []byte // all the space there is
	start int    // buf[start:end] is read and not yet handed out
	end   int
}

// NewReader returns a Reader for packets of at most max bytes, 0 for MaxSize.
func NewReader(r io.Reader, max uint32) *Reader { return &Reader{r: r, max: max} }

// Limit bounds the packets from now on to max bytes, 0 for MaxSize.
func (r *Reader) Limit(max uint32) { r.max = max }

// ReadFrame returns the next packet. The frame is valid until the next call.
//
// The buffer at most doubles each time it is full of received bytes, so an
// announced length costs nothing until the bytes are there (cases P1, P2).
// The stream's end is io.EOF between packets and io.ErrUnexpectedEOF within
// one; protocol violations are *Error; other errors are the stream's own. After
// an error of the stream, such as a passed deadline, reading may go on.
func (r *Reader) ReadFrame() (Frame, error) {
	for empty := 0; ; {
		f, n, need, err := Split(r.buf[r.start:r.end], r.max)
		if err != nil {
			return Frame{}, err
		}
		if n > 0 {
			r.start += n
			return f, nil
		}
		r.makeRoom(need)
		n, err = r.r.Read(r.buf[r.end:])
		r.end += n
		switch {
		case n > 0: // an error that came along comes again
			empty = 0
		case errors.Is(err, io.EOF) && r.end > r.start:
			return Frame{}, io.ErrUnexpectedEOF
		case err != nil:
			return Frame{}, err
		default:
			if empty++; empty == 100 {
				return Frame{}, io.ErrNoProgress
			}
		}
	}
}

// Ready reports whether ReadFrame would return without reading from the stream.
func (r *Reader) Ready() bool {
	_, n, _, err := Split(r.buf[r.start:r.end], r.max)
	return n > 0 || err != nil
}

// makeRoom leaves at least one free byte at the end of the buffer. need is the
// whole packet's size if known; the buffer does not grow past it.
func (r *Reader) makeRoom(need int) {
	have := r.end - r.start
	if have == 0 && len(r.buf) > readerKeep {
		r.buf, r.start, r.end = nil, 0, 0
	}
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, have
	}
	if have < len(r.buf) {
		return
	}
	size := max(readerStart, 2*len(r.buf))
	if need > have {
		size = max(readerStart, min(size, need))
	}
	buf := make([]byte, size)
	copy(buf, r.buf[:have])
	r.buf = buf
}
