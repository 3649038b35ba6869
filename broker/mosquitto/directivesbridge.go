package mosquitto

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

func addBridgeDirectives(t map[string]directive) {
	b := (*confReader).b
	t["connection"] = directive{set: (*confReader).newBridge}
	t["address"] = directive{scope: ofBridge, set: (*confReader).bridgeAddresses}
	t["addresses"] = t["address"]
	t["topic"] = directive{scope: ofBridge, set: (*confReader).bridgeTopic}
	for k, at := range map[string]func(*confReader) *string{
		"remote_clientid":     func(r *confReader) *string { return &b(r).RemoteClientID },
		"remote_username":     func(r *confReader) *string { return &b(r).RemoteUsername },
		"remote_password":     func(r *confReader) *string { return &b(r).RemotePassword },
		"local_clientid":      func(r *confReader) *string { return &b(r).LocalClientID },
		"local_username":      func(r *confReader) *string { return &b(r).LocalUsername },
		"local_password":      func(r *confReader) *string { return &b(r).LocalPassword },
		"notification_topic":  func(r *confReader) *string { return &b(r).NotificationTopic },
		"bridge_bind_address": func(r *confReader) *string { return &b(r).BindAddress },
		"bridge_cafile":       func(r *confReader) *string { return &b(r).TLS.CAFile },
		"bridge_capath":       func(r *confReader) *string { return &b(r).TLS.CAPath },
		"bridge_certfile":     func(r *confReader) *string { return &b(r).TLS.CertFile },
		"bridge_keyfile":      func(r *confReader) *string { return &b(r).TLS.KeyFile },
		"bridge_tls_version":  func(r *confReader) *string { return &b(r).TLS.Version },
		"bridge_alpn":         func(r *confReader) *string { return &b(r).ALPN },
	} {
		t[k] = words(ofBridge, at)
	}
	t["clientid"], t["username"], t["password"] = t["remote_clientid"], t["remote_username"], t["remote_password"]
	for k, at := range map[string]func(*confReader) *bool{
		"round_robin":                func(r *confReader) *bool { return &b(r).RoundRobin },
		"cleansession":               func(r *confReader) *bool { return &b(r).CleanSession },
		"try_private":                func(r *confReader) *bool { return &b(r).TryPrivate },
		"notifications":              func(r *confReader) *bool { return &b(r).Notifications },
		"notifications_local_only":   func(r *confReader) *bool { return &b(r).NotificationsLocal },
		"bridge_attempt_unsubscribe": func(r *confReader) *bool { return &b(r).AttemptUnsubscribe },
		"bridge_outgoing_retain":     func(r *confReader) *bool { return &b(r).OutgoingRetain },
		"bridge_insecure":            func(r *confReader) *bool { return &b(r).TLSInsecure },
		"bridge_tls_use_os_certs":    func(r *confReader) *bool { return &b(r).TLSUseOS },
		"local_cleansession": func(r *confReader) *bool {
			if b(r).LocalCleanSession == nil {
				b(r).LocalCleanSession = new(bool)
			}
			return b(r).LocalCleanSession
		},
	} {
		t[k] = flag(ofBridge, at)
	}
	for k, at := range map[string]func(*confReader) *int{
		"bridge_max_packet_size": func(r *confReader) *int { return &b(r).MaxPacketSize },
	} {
		t[k] = bounded(ofBridge, 0, at)
	}
	t["threshold"] = number(ofBridge, math.MinInt32, math.MaxInt32, func(r *confReader) *int { return &b(r).Threshold })
	t["bridge_max_topic_alias"] = number(ofBridge, 0, math.MaxUint16, func(r *confReader) *int { return &b(r).MaxTopicAlias })
	t["bridge_receive_maximum"] = number(ofBridge, 1, math.MaxUint16, func(r *confReader) *int { return &b(r).ReceiveMaximum })
	t["bridge_session_expiry_interval"] = directive{scope: ofBridge, set: func(r *confReader, rest string) error {
		v, err := strconv.ParseUint(strings.TrimSpace(rest), 0, 32)
		b(r).SessionExpiry = uint32(v)
		return err
	}}
	addBridgeValues(t)
}

// addBridgeValues adds the directives with values of their own.
func addBridgeValues(t map[string]directive) {
	b := (*confReader).b
	t["idle_timeout"] = directive{scope: ofBridge, set: func(r *confReader, rest string) error {
		v, err := integer(rest, math.MinInt32, math.MaxInt32)
		b(r).IdleTimeout = time.Duration(max(v, 1)) * time.Second
		return err
	}}
	t["keepalive_interval"] = directive{scope: ofBridge, set: func(r *confReader, rest string) error {
		v, err := integer(rest, math.MinInt32, math.MaxUint16)
		b(r).KeepAlive = uint16(max(v, 5))
		return err
	}}
	t["restart_timeout"] = directive{scope: ofBridge, set: (*confReader).bridgeRestart}
	t["start_type"] = directive{scope: ofBridge, set: func(r *confReader, rest string) (err error) {
		b(r).StartType, err = oneOf(rest, "automatic", "lazy", "once")
		return err
	}}
	t["bridge_protocol_version"] = directive{scope: ofBridge, set: func(r *confReader, rest string) error {
		v, err := oneOf(rest, "mqttv31", "mqttv311", "mqttv50")
		if err == nil {
			b(r).Version = map[string]packet.Version{"mqttv31": packet.V31, "mqttv311": packet.V311, "mqttv50": packet.V50}[v]
		}
		return err
	}}
	t["bridge_reload_type"] = directive{scope: ofBridge, set: func(r *confReader, rest string) error {
		v, err := oneOf(rest, "lazy", "immediate")
		b(r).ReloadImmediate = v == "immediate"
		return err
	}}
	const watched = "HearthMQ notices a dead link by keepalive_interval and by writes that nobody takes"
	t["bridge_tcp_keepalive"] = directive{scope: ofBridge, level: Harmless, note: watched, set: func(r *confReader, rest string) error {
		for i := range b(r).TCPKeepAlive {
			v, err := integer(rest, 1, math.MaxInt32)
			if err != nil {
				return err
			}
			b(r).TCPKeepAlive[i] = v
			_, rest = word(rest)
		}
		return nil
	}}
	t["bridge_tcp_user_timeout"] = bounded(ofBridge, 0, func(r *confReader) *int { return &b(r).TCPUserTimeout }).noted(Harmless, watched)
	t["bridge_require_ocsp"] = directive{scope: ofBridge, set: func(r *confReader, rest string) error {
		v, err := boolean(rest)
		if b(r).OCSP = v; v {
			r.tell(Unsafe, "bridge_require_ocsp", "HearthMQ does not ask whether a certificate was revoked")
		}
		return err
	}}
	const psk = "HearthMQ has no encryption with pre-shared keys"
	t["bridge_identity"] = words(ofBridge, func(r *confReader) *string { return &b(r).Identity }).noted(Unsafe, psk)
	t["bridge_psk"] = directive{scope: ofBridge, level: Unsafe, note: psk, set: func(r *confReader, rest string) error {
		_, err := text(rest) // the key itself is not kept
		b(r).hasPSK = true
		return err
	}}
	for _, k := range []string{"bridge_ciphers", "bridge_ciphers_tls1.3"} {
		t[k] = words(ofBridge, func(*confReader) *string { return new(string) }).
			noted(Harmless, "HearthMQ uses the ciphers that are held to be safe, and no others")
	}
}

func (r *confReader) newBridge(rest string) error {
	name, _ := word(rest)
	switch {
	case name == "":
		return errEmpty
	case r.bridges[name]:
		return fmt.Errorf("there is a bridge %s already", quote(name))
	case len(r.conf.Bridges) == maxListeners:
		return fmt.Errorf("there are more than %d bridges", maxListeners)
	}
	r.bridges[name] = true
	r.conf.Bridges = append(r.conf.Bridges, defaultBridge(name, r.file, r.line))
	r.bridge = len(r.conf.Bridges) - 1
	return nil
}

func (r *confReader) bridgeAddresses(rest string) error {
	if len(r.b().Addresses) > 0 {
		return errors.New("the bridge has its addresses already")
	}
	var list []string
	for first, more := word(rest); first != "" && first[0] != '#'; first, more = word(more) {
		host, port := first, "1883"
		if i := strings.LastIndexByte(first, ':'); i >= 0 {
			host, port = first[:i], first[i+1:]
			if _, err := integer(port, 1, math.MaxUint16); err != nil {
				return fmt.Errorf("%s: %w", quote(first), err)
			}
		}
		list = append(list, net.JoinHostPort(strings.Trim(host, "[]"), port))
	}
	if len(list) == 0 {
		return errEmpty
	}
	r.b().Addresses = list
	return nil
}

// bridgeTopic reads: pattern [in|out|both [qos [local [remote]]]].
func (r *confReader) bridgeTopic(rest string) error {
	t := BridgeTopic{Out: true}
	pattern, rest := word(rest)
	if pattern == "" {
		return errEmpty
	}
	if strings.HasPrefix(pattern, `"`) && pattern != `""` {
		// Quotes are for patterns with spaces.
		whole := strings.TrimPrefix(pattern, `"`) + " " + rest
		inside, more, ok := strings.Cut(whole, `"`)
		if !ok {
			return errors.New("the quotes don't close")
		}
		pattern, rest = inside, more
		if strings.HasSuffix(whole, `" `) && more == " " {
			rest = ""
		}
	}
	if t.Pattern = pattern; pattern == `""` {
		t.Pattern = ""
	}
	direction, rest := word(rest)
	if direction != "" {
		if direction = strings.ToLower(direction); direction != "in" && direction != "out" && direction != "both" {
			return fmt.Errorf("%s is not in, out or both", quote(direction))
		}
		t.In, t.Out = direction != "out", direction != "in"
	}
	qos, rest := word(rest)
	if qos != "" && qos[0] != '#' {
		v, err := strconv.Atoi(qos)
		if err != nil || v < 0 || v > 2 {
			return fmt.Errorf("%s is not a QoS", quote(qos))
		}
		t.QoS = byte(v)
		local, rest := word(rest)
		remote, _ := word(rest)
		if local != `""` && !strings.HasPrefix(local, "#") {
			t.Local = local
		}
		if remote != `""` && !strings.HasPrefix(remote, "#") && !strings.HasPrefix(local, "#") {
			t.Remote = remote
		}
	}
	if t.Pattern == "" && (t.Local == "" || t.Remote == "") {
		return errors.New("a topic without a pattern needs both prefixes")
	}
	for _, whole := range []string{t.Local + t.Pattern, t.Remote + t.Pattern} {
		if err := topic.ValidFilter(whole); err != nil {
			return fmt.Errorf("%s: %w", quote(whole), err)
		}
	}
	r.b().Topics = append(r.b().Topics, t)
	return nil
}

// bridgeRestart reads: base [cap [stable]], in seconds.
func (r *confReader) bridgeRestart(rest string) error {
	b := r.b()
	base, err := integer(rest, math.MinInt32, math.MaxInt32)
	if err != nil {
		return err
	}
	b.RestartBase, b.RestartCap = time.Duration(min(max(base, 1), 3600))*time.Second, 0
	_, rest = word(rest)
	if first, _ := word(rest); first == "" {
		return nil
	}
	most, err := integer(rest, math.MinInt32, math.MaxInt32)
	if err != nil {
		return err
	}
	if b.RestartCap = time.Duration(min(most, 7200)) * time.Second; b.RestartCap < b.RestartBase {
		return errors.New("the longest time is shorter than the shortest")
	}
	_, rest = word(rest)
	if first, _ := word(rest); first == "" {
		return nil
	}
	stable, err := integer(rest, 0, math.MaxInt32)
	b.RestartStable = time.Duration(stable) * time.Second
	return err
}
