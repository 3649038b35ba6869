//go:build !unix

package broker

import (
	"errors"
	"net"
)

// rawSocket exists on Unix systems only; elsewhere the ordinary way is taken.
type rawSocket struct{}

func newRawSocket(net.Conn) *rawSocket { return nil }

func (*rawSocket) read([]byte) (*readBuffer, error) { return nil, errors.ErrUnsupported }

func (*rawSocket) pending() bool { return false }

func (*rawSocket) write([]byte) (int, error) { return 0, errors.ErrUnsupported }
