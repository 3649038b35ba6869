package access

import (
	"strings"

	"hearthmq/broker"
)

// onPurpose is what to do about a denial that no rule of its own would lift.
func (w *inquiry) onPurpose(n Denial) string {
	switch {
	case n.Action == "publish" && reserved(n.Topic) != "":
		return "Topics that begin with $ are the broker's own; let the device use another."
	case strings.HasPrefix(n.Rule, "limit reached: "), strings.HasPrefix(n.Rule, "not retained: "):
		return "That is a limit: see the user's page and the settings, or remove what nobody needs."
	case w.Directory.Elsewhere():
		return "If it is wanted, change the acl_file and have HearthMQ read that again, or where dynamic security decides, its roles with mosquitto_ctrl."
	case n.RuleID != 0:
		return "That rule says so on purpose, and a deny beats every allow. Change it where it is wrong."
	}
	return "Give the user a role or a rule that allows it, if that is wanted."
}

func (w *inquiry) ports() string {
	if w.Ports == nil {
		return ""
	}
	if ports := w.Ports(); ports != "" {
		return " The ports here: " + ports + "."
	}
	return ""
}

// knownNames are those of users and of clients that are or were here.
func (w *inquiry) knownNames() []string {
	names := w.userNames()
	for _, s := range w.Sessions.Sessions() {
		names = append(names, s.ClientID)
	}
	for _, p := range w.pasts {
		names = append(names, p.ClientID)
	}
	return names
}

// advice says what to do about a refusal.
func (w *inquiry) advice(r broker.Reason) string {
	switch {
	case r == broker.WrongDoor:
		return refusalAdvice[r] + w.ports()
	case w.Directory.Elsewhere() && r == broker.UnknownUser:
		return "Add the name to the password_file and have HearthMQ read that again, or to dynamic security with mosquitto_ctrl, or correct it in the device's settings."
	}
	return refusalAdvice[r]
}

// lostAdvice says what to do about messages that were dropped, by broker.Dropped.Why.
func lostAdvice(why string) (text, advice string) {
	switch why {
	case "", "queue full":
		return "it was away or too slow for longer than its queue lasts", "Look at its connection; the limits are max_queued_messages and queue_full."
	case "slow reader":
		return "it reads more slowly than they come", "Look at its Wi-Fi, or let it subscribe to less. Messages of QoS 1 wait in its queue, those of QoS 0 are left out."
	case "memory is short":
		return "memory was short", "See memory_limit, and the page Clients for who has long queues."
	}
	return why, "Look at its connection, and at how long the sender lets its messages live."
}

// refusalAdvice says for every Reason what an owner can do.
var refusalAdvice = map[broker.Reason]string{
	broker.UnknownUser:         "Add a user of that name, or correct the name in the device's settings.",
	broker.WrongPassword:       "Type the password into the device again, or give the user a new one.",
	broker.UserDisabled:        "Enable the user on its page.",
	broker.CertificateInvalid:  "The device's certificate has ended, was revoked or comes from another authority than cafile; give it a new one.",
	broker.CertificateRequired: "This port wants a client certificate. Give the device one, or let it use another port.",
	broker.NetworkNotAllowed:   "The user may connect from some networks only, and the device is in another: see its page, or hearthmq user networks.",
	broker.TooManyAttempts:     "Too many logins failed from this address or for this name. Correct the password and wait a minute.",
	broker.ClientIDInUse:       "Two devices have the same client identifier. Give each its own, or remove the old session on the page Clients.",
	broker.ServerFull:          "All places are taken: see max_connections, the limits on the user's page, and the page Clients for who has them.",
	broker.BackendUnavailable:  "What checks this user's password could not be reached; the device tries again by itself. Users made here don't need it.",
	broker.AnonymousOff:        "Set a user name and a password in the device, or allow clients without on this port (settings anonymous and anonymous_listeners).",
	broker.BadClientID:         "The device's client identifier is empty or too long; set another one in the device.",
	broker.BadProtocol:         "What the device sent is not MQTT as this port takes it: look at the port and at TLS in its settings.",
	broker.WillNotAllowed:      "The user may not publish to the topic of its last will; see what was denied.",
	broker.BadMethod:           "The device asks for an authentication method that is not offered here.",
	broker.Blocked:             "It is blocked by its client identifier or its address. Let it in again on the page Clients, Blocked.",
	broker.WrongDoor:           "Compare the port, and whether TLS is on, in the device's settings.",
	broker.UnknownProxy:        "Name the proxy's address in the setting proxy_protocol, or have the proxy send no PROXY header.",
	broker.ServerNotTrusted:    "Give the device the certificate of the authority that signed HearthMQ's, and let it connect by the name that the certificate is for.",
	broker.OriginNotAllowed:    "Add the origin of the web page to the setting ws_origins, if it may connect: its programs run in the browsers of all who open it.",
	AccountChanged:             "The user's password or standing was changed while the device was connected.",
}
