package web

import (
	"net/http"
	"strconv"
	"time"

	"hearthmq/broker"
	"hearthmq/ui"
)

// discoveryPage shows what devices announced to Home Assistant, and what of it is
// good for nothing any more.
type discoveryPage struct{ *Server }

// discoveryRows is how many entities a page shows, and those of a device listed.
const (
	discoveryRows = 120
	deviceRows    = 40
	// availabilityBytes is how much of a value is looked at for "offline".
	availabilityBytes = 1 << 10
)

// discovery judges all that was announced, as it is now.
func (s *Server) discovery() *discovery {
	stats := s.cfg.Broker.Stats()
	last := func(name string, most int) ([]byte, bool) {
		value, known := s.cfg.Feed.Value(name, most)
		if !known { // the feed's memory is bounded
			for m := range s.cfg.Broker.Retained(name) {
				return m.Payload[:min(len(m.Payload), most)], true
			}
		}
		return value, known
	}
	return s.announced.judge(s.cfg.Broker, presenceOf(s.cfg.Broker.AllSessions()), last, stats.Now.Sub(stats.Started), time.Now())
}

// discoveryKinds are what ?show= may ask for: fixed words, no topic among them.
var discoveryKinds = map[string]string{"broken": reasonBroken, "orphaned": reasonOrphan, "silent": reasonSilent}

func (p discoveryPage) show(w http.ResponseWriter, r *http.Request) error {
	v := ui.DiscoveryView{Show: r.URL.Query().Get("show")}
	kind, known := discoveryKinds[v.Show]
	if !known {
		v.Show = ""
	}
	p.fill(&v, p.discovery(), kind, days(r.URL.Query().Get("page")))
	var err error
	if v.Removals, err = retained(p).removals(r.Context()); err != nil {
		return err
	}
	return p.render(w, r, http.StatusOK, ui.DiscoveryPage(p.view(r, "Discovery", "discovery", "retained-page"), v))
}

// fill takes the devices of one page out of all.
func (p discoveryPage) fill(v *ui.DiscoveryView, all *discovery, kind string, page int) {
	v.Devices, v.Entities = len(all.devices), all.entities
	v.Broken, v.Orphaned, v.Silent = all.broken, all.orphaned, all.silent
	rows, at := 0, 0
	for _, d := range all.devices {
		if kind != "" && !d.is(kind) {
			continue
		}
		if n := min(len(d.entities), deviceRows); rows > 0 && rows+n > discoveryRows {
			rows, at = 0, at+1
		}
		rows += min(len(d.entities), deviceRows)
		if at == page {
			v.List = append(v.List, deviceView(d))
		}
	}
	v.Page, v.More = page, at > page
}

func one(on bool) int {
	if on {
		return 1
	}
	return 0
}

func deviceView(d *haDevice) ui.HADeviceView {
	v := ui.HADeviceView{Key: topicKey(d.key), Name: cutName(d.name), Model: cutName(d.model), Hidden: max(0, len(d.entities)-deviceRows)}
	for _, e := range d.sorted()[:min(len(d.entities), deviceRows)] {
		row := ui.EntityView{Key: topicKey(e.msg.Topic), Name: cutName(e.name), Component: cutName(e.component), Config: topicLink(e.msg.Topic)}
		if len(e.states) > 0 {
			row.State, row.StateLink = cutName(e.states[0]), topicLink(e.states[0])
		}
		for _, why := range e.reasons {
			row.Reasons = append(row.Reasons, ui.ReasonView{Kind: reasonBadges[why.kind], Text: why.text})
		}
		v.Entities = append(v.Entities, row)
	}
	for _, k := range []struct {
		n           int
		badge, word string
	}{{d.broken, "error", "broken"}, {d.orphaned, "warning", "orphaned"}, {d.silent, "warning", "silent"}} {
		if k.n > 0 {
			v.Badges = append(v.Badges, ui.ReasonView{Kind: k.badge, Text: strconv.Itoa(k.n) + " " + k.word})
		}
	}
	return v
}

var reasonBadges = map[string]string{reasonBroken: "error", reasonOrphan: "warning", reasonSilent: "warning", reasonNote: "neutral"}

// announcedBy are the configurations that are meant: with which "device" those of that
// device, with "orphaned" all that are.
func (s *Server) announcedBy(which, device string) map[*broker.Message]bool {
	found := map[*broker.Message]bool{}
	for _, d := range s.discovery().devices {
		for _, e := range d.entities {
			if which == "device" && topicKey(d.key) == device || which == "orphaned" && e.is(reasonOrphan) {
				found[e.msg] = true
			}
		}
	}
	return found
}
