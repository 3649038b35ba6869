package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/ui"
)

// overview is the first page: is all well, and what to do first.
type overview struct{ *Server }

func (o overview) show(w http.ResponseWriter, r *http.Request) error {
	stats := o.cfg.Broker.Stats()
	list := o.attention(stats)
	return o.render(w, r, http.StatusOK, ui.OverviewPage(o.view(r, "Overview", "overview", "dashboard"), ui.OverviewView{
		Health:    health(stats, list),
		Attention: list,
		Figures:   o.figures(stats),
		Start:     o.start(r),
		Denials:   o.denials(5),
	}))
}

// liveOverview is what dashboard.js asks for every few seconds.
type liveOverview struct {
	Kind    string                `json:"kind"`
	Title   string                `json:"title"`
	Text    string                `json:"text"`
	Figures map[string]liveFigure `json:"figures"`
	In      float64               `json:"in"`
	Out     float64               `json:"out"`
	// Hour is the last hour: [age in milliseconds, in, out, clients] for each step.
	Hour [][4]float64 `json:"hour"`
	// Attention is how many things the page should list; it is drawn anew when that changes.
	Attention int `json:"attention"`
}

type liveFigure struct {
	Value  string `json:"value"`
	Detail string `json:"detail"`
}

func (o overview) live(w http.ResponseWriter, _ *http.Request) error {
	stats := o.cfg.Broker.Stats()
	list := o.attention(stats)
	h := health(stats, list)
	answer := liveOverview{Kind: h.Kind, Title: h.Title, Text: h.Text, Figures: map[string]liveFigure{}}
	for _, f := range o.figures(stats) {
		answer.Figures[f.Key] = liveFigure{f.Value, f.Detail}
	}
	answer.In, answer.Out = o.meter.observe(stats)
	answer.Attention = len(list)
	answer.Hour = [][4]float64{}
	for _, p := range o.record.since(stats.Now.Add(-time.Hour)) {
		answer.Hour = append(answer.Hour, [4]float64{float64(stats.Now.Sub(p.at).Milliseconds()), round(p.in), round(p.out), float64(p.clients)})
	}
	return o.renderJSON(w, answer)
}

// round leaves three digits behind the point: a chart needs no more.
func round(f float64) float64 { return float64(int64(f*1000+0.5)) / 1000 }

// health sums up. Only what somebody should act on is a warning.
func health(s broker.Stats, attention []ui.AttentionView) ui.HealthView {
	running := fmt.Sprintf("%s, running for %s.", ui.Connected(s.Clients), ui.Span(s.Now.Sub(s.Started)))
	if s.StoreError != nil {
		return ui.HealthView{Kind: "error", Title: "Messages can't be stored",
			Text: "The broker keeps working from memory, but what it promised to keep would be lost when it stops. Is the disk full? The log says more."}
	}
	serious := 0
	for _, x := range attention {
		serious += one(x.Kind != "info")
	}
	if serious > 0 {
		kind := attention[0].Kind // the worst is the first
		return ui.HealthView{Kind: kind, Title: ui.Plural(serious, "thing needs", "things need") + " attention", Text: running}
	}
	return ui.HealthView{Kind: "success", Title: "All is well", Text: running}
}

func (o overview) figures(s broker.Stats) []ui.FigureView {
	in, out := o.meter.observe(s)
	store := ui.FigureView{Key: "store", Icon: "store", Label: "Storage", Value: "Good", Detail: "nothing pending"}
	switch {
	case s.StoreError != nil:
		store.Value, store.Detail = "Failing", "see the log"
	case s.JournalPending > 0:
		store.Detail = ui.Plural(s.JournalPending, "change", "changes") + " on the way"
	}
	if n, ok := o.storeBytes(); ok && s.StoreError == nil {
		store.Value = ui.Bytes(uint64(n))
	}
	if free, ok := o.diskFree(); ok && s.StoreError == nil {
		store.Detail = ui.Bytes(uint64(max(free, 0))) + " free"
	}
	retained, retainedBytes := o.retainedOfOthers(s)
	list := []ui.FigureView{
		{Key: "clients", Icon: "clients", Label: "Clients", Value: ui.Count(uint64(max(s.Clients, 0))), Detail: awayWords(max(s.Sessions-s.Clients, 0))},
		{Key: "in", Icon: "in", Label: "Received", Value: ui.Rate(in), Unit: "per second", Detail: ui.Plural(int(s.PublishReceived), "message", "messages"), Graph: true},
		{Key: "out", Icon: "out", Label: "Sent", Value: ui.Rate(out), Unit: "per second", Detail: ui.Plural(int(s.PublishSent), "message", "messages"), Graph: true},
		{Key: "retained", Icon: "pin", Label: "Retained", Value: ui.Count(retained), Detail: ui.Bytes(retainedBytes)},
		{Key: "denied", Icon: "block", Label: "Denied", Value: ui.Count(s.Denied), Detail: ui.Plural(int(s.ConnectsRefused), "login", "logins") + " refused"},
		{Key: "dropped", Icon: "warning", Label: "Dropped", Value: ui.Count(s.PublishDropped), Detail: ui.Count(uint64(max(s.QueuedMessages, 0))) + " waiting"},
		store,
		{Key: "uptime", Icon: "clock", Label: "Running for", Value: ui.Span(s.Now.Sub(s.Started)), Detail: o.cfg.Version},
	}
	if all := o.certificates(); len(all) > 0 {
		first := slices.MinFunc(all, func(a, b Certificate) int { return a.Ends.Compare(b.Ends) })
		list = append(list, ui.FigureView{Key: "certificate", Icon: "access", Label: "Certificate", Value: ui.Count(uint64(max(first.Days, 0))), Unit: "days left",
			Detail: "until " + first.Ends.Local().Format("2 Jan 2006")})
	}
	return list
}

// retainedOfOthers counts what the page of retained messages shows: the broker's own
// figures, which are retained as well, are nobody's to clear.
func (o overview) retainedOfOthers(s broker.Stats) (n, bytes uint64) {
	count, size := s.Retained, int64(s.RetainedBytes)
	for m := range o.cfg.Broker.Retained("$SYS/#") {
		count, size = count-1, size-int64(m.Size())
	}
	return uint64(max(count, 0)), uint64(max(size, 0))
}

func (s *Server) storeBytes() (int64, bool) {
	if s.cfg.StoreBytes == nil {
		return 0, false
	}
	return s.cfg.StoreBytes()
}

// start finds out how far the owner has come.
func (o overview) start(r *http.Request) ui.StartView {
	v := ui.StartView{Host: hostOf(r), Local: loopbackName(hostOf(r)), Endpoints: o.endpoints()}
	v.HasUser = slices.ContainsFunc(o.cfg.Directory.Users(), func(u access.User) bool { return !u.System && !u.Admin })
	// A device that has sent something and sleeps again was connected, too; as an app
	// what was received may be Home Assistant's own.
	v.HasClient = o.cfg.Home == nil && o.cfg.Broker.Stats().PublishReceived > 0
	for s := range o.cfg.Broker.AllSessions() {
		if s.Connected && s.User != access.HomeAssistantUser && s.User != access.AddonsUser {
			v.HasClient = true
			break
		}
	}
	for _, e := range o.cfg.Endpoints {
		if !e.TLS && !e.WebSocket {
			v.Command = fmt.Sprintf("mosquitto_pub -h %s -p %d -u USER -P PASSWORD -t test/hello -m hello", v.Host, e.Port)
			break
		}
	}
	return v
}

func awayWords(n int) string {
	if n == 0 {
		return "none away"
	}
	return ui.Count(uint64(n)) + " away, with a session kept"
}

func (s *Server) endpoints() []ui.EndpointView {
	list := make([]ui.EndpointView, 0, len(s.cfg.Endpoints))
	for _, e := range s.cfg.Endpoints {
		list = append(list, ui.EndpointView{Label: e.Label, Address: strconv.Itoa(e.Port), Encrypted: e.TLS})
	}
	return list
}

// hostOf is the name under which the browser found us: devices in the same home
// find the broker under it too.
func hostOf(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host
}

// loopbackName reports whether a host name means the machine itself.
func loopbackName(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// denials returns the newest refusals, at most limit.
func (s *Server) denials(limit int) []ui.DenialView {
	now := time.Now()
	shown, _ := fairly(s.cfg.Denials.Recent(), limit)
	list := make([]ui.DenialView, len(shown))
	for i, d := range shown {
		list[i] = s.denialView(d, now)
	}
	return list
}
