package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// follower reads a trace as it comes.
type follower struct {
	program
	body  io.Closer
	lines *bufio.Scanner
}

func (p program) follow(path string) *follower {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { resp.Body.Close() })
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "application/x-ndjson" {
		p.t.Fatalf("GET %s: %d %s", path, resp.StatusCode, kind)
	}
	described := p.doc.Paths["/traces/{id}/follow"].Get.Responses["200"]
	if described == nil || described.Content["application/x-ndjson"].Schema == nil {
		p.t.Error("the stream is not described")
	}
	f := &follower{program: p, body: resp.Body, lines: bufio.NewScanner(resp.Body)}
	f.lines.Buffer(nil, 1<<20)
	return f
}

// packet waits for a line that is not empty.
func (f *follower) packet() (p apiPacket) {
	f.t.Helper()
	for f.lines.Scan() {
		if len(bytes.TrimSpace(f.lines.Bytes())) == 0 {
			continue
		}
		if err := json.Unmarshal(f.lines.Bytes(), &p); err != nil {
			f.t.Fatalf("%v: %s", err, f.lines.Bytes())
		}
		return p
	}
	f.t.Fatalf("the stream ended: %v", f.lines.Err())
	return p
}

// ends waits for the end of the stream, and fails when something comes before.
func (f *follower) ends() {
	f.t.Helper()
	for f.lines.Scan() {
		if line := f.lines.Text(); line != "" {
			f.t.Errorf("after the last packet: %s", line)
		}
	}
	if err := f.lines.Err(); err != nil {
		f.t.Errorf("the stream broke: %v", err)
	}
}

// TestFollowEndsWithToken: what streams ends within a second or so of the token (case W11).
func TestFollowEndsWithToken(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeRead)
	trace, err := s.broker.Trace("washer-0815")
	s.must(err)
	of := "/traces/" + s.server.tracing.begin(trace).id
	f := p.follow(of + "/follow")
	s.must(s.broker.Publish(t.Context(), broker.NewMessage("sensors/washing-machine/set", []byte{0xff, 0}, 0, false)))
	if got := f.packet(); got.Base64 != "/wA=" {
		t.Errorf("packet %+v", got)
	}
	list, err := s.tokens.List(t.Context())
	s.must(err)
	began := time.Now()
	s.must(s.tokens.Revoke(t.Context(), list[0].ID))
	f.ends()
	t.Logf("ended %v after the token", time.Since(began))

	p = s.program(access.ScopeRead)
	s.server.followers.Add(maxFollowers)
	p.ask(429, "GET", of+"/follow", "", nil)
}

// TestPublishingIsAudited: who sent what and how large it was, without the value; a
// script that sends much does not push everything else out.
func TestPublishingIsAudited(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	for _, body := range []string{
		`{"topic": "lamp/set", "payload": "s3cret value", "qos": 1, "retain": true}`,
		`{"topic": "lamp/set", "payload": "s3cret value again", "retain": true}`,
	} {
		p.ask(204, "POST", "/publish", body, nil)
	}
	for i := range publishNoteTopics + 5 {
		p.ask(204, "POST", "/publish", fmt.Sprintf(`{"topic": "lamp/%d", "payload": "s3cret value"}`, i), nil)
	}
	p.ask(204, "POST", "/publish", `{"topic": "`+strings.Repeat("x", 60_000)+`", "payload": "s3cret value"}`, nil)
	entries, _, err := s.accounts.Audit(t.Context(), access.AuditQuery{Text: "message published"})
	s.must(err)
	if len(entries) != publishNoteTopics {
		t.Fatalf("%d entries", len(entries))
	}
	first, last := entries[len(entries)-1], entries[0]
	if first.Via != access.ViaToken || first.Actor != "test-admin" || first.Object != "lamp/set" || first.Before != "" || first.After != "retained, 12 B, QoS 1" {
		t.Errorf("first entry %+v", first)
	}
	if !strings.Contains(last.After, "12 B, QoS 0; more topics") {
		t.Errorf("last entry %+v", last)
	}
	// In the admin, by a person, who is somebody else.
	b := s.ingress()
	req := b.request(http.MethodPost, "/topics/publish", strings.NewReader(`{"topic": "lamp/set", "payload": "", "retain": true}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	b.do(req).is(t, http.StatusNoContent)
	entries, _, err = s.accounts.Audit(t.Context(), access.AuditQuery{Text: "message published", Limit: 1})
	s.must(err)
	if e := entries[0]; e.Via != access.ViaHomeAssistant || e.Object != "lamp/set" || e.Before != "retained, 18 B" || e.After != "nothing retained" {
		t.Errorf("of the admin %+v", e)
	}
	if strings.Contains(fmt.Sprint(entries), "s3cret") {
		t.Error("a value stands in the audit")
	}
}

func TestPublishNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n publishNotes
		ann := access.Who{Via: access.ViaAdmin, Name: "ann"}
		due := func(who access.Who, topic string) bool {
			yes, _ := n.due(who, topic, time.Now())
			return yes
		}
		if !due(ann, "a") || due(ann, "a") || !due(ann, "b") || !due(access.Who{Name: "bob"}, "a") {
			t.Error("the first of an actor and a topic counts")
		}
		time.Sleep(publishNoteFor) // of the bubble
		if !due(ann, "a") {
			t.Error("an hour later nothing is told")
		}
		for i := range 3 * publishNoteActors {
			due(access.Who{Name: fmt.Sprint(i)}, "a")
		}
		if len(n.actors) > publishNoteActors {
			t.Errorf("%d actors are remembered", len(n.actors))
		}
	})
}
