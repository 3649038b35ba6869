//go:build !unix

package broker

import (
	"errors"
	"net"
)

// rawSocket exists on Unix systems only; elsewhere the ordinary way is taken.
type rawSocket struct{}

// socket is none here.
type socket struct{ rc any }

func socketOf(net.Conn) (s socket, before []byte) { return socket{}, nil }

func (socket) wait() error { return errors.ErrUnsupported }

func newRawSocket(socket) *rawSocket { return nil }

func (*rawSocket) read([]byte) (*readBuffer, error) { return nil, errors.ErrUnsupported }

func (*rawSocket) pending() bool { return false }

func (*rawSocket) write([]byte) (int, error) { return 0, errors.ErrUnsupported }
