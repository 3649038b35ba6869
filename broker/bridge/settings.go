package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// Start says when a bridge connects.
type Start string

const (
	Automatic Start = "automatic" // at once, and again whenever it was lost
	Lazy      Start = "lazy"      // when messages wait, until nothing comes for a while
	Once      Start = "once"      // at once, and not again
)

// Settings are what an owner says of one bridge. Immutable once given to a Manager.
type Settings struct {
	Name      string   `json:"name"`
	Disabled  bool     `json:"disabled,omitempty"`
	Addresses []string `json:"addresses"`             // host:port, the first is the one that is wanted
	Rotate    bool     `json:"round_robin,omitempty"` // no address is better than another
	Topics    []Topic  `json:"topics"`

	Version     packet.Version `json:"version"`              // V31, V311 or V50
	ClientID    string         `json:"client_id"`            // on the other side
	Username    string         `json:"username,omitempty"`   // on the other side
	Password    string         `json:"-"`                    // on the other side
	HasPassword bool           `json:"-"`                    // there is one, which is not told
	Revision    int64          `json:"-"`                    // counts changes, against two people overwriting each other
	LocalID     string         `json:"local_id,omitempty"`   // Client Identifier here, "": made of ClientID
	User        string         `json:"local_user,omitempty"` // whose rights it has here; "": all that its topics allow

	Clean      bool `json:"clean_start,omitempty"` // the other side keeps nothing for it
	LocalClean bool `json:"local_clean,omitempty"` // nothing is queued here
	// LikeMosquitto is a bridge that stands in the place of one of Mosquitto's. It keeps the
	// session on the other side even where the one here is new, with what waits in it;
	// UNSUBSCRIBEs there from what only goes out each time; asks for no Session Expiry
	// Interval where SessionExpiry is 0; and does not mark messages with where they have been,
	// as long as nobody else has.
	LikeMosquitto bool          `json:"like_mosquitto,omitempty"`
	SessionExpiry uint32        `json:"session_expiry,omitempty"` // seconds on the other side, 0: never
	TopicAliases  uint16        `json:"topic_aliases,omitempty"`  // that the other side may use
	LazyReload    bool          `json:"lazy_reload,omitempty"`    // a change waits for the connection's end
	KeepAlive     time.Duration `json:"keep_alive"`               // whole seconds
	MaxPacket     uint32        `json:"max_packet_size,omitempty"`
	MaxInflight   uint16        `json:"receive_maximum,omitempty"` // 0: the broker's
	BindAddress   string        `json:"bind_address,omitempty"`
	TLS           TLS           `json:"tls"`

	Start         Start         `json:"start"`
	Threshold     int           `json:"threshold,omitempty"`    // messages that wake a lazy one
	IdleTimeout   time.Duration `json:"idle_timeout,omitempty"` // after which it rests again
	RestartMin    time.Duration `json:"restart_min"`
	RestartMax    time.Duration `json:"restart_max,omitempty"`    // 0: always RestartMin
	RestartStable time.Duration `json:"restart_stable,omitempty"` // a connection of that length ends the growing

	DropRetain  bool   `json:"drop_retain,omitempty"`  // what goes out is not retained there
	Private     bool   `json:"try_private"`            // before MQTT 5: marks itself as a bridge, as Mosquitto does
	KeepFilters bool   `json:"keep_filters,omitempty"` // does not UNSUBSCRIBE there from what only goes out
	Notify      bool   `json:"notifications"`          // says on both sides whether it is connected
	NotifyLocal bool   `json:"notifications_local_only,omitempty"`
	NotifyTopic string `json:"notification_topic,omitempty"`
}

// TLS is how the other side is to be encrypted and who it has to be.
type TLS struct {
	On       bool   `json:"on,omitempty"`
	CAFile   string `json:"ca_file,omitempty"` // "" and no CAPath: the system's authorities
	CAPath   string `json:"ca_path,omitempty"`
	CertFile string `json:"cert_file,omitempty"` // a certificate of ours
	KeyFile  string `json:"key_file,omitempty"`
	AnyName  bool   `json:"any_name,omitempty"` // the certificate may be of another name, never of another authority
	OSRoots  bool   `json:"os_roots,omitempty"` // the system's authorities as well
	Minimum  string `json:"minimum,omitempty"`  // "1.3"; else 1.2
	ALPN     string `json:"alpn,omitempty"`
}

// Topic is what is carried, and under which names.
type Topic struct {
	Pattern string `json:"pattern"` // Topic Filter behind the prefixes; "": the prefixes are one topic's two names
	In      bool   `json:"in,omitempty"`
	Out     bool   `json:"out,omitempty"`
	QoS     byte   `json:"qos"`
	Local   string `json:"local,omitempty"`  // stands before Pattern here
	Remote  string `json:"remote,omitempty"` // and there
}

func (t *Topic) local() string  { return t.Local + t.Pattern }
func (t *Topic) remote() string { return t.Remote + t.Pattern }

// Defaults returns what a new bridge starts from.
func Defaults() Settings {
	return Settings{
		Version: packet.V50, KeepAlive: time.Minute, Start: Automatic, Threshold: 10, IdleTimeout: time.Minute,
		RestartMin: 5 * time.Second, RestartMax: 30 * time.Second, Private: true, Notify: true, NotifyLocal: true,
	}
}

// String names the bridge, so that no %v shows its password.
func (s Settings) String() string { return "bridge " + s.Name }

// Limits of Settings.
const (
	MaxTopics    = 1000
	MaxAddresses = 16
	maxName      = 64
)

var nameRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Problems tells for each field, by its name in JSON, what is wrong with it.
type Problems map[string]string

func (p Problems) Error() string {
	keys := make([]string, 0, len(p))
	for k := range p {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		keys[i] = k + ": " + p[k]
	}
	return strings.Join(keys, "; ")
}

// Validate returns nil or Problems.
func (s *Settings) Validate() error {
	p := Problems{}
	say := func(field string, bad bool, text string) {
		if bad && p[field] == "" {
			p[field] = text
		}
	}
	say("name", !nameRule.MatchString(s.Name) || len(s.Name) > maxName, "letters, digits, dots, hyphens and underscores, 64 at most")
	say("addresses", len(s.Addresses) == 0, "say where the other broker is")
	say("addresses", len(s.Addresses) > MaxAddresses, fmt.Sprintf("at most %d", MaxAddresses))
	for _, a := range s.Addresses {
		if err := checkAddress(a); err != nil {
			say("addresses", true, err.Error())
		}
	}
	say("topics", len(s.Topics) == 0, "say which topics are carried")
	say("topics", len(s.Topics) > MaxTopics, fmt.Sprintf("at most %d", MaxTopics))
	for i := range s.Topics {
		if err := s.Topics[i].validate(); err != nil {
			say("topics", true, err.Error())
		}
	}
	say("version", s.Version < packet.V31 || s.Version > packet.V50, "3.1, 3.1.1 or 5.0")
	say("client_id", s.ClientID == "" || len(s.ClientID) > 256, "1 to 256 bytes")
	say("client_id", s.Notify && s.NotifyTopic == "" && topic.ValidName(s.ClientID) != nil, "no + and no #")
	say("notification_topic", s.NotifyTopic != "" && topic.ValidName(s.NotifyTopic) != nil, "not a topic name")
	say("password", s.Password != "" && s.Username == "" && s.Version != packet.V50, "needs a user name before MQTT 5")
	say("keep_alive", s.KeepAlive < 5*time.Second || s.KeepAlive > 65535*time.Second, "5 seconds to 18 hours")
	say("start", s.Start != Automatic && s.Start != Lazy && s.Start != Once, "automatic, lazy or once")
	say("restart_min", s.RestartMin < time.Second || s.RestartMin > time.Hour, "a second to an hour")
	say("restart_max", s.RestartMax != 0 && s.RestartMax < s.RestartMin || s.RestartMax > 2*time.Hour, "not below the shortest, two hours at most")
	say("tls", (s.TLS.CertFile == "") != (s.TLS.KeyFile == ""), "certificate and key come together")
	say("bind_address", s.BindAddress != "" && net.ParseIP(s.BindAddress) == nil, "an address of this machine")
	if len(p) > 0 {
		return p
	}
	return nil
}

func checkAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil || host == "" || strings.ContainsAny(host, "/ @\x00\r\n") || len(a) > 300 {
		return fmt.Errorf("%q is not host:port", a)
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("%q is not host:port", a)
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q has no port", a)
	}
	return nil
}

func (t *Topic) validate() error {
	switch {
	case !t.In && !t.Out:
		return errors.New("a topic goes in, out or both ways")
	case t.QoS > 2:
		return errors.New("QoS is 0, 1 or 2")
	case t.Pattern == "" && (t.Local == "" || t.Remote == ""):
		return errors.New("a topic without a pattern needs both prefixes")
	case strings.ContainsAny(t.Local+t.Remote, "+#"):
		return errors.New("prefixes have no wildcards")
	}
	for _, whole := range []string{t.local(), t.remote()} {
		if err := topic.ValidFilter(whole); err != nil {
			return fmt.Errorf("%q: %w", whole, err)
		}
		if _, _, shared, err := topic.ParseShare(whole); shared || err != nil {
			return fmt.Errorf("%q: a bridge does not share its subscriptions", whole)
		}
	}
	return nil
}

// localID is the Client Identifier of the local session.
func (s *Settings) localID() string {
	if s.LocalID != "" {
		return s.LocalID
	}
	return "local." + s.ClientID
}

// stateTopic is where the bridge says whether it is connected.
func (s *Settings) stateTopic() string {
	if s.NotifyTopic != "" {
		return s.NotifyTopic
	}
	return "$SYS/broker/connection/" + s.ClientID + "/state"
}

// carried lists the filters that the bridge subscribes to, with the QoS of each:
// there, where in, else here.
func (s *Settings) carried(in bool) map[string]byte {
	filters := map[string]byte{}
	for i := range s.Topics {
		t := &s.Topics[i]
		switch {
		case in && t.In:
			filters[t.remote()] = max(filters[t.remote()], t.QoS)
		case !in && t.Out:
			filters[t.local()] = max(filters[t.local()], t.QoS)
		}
	}
	return filters
}
