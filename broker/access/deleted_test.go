package access_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// elsewhere lets in who is none of ours, as somebody else's user with the default roles.
type elsewhere struct{}

func (elsewhere) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	return &broker.Identity{ClientID: c.ClientID, User: c.User, Listener: c.Listener.Name, Remote: c.Remote}, nil
}

// cases A7 and A9: a user of ours who is deleted while the broker is stopped does not
// become one of Home Assistant: neither the session that is brought back nor its Will has
// a right, whatever the roles of others. Those who always were have theirs, all along.
func TestDeletedWhileStopped(t *testing.T) {
	for _, v := range versions {
		for _, restarts := range []int{1, 2} {
			t.Run(fmt.Sprintf("%v, restarts: %d", v, restarts), func(t *testing.T) {
				inHouse(t, access.Policy{OutsideRoles: []string{access.RoleEverything}}, func(h *home) {
					h.deps.Authenticator = access.Chain(h.dir, elsewhere{})
				}, func(h *home) {
					h.user("ann", "allow both #")
					h.user("stays", "allow both #")
					h.user("all", "allow both #")
					come := func(user string) *brokertest.Client {
						p := lasting()
						p.Will = &packet.Will{Topic: "will/" + user, Payload: []byte("1")}
						p.Will.Properties.SetWillDelay(60)
						return h.connect(v, user, user, p)
					}
					users := []string{"ann", "outsider", "stays"}
					for _, user := range users {
						c := come(user)
						c.Subscribe("home/#", 1)
						if v == packet.V50 {
							c.Close() // its Will waits
						}
					}
					h.stop()
					h.must(h.accounts.DeleteUser(h.Context(), "ann"))
					h.start()
					for range restarts - 1 {
						h.stop()
						h.start()
					}
					all := h.clean(v, "all", "all")
					all.Subscribe("will/#", 1)
					for _, user := range users {
						id := &broker.Identity{ClientID: user, User: user, HadAccount: user != "outsider"}
						stands, reason := h.dir.Review(id)
						if gone := user == "ann"; stands == gone || gone && reason != broker.UnknownUser {
							t.Errorf("%s stands: %v, %s", user, stands, reason)
						}
					}
					all.Publish("home/x", "1", 1, false, 1)
					brokertest.Pass(time.Second)
					for user, want := range map[string]int{"ann": 0, "outsider": 1, "stays": 1} {
						info, _, err := h.b.Session(user)
						h.must(err)
						if info.Queued != want {
							t.Errorf("%d messages wait for %s, want %d", info.Queued, user, want)
						}
					}
					brokertest.Pass(2 * time.Minute)
					wills := map[string]bool{}
					for _, topic := range got(all) {
						wills[topic] = true
					}
					if v == packet.V50 && (len(wills) != 2 || !wills["will/outsider"] || !wills["will/stays"]) {
						t.Errorf("Wills %v", wills)
					}
					// The next change of any user ends it.
					h.b.Revalidate("")
					if _, _, err := h.b.Session("ann"); err == nil {
						t.Error("the session is still there")
					}
					if _, _, err := h.b.Session("outsider"); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}
