package addon

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/listen"
	"hearthmq/broker/topic"
)

// address is a setting that names a TCP port to listen on.
type address struct {
	key   string
	value *string
	// partner may have the very same address: one port then serves both.
	partner string
}

func (o *Options) addresses() []address {
	return []address{
		{"mqtt_address", &o.MQTTAddress, "ws_address"},
		{"ws_address", &o.WSAddress, "mqtt_address"},
		{"mqtts_address", &o.MQTTSAddress, "wss_address"},
		{"wss_address", &o.WSSAddress, "mqtts_address"},
		{"web_address", &o.WebAddress, ""},
		{"ingress_address", &o.IngressAddress, ""},
	}
}

// normalise writes a bare port as an address.
func (o *Options) normalise() {
	for _, a := range o.addresses() {
		*a.value = strings.TrimSpace(*a.value)
		if _, err := strconv.ParseUint(*a.value, 10, 16); err == nil {
			*a.value = ":" + *a.value
		}
	}
}

// Validate returns all that is wrong, as Problems, or nil. Logins are looked at by
// package access, which leaves out one that can't be used and says so: the house
// goes on without it.
func (o *Options) Validate() error { return o.problems().err() }

func (o *Options) problems() Problems {
	var p Problems
	o.checkChoices(&p)
	o.checkRanges(&p)
	o.checkAddresses(&p)
	if problem := access.ValidName(o.HomeAssistantRole); problem != "" {
		p.add("home_assistant_role", "must be the name of a role, or "+NoRole+": "+problem)
	}
	o.checkCertificates(&p)
	o.checkListenerLimits(&p)
	for _, l := range o.AnonymousListeners {
		if !slices.Contains(access.ListenerNames, l) {
			p.add("anonymous_listeners", fmt.Sprintf("must be listeners, %s, not %q", strings.Join(access.ListenerNames, ", "), l))
		}
	}
	if o.JWTKeys != "" && o.JWTUserClaim == "" {
		p.add("jwt_user_claim", "must be the name of a claim such as sub")
	}
	for _, n := range o.TrustedProxies {
		if n.Bits() == 0 { // then any client could be whoever it likes
			p.add("trusted_proxies", fmt.Sprintf("%s would believe everybody: name the proxies alone, such as \"192.168.1.2\"", n))
		}
	}
	for _, origin := range o.WSOrigins {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || strings.Trim(u.Path, "/") != "") {
			p.add("ws_origins", fmt.Sprintf("must be origins such as \"https://panel.example\", not %q", origin))
		}
	}
	return p
}

// checkCertificates checks what is said of client certificates.
func (o *Options) checkCertificates(p *Problems) {
	const needs = "needs cafile, the certificates that clients' certificates are signed with"
	if o.CAFile == "" {
		if o.RequireCertificate {
			p.add("require_certificate", needs)
		}
		if o.CRLFile != "" {
			p.add("crlfile", needs)
		}
		if o.CertificateUser != CertificateUserOff {
			p.add("certificate_user", needs)
		}
		if len(o.CertificateUsers) > 0 {
			p.add("certificate_users", needs)
		}
	}
	for _, c := range o.CertificateUsers {
		switch {
		case c.Certificate == "":
			p.add("certificate_users", "every entry needs a certificate: its fingerprint, Common Name or alternative name")
		case access.ValidName(c.Username) != "":
			p.add("certificate_users", fmt.Sprintf("username %q: %s", c.Username, access.ValidName(c.Username)))
		}
	}
}

func (o *Options) checkChoices(p *Problems) {
	for _, c := range []struct {
		key, value string
		choices    []string
	}{
		{"anonymous", o.Anonymous, []string{access.AnonymousOff, access.AnonymousRestricted, access.AnonymousFull}},
		{"durability", o.Durability, []string{string(broker.Durable), string(broker.Balanced), string(broker.SDSaver), string(broker.Memory)}},
		{"queue_full", o.QueueFull, []string{string(broker.DropOldest), string(broker.DropNewest), string(broker.DisconnectSlow)}},
		{"certificate_user", o.CertificateUser, []string{CertificateUserOff, listen.NamesCN, listen.NamesSAN, listen.NamesSubject}},
		{"log_level", o.LogLevel, []string{"trace", "debug", "info", "warning", "error"}},
	} {
		if !slices.Contains(c.choices, c.value) {
			p.add(c.key, fmt.Sprintf("must be one of %s, not %q", strings.Join(c.choices, ", "), c.value))
		}
	}
}

func (o *Options) checkRanges(p *Problems) {
	const gigabyte = 1 << 30
	for _, r := range []bounds{
		number("max_connections", o.MaxConnections, true, 1, 1_000_000),
		number("max_connections_per_address", o.MaxConnectionsPerAddress, true, 1, 1_000_000),
		number("max_message_rate", o.MaxMessageRate, true, 1, 100_000_000),
		size("max_byte_rate", o.MaxByteRate, true, 1, 1024*gigabyte),
		number("max_message_rate_per_address", o.MaxMessageRatePerAddress, true, 1, 100_000_000),
		size("max_byte_rate_per_address", o.MaxByteRatePerAddress, true, 1, 1024*gigabyte),
		size("max_packet_size", o.MaxPacketSize, false, 256, 268_435_460), // the most that MQTT can say
		number("max_inflight", o.MaxInflight, false, 1, math.MaxUint16),
		number("max_queued_messages", o.MaxQueuedMessages, false, 1, 100_000_000),
		size("max_queued_bytes", o.MaxQueuedBytes, false, 1024, 64*gigabyte),
		number("max_subscriptions", o.MaxSubscriptions, false, 1, 1_000_000),
		number("max_topic_levels", o.MaxTopicLevels, false, 1, topic.MaxLevels),
		duration("max_keepalive", o.MaxKeepAlive, seconds(1), seconds(math.MaxUint16)),
		duration("session_expiry_max", o.SessionExpiryMax, seconds(1), seconds(math.MaxUint32)),
		number("retained_max_messages", o.RetainedMaxMessages, true, 1, 1_000_000_000),
		size("retained_max_bytes", o.RetainedMaxBytes, true, 1024, 1024*gigabyte),
		size("memory_limit", o.MemoryLimit, true, 32<<20, 1024*gigabyte),
	} {
		if text := r.problem(); text != "" {
			p.add(r.key, text)
		}
	}
	if o.MaxKeepAlive%seconds(1) != 0 {
		p.add("max_keepalive", "must be whole seconds")
	}
}

// bounds are the values that a setting may have.
type bounds struct {
	key                 string
	value               int64
	zero                bool // 0 is allowed and means something of its own
	least, most         int64
	leastText, mostText string
}

// problem says what is wrong with the value, "" for nothing.
func (r bounds) problem() string {
	if r.value >= r.least && r.value <= r.most || r.zero && r.value == 0 {
		return ""
	}
	zero := ""
	if r.zero {
		zero = "0 or "
	}
	return fmt.Sprintf("must be %sbetween %s and %s", zero, r.leastText, r.mostText)
}

func number(key string, v int, zero bool, least, most int64) bounds {
	return bounds{key, int64(v), zero, least, most, strconv.FormatInt(least, 10), strconv.FormatInt(most, 10)}
}

func size(key string, v Size, zero bool, least, most Size) bounds {
	return bounds{key, int64(v), zero, int64(least), int64(most), least.String(), most.String()}
}

func duration(key string, v, least, most Duration) bounds {
	return bounds{key, int64(v), true, int64(least), int64(most), least.String(), fmt.Sprintf("%d (seconds)", most/Duration(time.Second))}
}

func (o *Options) checkAddresses(p *Problems) {
	all := o.addresses()
	for i, a := range all {
		if *a.value == "" {
			continue
		}
		if !validAddress(*a.value) {
			p.add(a.key, fmt.Sprintf("must be a port such as 1883, or an address with one such as \":1883\" or \"192.168.1.2:1883\", not %q", *a.value))
			continue
		}
		for _, b := range all[:i] {
			if *b.value == "" || !validAddress(*b.value) || !overlap(*a.value, *b.value) {
				continue
			}
			_, port, _ := net.SplitHostPort(*a.value)
			switch {
			case a.partner != b.key:
				p.add(a.key, fmt.Sprintf("port %s is taken by %s already", port, b.key))
			case *a.value != *b.value:
				p.add(a.key, fmt.Sprintf("port %s is that of %s too: write the same address in both to serve both there", port, b.key))
			}
		}
	}
	if o.MQTTAddress == "" && o.WSAddress == "" && o.MQTTSAddress == "" && o.WSSAddress == "" && o.UnixSocket == "" {
		p.add("mqtt_address", "no client could connect: every address is off")
	}
}

func validAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, " /") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// overlap reports whether two addresses can't be listened on both.
func overlap(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	if portA != portB || portA == "0" {
		return false
	}
	return everywhere(hostA) || everywhere(hostB) || strings.EqualFold(local(hostA), local(hostB))
}

func everywhere(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

func local(host string) string {
	if strings.EqualFold(host, "localhost") {
		return "127.0.0.1"
	}
	return host
}
