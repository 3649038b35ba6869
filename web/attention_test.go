package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/packet"
)

func TestRecord(t *testing.T) {
	var r record
	start := time.Now()
	for i := range 400 {
		r.note(broker.Stats{Now: start.Add(time.Duration(i) * recordEvery), PublishReceived: uint64(i * 30), PublishSent: uint64(i * 60), Clients: i})
	}
	all := r.since(time.Time{})
	last := all[len(all)-1]
	if len(all) != recordPoints || last.in != 2 || last.out != 4 || last.clients != 399 {
		t.Errorf("%d points, the last %+v", len(all), last)
	}
	if got := r.since(last.at.Add(-time.Minute)); len(got) != 4 {
		t.Errorf("%d points of the last minute", len(got))
	}
	if got := r.since(last.at); got != nil {
		t.Errorf("%d points of the future", len(got))
	}
}

// TestAttention: each thing that needs attention leads to a page that is there.
func TestAttention(t *testing.T) {
	now := time.Now()
	s := furnished(t, true)
	s.server.cfg.DiskFree = func() (int64, bool) { return 100 << 20, true }
	s.server.cfg.Certificates = func() []Certificate {
		return []Certificate{
			{File: "good.pem", Ends: now.AddDate(0, 0, 60), Days: 60}, {File: "soon.pem", Ends: now.AddDate(0, 0, 20), Days: 20, Soon: true},
			{File: "urgent.pem", Ends: now.Add(5*24*time.Hour + time.Hour), Days: 5, Urgent: true}, {File: "ended.pem", Ends: now.Add(-time.Hour)},
			{File: "broken.pem", Ends: now.AddDate(0, 0, 60), Problem: "the key does not fit"},
		}
	}
	announce(s, now)
	s.keep("old/1", "x", "nobody-is-here", "old", now.AddDate(0, 0, -90))
	for i := range 4 { // two devices with one name
		twin := &broker.Identity{ClientID: "esp-copy", User: "zigbee2mqtt"}
		s.denials.OnEvent(broker.Connected{At: now.Add(time.Duration(i-10) * time.Second), Identity: twin})
		s.denials.OnEvent(broker.Disconnected{At: now.Add(time.Duration(i-10) * time.Second), Identity: twin, Code: packet.SessionTakenOver})
	}
	b := s.ingress()
	page := b.get("/").is(t, http.StatusOK)
	page.says(t, "Needs attention", "Two devices use the client identifier esp-copy", "The disk is almost full", "The certificate ends soon", "The certificate ends in a few days", "The certificate has expired", "The key does not fit.", "denied within the last hour",
		"3 entities in Home Assistant without a sender", "2 announcements to Home Assistant can't work", "whose sender is gone for a month", "days left")
	list := s.server.attention(s.broker.Stats())
	for _, a := range list {
		path, _, _ := strings.Cut(a.Path, "#")
		b.get(path).is(t, http.StatusOK)
	}
	if list[0].Kind != "error" {
		t.Errorf("%q comes first", list[0].Title)
	}
	s.server.record.note(broker.Stats{Now: now.Add(-time.Minute)})
	s.server.record.note(s.broker.Stats())
	if live := b.get("/live/overview").is(t, http.StatusOK); !strings.Contains(live.body, `"hour":[[`) {
		t.Errorf("no hour: %s", live.body)
	}
	b.get("/retained?gone=30").is(t, http.StatusOK).says(t, "1 message")
}

func TestAttentionIsSilentWhenAllIsWell(t *testing.T) {
	s := newSite(t, nil)
	if list := s.server.attention(s.broker.Stats()); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// unreadable are bans that can't be read.
type unreadable struct {
	*access.MemoryRepository
	saved []access.Ban
}

func (u unreadable) Bans(context.Context) ([]access.Ban, error) {
	return nil, errors.New("disk I/O error")
}

func (u unreadable) SavedBans(context.Context) ([]access.Ban, error) { return u.saved, nil }

// Blocks that can't be read are an alarm, whether some are known or none.
func TestAttentionForUnreadableBlocks(t *testing.T) {
	for want, saved := range map[string][]access.Ban{
		"Nobody is kept out":                nil,
		"Those known last stay blocked: 1.": {{Kind: access.BanClient, Value: "plug"}},
	} {
		s := furnishedWith(t, false, func(cfg *Config) {
			cfg.Bans = access.NewBans(unreadable{access.NewMemoryRepository(), saved})
			if cfg.Bans.Open(t.Context()) == nil {
				t.Error("they were read")
			}
		})
		s.ingress().get("/").is(t, http.StatusOK).says(t, "Who is blocked can't be read", want)
		s.ingress().get("/clients/blocked").is(t, http.StatusOK)
	}
	s := furnished(t, false)
	if page := s.ingress().get("/").is(t, http.StatusOK); strings.Contains(page.body, "Who is blocked can&#39;t be read") {
		t.Error("an alarm without a reason")
	}
}
