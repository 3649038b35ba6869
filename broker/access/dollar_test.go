package access_test

import (
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// case A1: a Client Identifier that names itself into the $ topics gets nothing by that, and
// not round a deny.
func TestClientIDOfTheServersTopics(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both %c/#", "allow both $lab/#", "deny both %c/secret")
		for id, want := range map[string][2]bool{"$lab": {true, false}, "lab": {true, false}, "$other": {false, false}} {
			who := &broker.Identity{User: "ann", ClientID: id}
			for i, topic := range []string{id + "/open", id + "/secret"} {
				if d := h.dir.Authorize(who, broker.Publish, topic); d.Allow != want[i] {
					t.Errorf("%s publishes to %s: %v (%s)", id, topic, d.Allow, d.Rule.Text)
				}
			}
		}
	})
}
