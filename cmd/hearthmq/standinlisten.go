package main

import (
	"crypto/tls"
	"log/slog"
	"net/netip"

	"hearthmq/broker/listen"
	mosq "hearthmq/broker/mosquitto"
)

// everywhere is every network: Mosquitto believes the PROXY header of whoever connects.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// listenConfig says how to open a port of a mosquitto.conf.
func listenConfig(p *mosq.Port, log *slog.Logger) listen.Config {
	c := listen.Config{
		Setting: p.Setting, Name: p.Info.Name, Network: p.Network, Address: p.Address, WebSocket: p.WebSocket, Origins: p.Origins, LikeMosquitto: true, Log: log,
	}
	if t := &p.TLS; t.On() {
		c.TLS = &listen.TLS{CertFile: t.CertFile, KeyFile: t.KeyFile, ChainFile: t.CAFile, ChainPath: t.CAPath}
		if t.Version == "tlsv1.3" {
			c.TLS.MinVersion = tls.VersionTLS13
		}
		if t.RequireCertificate { // else Mosquitto asks for none either
			c.TLS.AnyDate = t.IgnoreDates
			c.TLS.RequireCertificate, c.TLS.CAFile, c.TLS.CAPath, c.TLS.CRLFile = true, t.CAFile, t.CAPath, t.CRLFile
		}
		switch {
		case t.IdentityAsUsername:
			c.TLS.Names.From = listen.NamesCN
		case t.SubjectAsUsername:
			c.TLS.Names.From = listen.NamesSubject
		}
	}
	if p.Proxy > 0 {
		c.Proxies, c.ProxyVersion, c.ProxyTLS, c.ProxyNames = everywhere, p.Proxy, p.ProxyRequireTLS, p.TLS.IdentityAsUsername
		c.ProxyCertificate = p.Proxy == 2 && p.TLS.RequireCertificate
	}
	return c
}
