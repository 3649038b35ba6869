package listen

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"time"
)

// held are the connections that were let in by a client certificate. They are looked at
// again whenever the files may have changed: who was revoked, or whose certificate
// ended, does not stay. Safe for concurrent use.
type held struct {
	mu    sync.Mutex
	conns map[*encrypted]struct{}
}

// add notes a connection whose handshake has been made.
func (h *held) add(c *encrypted) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns == nil {
		h.conns = make(map[*encrypted]struct{})
	}
	h.conns[c] = struct{}{}
}

func (h *held) remove(c *encrypted) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// all returns those that are open now.
func (h *held) all() []*encrypted {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*encrypted, 0, len(h.conns))
	for c := range h.conns {
		list = append(list, c)
	}
	return list
}

// review ends the connections whose certificate set does not trust at that time. The
// whole way up to an authority counts where anew is set, else the certificate's end alone.
func (h *held) review(set *keySet, anew bool, now time.Time) {
	for _, c := range h.all() {
		state := c.ConnectionState()
		if !anew && now.Before(state.PeerCertificates[0].NotAfter) {
			continue
		}
		if err := set.trusts(state, now); err != nil {
			c.expel(err)
		}
	}
}

// trusts tells what keeps a client that was let in once from being let in now.
func (k *keySet) trusts(state tls.ConnectionState, now time.Time) error {
	if k.anyDate {
		return k.config.VerifyConnection(state)
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	chains, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: k.config.ClientCAs, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	if state.VerifiedChains = chains; k.config.VerifyConnection != nil {
		return k.config.VerifyConnection(state)
	}
	return nil
}
