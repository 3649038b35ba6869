package mosquitto

import (
	"net/netip"

	"hearthmq/broker/listen"
)

// tls are the files of an encrypted listener, nil for one that is not.
func (r *setupReader) tls(l *Listener) *listen.TLS {
	t := &l.TLS
	if t.CertFile == "" {
		return nil
	}
	out := &listen.TLS{CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile, RequireCertificate: t.RequireCertificate}
	return out
}

// proxy sets up the PROXY protocol. Mosquitto believes everybody who can reach the port.
func (r *setupReader) proxy(l *Listener, cfg *listen.Config) {
	if l.Proxy == 0 {
		return
	}
	cfg.Proxies = everywhere
}

// everywhere is every network.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
