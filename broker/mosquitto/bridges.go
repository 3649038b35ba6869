package mosquitto

import (
	"fmt"
	"strings"
	"time"

	"hearthmq/broker/bridge"
)

// BridgeSettings returns the bridges of the file as HearthMQ runs them. hostname is
// part of the Client Identifiers that Mosquitto gives where the file names none.
// Errors name file and line; what can't be had of a directive was told when the file
// was read.
func (c *Conf) BridgeSettings(hostname string) ([]bridge.Settings, error) {
	var list []bridge.Settings
	names := map[string]bool{}
	for i := range c.Bridges {
		b := &c.Bridges[i]
		s := b.settings(hostname)
		for n := 2; names[s.Name]; n++ {
			s.Name = fmt.Sprintf("%s-%d", strings.TrimSuffix(s.Name, fmt.Sprintf("-%d", n-1)), n)
		}
		names[s.Name] = true
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("%s:%d: bridge %s: %w", b.File, b.Line, quote(b.Name), err)
		}
		list = append(list, s)
	}
	return list, nil
}

func (b *Bridge) settings(hostname string) bridge.Settings {
	s := bridge.Settings{
		Name: plainName(b.Name), Addresses: b.Addresses, Rotate: b.RoundRobin, Version: b.Version,
		ClientID: b.RemoteClientID, Username: b.RemoteUsername, Password: b.RemotePassword, LocalID: b.LocalClientID, User: b.LocalUsername,
		Clean: b.CleanSession, LocalClean: b.CleanSession, LikeMosquitto: true, SessionExpiry: b.SessionExpiry, KeepAlive: time.Duration(b.KeepAlive) * time.Second,
		MaxPacket: uint32(max(b.MaxPacketSize, 0)), MaxInflight: uint16(b.ReceiveMaximum), BindAddress: b.BindAddress,
		TLS: bridge.TLS{
			On:     b.TLS.CAFile != "" || b.TLS.CAPath != "" || b.TLS.CertFile != "" || b.TLSUseOS,
			CAFile: b.TLS.CAFile, CAPath: b.TLS.CAPath, CertFile: b.TLS.CertFile, KeyFile: b.TLS.KeyFile,
			AnyName: b.TLSInsecure, OSRoots: b.TLSUseOS, ALPN: b.ALPN,
		},
		Start: bridge.Start(b.StartType), Threshold: b.Threshold, IdleTimeout: b.IdleTimeout,
		RestartMin: b.RestartBase, RestartMax: b.RestartCap, RestartStable: b.RestartStable,
		DropRetain: !b.OutgoingRetain, Private: b.TryPrivate, KeepFilters: !b.AttemptUnsubscribe,
		TopicAliases: uint16(b.MaxTopicAlias), LazyReload: !b.ReloadImmediate,
		Notify: b.Notifications, NotifyLocal: b.NotificationsLocal, NotifyTopic: b.NotificationTopic,
	}
	if strings.HasSuffix(b.TLS.Version, "1.3") {
		s.TLS.Minimum = "1.3"
	}
	if s.ClientID == "" {
		s.ClientID = hostname + "." + b.Name
	}
	if b.LocalCleanSession != nil {
		s.LocalClean = *b.LocalCleanSession
	}
	for _, t := range b.Topics {
		s.Topics = append(s.Topics, bridge.Topic{Pattern: t.Pattern, In: t.In, Out: t.Out, QoS: t.QoS, Local: t.Local, Remote: t.Remote})
	}
	return s
}

// plainName makes a bridge's name of letters, digits, dots, hyphens and underscores.
func plainName(name string) string {
	plain := []byte(name)
	for i, c := range plain {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || i > 0 && (c == '.' || c == '-' || c == '_')) {
			plain[i] = 'x'
			if i > 0 {
				plain[i] = '-'
			}
		}
	}
	return string(plain[:min(len(plain), 60)])
}
