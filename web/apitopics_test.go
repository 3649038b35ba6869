package web

import (
	"fmt"
	"testing"

	"hearthmq/broker/access"
)

func TestAPITopicDetails(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	at := "/topics/" + keyOf("hall/lamp")
	p.ask(404, "GET", at+"/history", "", nil)
	say := func(n int) {
		p.ask(204, "POST", "/publish", fmt.Sprintf(`{"topic": "hall/lamp", "payload": "{\"a/b\": [%d, \"x\"]}"}`, n), nil)
	}
	say(1)
	var h struct {
		Messages []apiMessage
		Total    int
		Pinned   bool
		More     bool
	}
	p.ask(200, "GET", at+"/history", "", &h)
	say(2)
	say(3)
	p.ask(200, "GET", at+"/history?limit=1&max_payload=4", "", &h)
	if len(h.Messages) != 1 || !h.More || h.Total < 2 || h.Messages[0].Payload != `{"a/` || h.Messages[0].ClientID != "HearthMQ API" || h.Pinned {
		t.Fatalf("history %+v", h)
	}
	last := h.Messages[0].Seq
	p.ask(200, "GET", fmt.Sprintf("%s/history?before=%d", at, last), "", &h)
	if h.More || h.Messages[0].Payload != `{"a/b": [2, "x"]}` {
		t.Errorf("second page %+v", h)
	}
	var got apiTopic
	p.ask(200, "GET", fmt.Sprintf("%s?seq=%d", at, h.Messages[0].Seq), "", &got)
	if got.Payload != `{"a/b": [2, "x"]}` {
		t.Errorf("one of them %+v", got)
	}
	p.ask(404, "GET", at+"?seq=999", "", nil)

	var series struct {
		Points        []apiPoint
		Count, Missed int
	}
	p.ask(200, "GET", at+"/series?path=/a~1b/0", "", &series)
	if series.Count < 2 || series.Missed != 0 || series.Points[len(series.Points)-1].Max != 3 {
		t.Errorf("series %+v", series)
	}
	p.ask(200, "GET", at+"/series?path=/nowhere", "", &series)
	if series.Count != 0 || series.Missed < 2 {
		t.Errorf("series %+v", series)
	}
	p.ask(422, "GET", at+"/series?path=a", "", nil)
	p.ask(404, "GET", "/topics/"+keyOf("nowhere")+"/series", "", nil)

	var who whoAnswer
	p.ask(200, "GET", "/topics/"+keyOf("sensors/washing-machine/power")+"/who", "", &who)
	if len(who.Publishers) != 1 || who.Publishers[0].Client != "washer-0815" || len(who.Subscribers) != 1 || len(who.Rights) < 4 {
		t.Errorf("who %+v", who)
	}
	p.ask(422, "GET", "/topics/"+keyOf("a/#")+"/who", "", nil)

	p.ask(204, "PUT", at+"/pin", `{"on": true}`, nil)
	p.notes("history kept", "hall/lamp")
	p.ask(200, "GET", at+"/history", "", &h)
	if !h.Pinned {
		t.Error("not kept")
	}
	p.ask(204, "PUT", at+"/pin", `{"on": false}`, nil)
	p.notes("history no longer kept", "hall/lamp")
	p.ask(422, "PUT", at+"/pin", `{"on": "yes"}`, nil)
}
