package difftest

import (
	"fmt"
	"strings"

	"hearthmq/broker/packet"
)

// script is what several clients do, one step after the other.
type script struct {
	seed    uint64
	theme   string
	clients int
	steps   []step
}

// step is one client's action. Its number was given at generation and stays when
// the shrinker removes others: payloads carry it.
type step struct {
	n      int
	client int
	do     action
}

// action is what a client does in a step. run sends; what comes back is
// collected afterwards. An action that makes no sense in the client's state,
// such as a PUBLISH without a connection, does nothing.
type action interface {
	run(c *client, n int)
	String() string
}

func (s step) String() string { return fmt.Sprintf("%3d  c%d  %s", s.n, s.client, s.do) }

func (s *script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, theme %s, %d clients\n", s.seed, s.theme, s.clients)
	for _, st := range s.steps {
		fmt.Fprintln(&b, " ", st)
	}
	return b.String()
}

// at returns the action of a step by its number.
func (s *script) at(n int) action {
	for _, st := range s.steps {
		if st.n == n {
			return st.do
		}
	}
	return nil
}

// connect opens a connection, which takes over the one that the client has.
type connect struct {
	version  packet.Version
	clean    bool
	expiry   uint32 // MQTT 5
	keep     uint16
	will     *will
	window   uint16 // Receive Maximum, 0: not sent
	aliases  uint16 // Topic Alias Maximum
	withhold bool   // acknowledgements wait for an acknowledge step
	noID     bool   // with an empty Client Identifier
}

type will struct {
	topic  string
	qos    byte
	retain bool
	delay  uint32
	empty  bool
	props  props
}

// subscribe asks for several filters in one packet.
type subscribe struct {
	subs []packet.Subscription
	id   uint32 // Subscription Identifier, 0: none
}

// unsubscribe ends several subscriptions in one packet.
type unsubscribe struct{ filters []string }

// publish sends messages in one write. Each payload is client, step and index.
type publish struct {
	topics []string
	qos    byte
	retain bool
	empty  bool   // an empty payload, which clears what is retained
	alias  uint16 // MQTT 5: the first message sets it, the others of the same topic use it
	hold   bool   // QoS 2: PUBREL waits for a release step
	props  props
}

// again repeats held QoS 2 messages, with DUP.
type again struct{}

// release sends the PUBRELs that were held.
type release struct{}

// acknowledge sends what was withheld: n of it, 0 for everything that comes and
// that is still to come.
type acknowledge struct {
	n       int
	reverse bool
}

// disconnect ends the connection with DISCONNECT.
type disconnect struct {
	withWill bool
	expiry   *uint32 // MQTT 5: another Session Expiry Interval
}

// drop ends the connection without.
type drop struct{}

// props are the properties of a message.
type props struct {
	format   bool
	expiry   uint32 // in thousands of seconds
	content  string
	response string
	corr     string
	user     []packet.UserProperty
}

func (p *props) properties() packet.Properties {
	var out packet.Properties
	if p.format {
		out.SetPayloadFormat(1)
	}
	if p.expiry > 0 {
		out.SetMessageExpiry(p.expiry * 1000)
	}
	if p.content != "" {
		out.SetContentType(p.content)
	}
	if p.response != "" {
		out.SetResponseTopic(p.response)
	}
	if p.corr != "" {
		out.SetCorrelationData([]byte(p.corr))
	}
	out.User = p.user
	return out
}

// words joins what is not empty.
func words(list ...string) string {
	var keep []string
	for _, w := range list {
		if w != "" {
			keep = append(keep, w)
		}
	}
	return strings.Join(keep, " ")
}

func when(cond bool, text string) string {
	if cond {
		return text
	}
	return ""
}

func (p props) String() string {
	return words(when(p.format, "utf8"), when(p.expiry > 0, fmt.Sprintf("expiry=%d000", p.expiry)), when(p.content != "", "content="+p.content),
		when(p.response != "", "response="+p.response), when(p.corr != "", "correlation="+p.corr), when(p.user != nil, fmt.Sprintf("user=%v", p.user)))
}

func (a *connect) String() string {
	state := "persistent"
	if a.clean {
		state = "clean"
	}
	if a.version == packet.V50 {
		state = words(when(a.clean, "clean start"), fmt.Sprintf("session expiry %d", a.expiry))
	}
	text := ""
	if w := a.will; w != nil {
		text = words("will", w.topic, fmt.Sprintf("qos%d", w.qos), when(w.retain, "retain"), when(w.delay > 0, fmt.Sprintf("delay %d", w.delay)), when(w.empty, "empty"), w.props.String())
	}
	return words("CONNECT", a.version.String(), state, when(a.noID, "without client identifier"), fmt.Sprintf("keep alive %d", a.keep), when(a.window > 0, fmt.Sprintf("receive maximum %d", a.window)),
		when(a.aliases > 0, fmt.Sprintf("topic alias maximum %d", a.aliases)), when(a.withhold, "withholds acknowledgements"), text)
}

func (a *subscribe) String() string {
	text := "SUBSCRIBE"
	for _, s := range a.subs {
		text += words(fmt.Sprintf(" %q qos%d", s.Filter, s.QoS), when(s.NoLocal, "no-local"), when(s.RetainAsPublished, "retain-as-published"),
			when(s.RetainHandling > 0, fmt.Sprintf("retain-handling-%d", s.RetainHandling))) + ","
	}
	return words(strings.TrimSuffix(text, ","), when(a.id > 0, fmt.Sprintf("identifier %d", a.id)))
}

func (a *unsubscribe) String() string { return fmt.Sprintf("UNSUBSCRIBE %q", a.filters) }

func (a *publish) String() string {
	return words("PUBLISH", fmt.Sprintf("%q", a.topics), fmt.Sprintf("qos%d", a.qos), when(a.retain, "retain"), when(a.empty, "empty"),
		when(a.alias > 0, fmt.Sprintf("alias %d", a.alias)), when(a.hold, "holds PUBREL"), a.props.String())
}

func (*again) String() string   { return "PUBLISH again what is held, DUP" }
func (*release) String() string { return "PUBREL for what is held" }

func (a *acknowledge) String() string {
	if a.n == 0 {
		return words("acknowledge everything from now on", when(a.reverse, "last first"))
	}
	return words(fmt.Sprintf("acknowledge %d", a.n), when(a.reverse, "last first"))
}

func (a *disconnect) String() string {
	expiry := ""
	if a.expiry != nil {
		expiry = fmt.Sprintf("session expiry %d", *a.expiry)
	}
	return words("DISCONNECT", when(a.withWill, "with will"), expiry)
}

func (*drop) String() string { return "drop the connection" }
