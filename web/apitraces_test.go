package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

func TestAPITraces(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	at := "/clients/" + keyOf("washer-0815")
	p.ask(404, "POST", "/clients/"+keyOf("nobody")+"/trace", "", nil)
	var trace apiTrace
	p.ask(201, "POST", at+"/trace", "", &trace)
	if trace.ClientID != "washer-0815" || trace.ID == "" || trace.Stopped {
		t.Fatalf("trace %+v", trace)
	}
	var again apiTrace
	p.ask(201, "POST", at+"/trace", "", &again)
	if again.ID != trace.ID {
		t.Errorf("a second trace of the same client: %+v", again)
	}
	var list struct{ Traces []apiTrace }
	p.ask(200, "GET", "/traces", "", &list)
	if len(list.Traces) != 1 {
		t.Errorf("traces %+v", list)
	}
	of := "/traces/" + trace.ID
	var got struct {
		Packets []apiPacket
		Last    uint64
		Stopped bool
	}
	// Whoever waits is answered once there is something.
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.ask(200, "GET", of+"/packets?wait=30", "", &got)
	}()
	s.must(s.broker.Publish(t.Context(), broker.NewMessage("sensors/washing-machine/set", []byte("on"), 0, false)))
	<-done
	if len(got.Packets) != 1 || got.Packets[0].Type != "PUBLISH" || got.Packets[0].From != "broker" || got.Packets[0].Payload != "on" ||
		got.Packets[0].Topic != "sensors/washing-machine/set" || got.Last != 1 || got.Stopped {
		t.Errorf("packets %+v", got)
	}
	began := time.Now()
	p.ask(200, "GET", fmt.Sprintf("%s/packets?after=%d&wait=1", of, got.Last), "", &got)
	if len(got.Packets) != 0 || got.Last != 1 || time.Since(began) < time.Second {
		t.Errorf("after %v: %+v", time.Since(began), got)
	}
	s.must(s.broker.Publish(t.Context(), broker.NewMessage("sensors/washing-machine/set", []byte("off"), 0, false)))
	if a := p.ask(200, "GET", of+"/download", "", nil); !strings.Contains(a.body, "<- PUBLISH sensors/washing-machine/set | on") ||
		!strings.Contains(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("download %s", a.body)
	}
	follower := p.follow(of + "/follow?after=1")
	if got := follower.packet(); got.Seq != 2 || got.Topic != "sensors/washing-machine/set" || got.Payload != "off" {
		t.Errorf("followed %+v", got)
	}
	p.ask(200, "POST", of+"/stop", "", &trace)
	follower.ends()
	p.notes("client traced no more", "washer-0815")
	p.ask(200, "GET", of+"/packets?after=1&wait=30", "", &got) // comes at once: nothing more will
	if !trace.Stopped || !got.Stopped {
		t.Errorf("after the end: %+v, %+v", trace, got)
	}
	for _, bad := range []string{"after=x", "wait=31", "limit=2001"} {
		p.ask(422, "GET", of+"/packets?"+bad, "", nil)
	}
	p.ask(422, "GET", "/traces/x/packets", "", nil)
	p.ask(404, "GET", "/traces/99/packets", "", nil)
	p.ask(404, "GET", "/traces/99/download", "", nil)
	p.ask(404, "GET", "/traces/99/follow", "", nil)
	p.ask(404, "POST", "/traces/99/stop", "", nil)

	for i := range 8 {
		_, err := s.broker.Trace(fmt.Sprint("other-", i))
		s.must(err)
	}
	p.ask(409, "POST", at+"/trace", "", nil)
	p.notes("client traced", "washer-0815")
}

// notes checks that the audit names the token as the one who did it.
func (p program) notes(action, object string) {
	p.t.Helper()
	var audit struct{ Changes []apiChange }
	p.ask(200, "GET", "/audit?via=token", "", &audit)
	for _, c := range audit.Changes {
		if c.Action == action && c.Object == object && c.Actor == "test-admin" {
			return
		}
	}
	p.t.Errorf("the audit does not tell %q %q: %+v", action, object, audit.Changes)
}

func TestAPIBlocksClients(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	at := "/clients/" + keyOf("washer-0815")
	var c struct {
		APIClient
		Denials []apiDenial
		Will    *apiWill
	}
	p.ask(200, "GET", at, "", &c)
	if c.Host != "this machine" || len(c.Denials) == 0 || c.Denials[0].Topic != "zigbee2mqtt/lamp/set" || c.Will != nil {
		t.Errorf("client %+v", c)
	}
	var list struct{ Clients []APIClient }
	p.ask(200, "GET", "/clients?text=WASH", "", &list)
	if len(list.Clients) != 1 || list.Clients[0].ClientID != "washer-0815" {
		t.Errorf("found %+v", list)
	}
	var u apiUser
	p.ask(200, "POST", at+"/block", "", &u)
	if u.Name != "washing-machine" || !u.Disabled {
		t.Errorf("user %+v", u)
	}
	s.connectAs("of-settings", "from-settings", "from the settings")
	a := p.ask(422, "POST", "/clients/"+keyOf("of-settings")+"/block", "", nil)
	if !strings.Contains(a.body, "logins of the settings") {
		t.Errorf("can't be blocked: %s", a.body)
	}
	p.ask(404, "POST", "/clients/"+keyOf("nobody")+"/block", "", nil)
	p.ask(204, "POST", "/clients/"+keyOf("zigbee2mqtt_bridge")+"/disconnect", "", nil)
	p.notes("client disconnected", "zigbee2mqtt_bridge")
	p.ask(204, "DELETE", "/clients/"+keyOf("of-settings"), "", nil)
	p.notes("session deleted", "of-settings")
}

func TestAPIBlocks(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	var b apiBlock
	p.ask(201, "POST", "/blocks", `{"kind": "client", "value": "washer-0815", "note": "chatters"}`, &b)
	if b.Value != "washer-0815" || b.CreatedBy != "token test-admin" || b.Note != "chatters" {
		t.Errorf("block %+v", b)
	}
	var list struct{ Blocks []apiBlock }
	p.ask(200, "GET", "/blocks", "", &list)
	if len(list.Blocks) != 1 {
		t.Errorf("blocks %+v", list)
	}
	p.ask(422, "POST", "/blocks", `{"kind": "address", "value": "the cellar"}`, nil)
	p.ask(422, "POST", "/blocks", `{"kind": "smell", "value": "x"}`, nil)
	at := fmt.Sprint("/blocks/", b.ID)
	p.ask(204, "DELETE", at, "", nil)
	p.ask(404, "DELETE", at, "", nil)
}
