//go:build !unix

package listen

import "net"

// calm is a socket that is used the ordinary way: elsewhere it can't be waited for.
type calm struct{ net.Conn }

func newCalm(c net.Conn) *calm { return &calm{c} }

func (*calm) wait() error { return nil }

func (*calm) readAtOnce() {}
