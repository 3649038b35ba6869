package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
)

// keep puts a retained message into the broker as if it had come at that time.
func (s *site) keep(topicName, payload, client, user string, at time.Time) {
	s.t.Helper()
	m := broker.NewMessage(topicName, []byte(payload), 0, true)
	m.PublisherID, m.PublisherUser, m.Received = client, user, at
	s.must(s.broker.Publish(s.t.Context(), m))
}

func (s *site) kept() []string {
	var names []string
	for m := range s.broker.Retained("#") {
		if !owned(m) {
			names = append(names, m.Topic)
		}
	}
	slices.Sort(names)
	return names
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// confirm sends the form of a preview as it is.
func confirm(b *browser, page answer, more url.Values) answer {
	b.t.Helper()
	form := url.Values{}
	for _, m := range hiddenInput.FindAllStringSubmatch(page.body, -1) {
		form.Add(m[1], m[2])
	}
	for k, v := range more {
		form[k] = v
	}
	return b.post("/retained/delete", form)
}

func TestRetainedPage(t *testing.T) {
	s := furnished(t, true)
	now := time.Now()
	long := strings.Repeat("l", 60_000)
	s.keep("home/old/1", "1", "gone-client", "zigbee2mqtt", now.AddDate(0, 0, -40))
	s.keep("home/old/2", "2", "gone-client", "zigbee2mqtt", now.AddDate(0, 0, -40))
	s.keep("home/here", "3", "zigbee2mqtt_bridge", "zigbee2mqtt", now.AddDate(0, 0, -40))
	s.keep("home/new", "needle", "gone-client", "zigbee2mqtt", now)
	for _, name := range []string{long, hostileName, "a%2F../b", "😀/x", "line\nbreak"} {
		s.keep(name, name, hostileName, hostileName, now)
	}
	b := s.ingress()
	page := b.get("/retained").is(t, http.StatusOK)
	page.says(t, "9 retained messages", "home/old/1", "sender gone for 40 days", "<script>pwned=1</script>")
	if len(page.body) > 100_000 {
		t.Errorf("the page has %d bytes", len(page.body))
	}
	if strings.Contains(page.body, "<script>pwned") {
		t.Error("a topic became markup")
	}
	for form, want := range map[string]int{
		"q=needle": 1, "q=home/%2B": 2, "q=home/.*/[12]&regexp=1": 2, "publisher=GONE": 3, "older=30": 3, "gone=30": 2, "q=nothing": 0,
		"q=home&sort=size": 4, "older=30&gone=90": 0,
	} {
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		v := s.retainedOf(values)
		if v.Found != want {
			t.Errorf("%s finds %d, want %d", form, v.Found, want)
		}
		b.post("/retained", values).is(t, http.StatusOK)
	}
	b.post("/retained", url.Values{"q": {"("}, "regexp": {"1"}}).is(t, http.StatusUnprocessableEntity).says(t, "Not a regular expression")

	// A preview changes nothing; what comes after it is not deleted.
	before := s.kept()
	preview := b.post("/retained/preview", url.Values{"gone": {"30"}, "which": {"found"}}).is(t, http.StatusOK)
	preview.says(t, "Delete 2 retained messages?", "home/old/1", "home/old/2")
	if !slices.Equal(s.kept(), before) {
		t.Error("the preview deleted something")
	}
	s.keep("home/old/2", "newer", "gone-client", "zigbee2mqtt", now.Add(time.Minute))
	confirm(b, preview, nil).leads(t, b, "/retained?done=retained-deleted")
	if got := s.kept(); slices.Contains(got, "home/old/1") || !slices.Contains(got, "home/old/2") {
		t.Errorf("left are %.300q", got)
	}
	page = b.get("/retained?done=retained-deleted").is(t, http.StatusOK)
	page.says(t, "1 message", "sender is gone", "Put back")

	// Undo.
	id := regexp.MustCompile(`name="id" value="(\d+)"`).FindStringSubmatch(page.body)
	if id == nil {
		t.Fatal("nothing can be put back")
	}
	b.post("/retained/undo", url.Values{"id": {id[1]}}).leads(t, b, "/retained?done=retained-restored")
	if !slices.Equal(s.kept(), before) {
		t.Errorf("after undo: %.300q", s.kept())
	}
	b.post("/retained/undo", url.Values{"id": {id[1]}}).leads(t, b, "/retained?done=retained-gone")

	// One by one, whatever the topic is called.
	for _, name := range []string{long, hostileName, "line\nbreak"} {
		preview := b.post("/retained/preview", url.Values{"which": {"ticked"}, "key": {topicKey(name)}}).is(t, http.StatusOK)
		preview.says(t, "Delete 1 retained message?")
		confirm(b, preview, url.Values{"tell": {"1"}}).leads(t, b, "/retained?done=retained-deleted")
		if slices.Contains(s.kept(), name) {
			t.Errorf("%.40q is still there", name)
		}
	}
	// Without a preview, or without a choice, nothing happens.
	b.post("/retained/delete", url.Values{"older": {"1"}}).is(t, http.StatusBadRequest)
	b.post("/retained/delete", url.Values{"before": {"9999999999999"}}).is(t, http.StatusBadRequest)
}

func (s *site) retainedOf(form url.Values) (v struct{ Found int }) {
	v.Found = retained{s.server}.retainedView(readRetainedFilter(form), time.Now()).Found
	return v
}

// TestRetainedLargeHouse: thousands of messages make a page no larger, and go in one step.
func TestRetainedLargeHouse(t *testing.T) {
	s := newSite(t, nil)
	now := time.Now()
	for i := range 5000 {
		s.keep(fmt.Sprintf("zigbee2mqtt/some room with a name/device %d/availability", i), `{"state":"online","more":"text that goes on and on"}`, "zigbee2mqtt_12ab34cd", "zigbee2mqtt", now.AddDate(0, 0, -i%100))
	}
	b := s.ingress()
	start := time.Now()
	page := b.get("/retained").is(t, http.StatusOK)
	t.Logf("%d bytes in %v", len(page.body), time.Since(start))
	if len(page.body) > 100_000 {
		t.Errorf("the page has %d bytes", len(page.body))
	}
	b.post("/retained", url.Values{"page": {"1"}}).is(t, http.StatusOK).says(t, "91–180 of 5 000")
	b.post("/retained", url.Values{"page": {"999"}}).is(t, http.StatusOK).says(t, "of 5 000")
	preview := b.post("/retained/preview", url.Values{"older": {"50"}, "which": {"found"}}).is(t, http.StatusOK)
	preview.says(t, "Delete 2 500 retained messages?")
	start = time.Now()
	confirm(b, preview, nil).leads(t, b, "/retained?done=retained-deleted")
	t.Logf("2,500 deleted in %v", time.Since(start))
	if n := len(s.kept()); n != 2500 {
		t.Errorf("%d are left", n)
	}
	list, err := s.server.cfg.Trash.Removals(t.Context())
	s.must(err)
	if len(list) != 1 || list[0].Topics != 2500 {
		t.Errorf("the trash has %+v", list)
	}
}

func TestPresence(t *testing.T) {
	now := time.Now()
	p := presenceOf(slices.Values([]broker.SessionInfo{
		{ClientID: "here", Connected: true}, {ClientID: "away", Since: now.Add(-48 * time.Hour)},
		{ClientID: "mqttjs_8af3bb12", User: "z2m", Connected: true},
	}))
	old := now.AddDate(0, 0, -10)
	for _, c := range []struct {
		client, user string
		at           time.Time
		days         int
	}{
		{"here", "", old, 0}, {"away", "", old, 2}, {"nobody", "", old, 10}, {"", "", old, 0}, {"nobody", "", time.Time{}, 0},
		{"mqttjs_00ff11ee", "z2m", old, 0}, {"mqttjs_00ff11ee", "other", old, 10}, {"mqttjs_short", "z2m", old, 10},
	} {
		m := &broker.Message{PublisherID: c.client, PublisherUser: c.user, Received: c.at}
		if got := int(p.gone(m, now) / (24 * time.Hour)); got != c.days {
			t.Errorf("%s of %s is gone for %d days, want %d", c.client, c.user, got, c.days)
		}
	}
}
