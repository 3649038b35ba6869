package access_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

func TestDenials(t *testing.T) {
	d := access.NewDenials()
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	id := &broker.Identity{ClientID: "c", User: "ann", Listener: "mqtt", Remote: netip.MustParseAddrPort("10.0.0.1:2")}
	denied := func(after time.Duration, topic string) broker.Denied {
		return broker.Denied{At: at.Add(after), Identity: id, Action: broker.Publish, Name: topic, Rule: broker.RuleRef{ID: 3, Text: "deny both a (role r)"}}
	}
	d.OnEvent(denied(0, "a"))
	d.OnEvent(denied(time.Second, "b"))
	d.OnEvent(broker.Refused{At: at.Add(2 * time.Second), ClientID: "x", User: "bob", Remote: "10.0.0.9:1", Listener: "ws", Reason: broker.WrongPassword})
	d.OnEvent(denied(3*time.Second, "a"))
	d.OnEvent(broker.Denied{At: at.Add(-time.Second), Action: broker.Subscribe, Name: "#"})
	d.OnEvent(broker.Connected{})
	d.OnPublish(nil)
	want := []access.Denial{
		{ClientID: "c", User: "ann", Listener: "mqtt", Remote: "10.0.0.1:2", Action: "publish", Topic: "a", Rule: "deny both a (role r)", RuleID: 3, Count: 2, First: at, Last: at.Add(3 * time.Second)},
		{ClientID: "x", User: "bob", Listener: "ws", Remote: "10.0.0.9:1", Action: "connect", Rule: "wrong password", Count: 1, First: at.Add(2 * time.Second), Last: at.Add(2 * time.Second)},
		{ClientID: "c", User: "ann", Listener: "mqtt", Remote: "10.0.0.1:2", Action: "publish", Topic: "b", Rule: "deny both a (role r)", RuleID: 3, Count: 1, First: at.Add(time.Second), Last: at.Add(time.Second)},
		{Action: "subscribe", Topic: "#", Count: 1, First: at.Add(-time.Second), Last: at.Add(-time.Second)},
	}
	if diff := cmp.Diff(want, d.Recent()); diff != "" {
		t.Errorf("Recent (-want +got):\n%s", diff)
	}
}

// Strangers can't push out what happened to users, nor take much memory.
func TestDenialsAreBounded(t *testing.T) {
	d := access.NewDenials()
	d.OnEvent(broker.Denied{Identity: &broker.Identity{User: "ann"}, Name: "important"})
	long := strings.Repeat("ä", 30000)
	for i := range 2000 {
		d.OnEvent(broker.Refused{ClientID: fmt.Sprint(i, long), User: fmt.Sprint(i, long), Reason: broker.UnknownUser, At: time.Unix(int64(i), 0)})
	}
	list := d.Recent()
	if len(list) != 501 {
		t.Fatalf("%d are kept", len(list))
	}
	if last := list[len(list)-1]; last.Topic != "important" {
		t.Errorf("the denial is gone; the last one is %+v", last)
	}
	for _, n := range list {
		if len(n.ClientID) > 600 || len(n.User) > 600 {
			t.Fatalf("%d bytes are kept", len(n.ClientID)+len(n.User))
		}
	}
	if !strings.HasPrefix(list[0].ClientID, "1999") {
		t.Errorf("the latest is %.10q", list[0].ClientID)
	}
}
