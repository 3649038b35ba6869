package listen

import (
	"crypto/tls"
	"io"
	"testing"
)

// case R15: clients that begin a handshake and say no more take nobody's turn.
func TestSlowHandshakesHoldNobodyUp(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	ln := listen(t, Config{Setting: "mqtts_address", Name: "mqtts", TLS: &files})
	const half = "\x16\x03\x01\x00\xf0\x01\x00\x00\xec\x03\x03"
	for range 3*cap(newTurns()) + 3 {
		c := dial(t, ln)
		send(t, c, half)
		s := accept(t, ln)
		defer s.Close()
		go func() { _, _ = s.Read(make([]byte, 1)) }() // ends with s
	}
	c := tls.Client(dial(t, ln), ca.client(t, ""))
	s := accept(t, ln)
	go func() { // ends with s
		_, _ = io.Copy(s, s)
		s.Close()
	}()
	send(t, c, "hello")
	receive(t, c, "hello")
}

// Wait does not wait for what was read of the socket already, and Read then says that
// there is no more.
func TestEncryptedWaits(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files(t)
	ln := listen(t, Config{Setting: "mqtts_address", Name: "mqtts", TLS: &files})
	c := tls.Client(dial(t, ln), ca.client(t, ""))
	s := accept(t, ln)
	done, dry := make(chan error, 1), make(chan struct{}, 100)
	go func() { // ends with s
		w := s.(interface{ Wait() error })
		got := make([]byte, 0, 64)
		for len(got) < 15 {
			if err := w.Wait(); err != nil {
				done <- err
				return
			}
			n, _ := s.Read(got[len(got) : len(got)+1]) // byte by byte: the rest stays where it was decrypted
			if got = got[:len(got)+n]; n == 0 && len(got) == 10 {
				dry <- struct{}{}
			}
		}
		_, err := s.Write(got)
		done <- err
	}()
	send(t, c, "first")
	send(t, c, "other")
	select {
	case <-dry: // it has read all, and found that there was no more
	case err := <-done:
		t.Fatal(err)
	}
	send(t, c, "third")
	receive(t, c, "firstotherthird")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
