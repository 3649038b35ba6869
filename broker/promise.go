package broker

import "sync/atomic"

// promise is what a QoS 1 acknowledgement stands for when it needs nothing but
// that stored deliveries are safe: it may leave once they are on disk, or once
// every receiver has acknowledged, whichever comes first. A message that
// everybody took at once never touches the disk.
type promise struct {
	c    *conn        // the publisher's
	left atomic.Int32 // receivers that have not acknowledged, plus one while it is being made
}

// fulfilled reports whether every receiver has acknowledged.
func (p *promise) fulfilled() bool { return p.left.Load() == 0 }

// taken notes that one receiver has acknowledged.
func (p *promise) taken(bt *batch) {
	if p.left.Add(-1) == 0 {
		p.c.releaseAcks(bt)
	}
}
