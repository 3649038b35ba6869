package main

import (
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
		Setting: p.Setting, Name: p.Info.Name, Network: p.Network, Address: p.Address, WebSocket: p.WebSocket, Origins: p.Origins, Log: log,
	}
	if t := &p.TLS; t.On() {
		c.TLS = &listen.TLS{CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile, RequireCertificate: t.RequireCertificate}
	}
	if p.Proxy > 0 {
		c.Proxies = everywhere
	}
	return c
}
