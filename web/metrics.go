package web

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"hearthmq/broker"
)

// metrics answers GET /metrics in the text format of Prometheus: to a token of any
// scope, to an administrator of Home Assistant behind ingress, and to programs on
// this machine (case W25).
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	p := principalOf(r.Context())
	allowed := p.embedded && p.admin || !p.embedded && loopback(r) && !proxied(r.Context()) && ownHost(r.Host)
	if bearer(r) != "" {
		_, ok, err := s.tokenPrincipal(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		allowed = ok
	}
	if !allowed {
		w.Header().Set("WWW-Authenticate", `Bearer realm="HearthMQ"`)
		http.Error(w, "a token is needed: Authorization: Bearer hmq_…", http.StatusUnauthorized)
		return
	}
	var b bytes.Buffer
	s.writeMetrics(&b)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes())
}

// ownHost reports whether a program on this machine asked for it by a name that is the
// machine's: an address, or one without a dot. Pages of a site whose name leads to
// 127.0.0.1 ask a browser here, too, and must not read the answer.
func ownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || !strings.Contains(strings.TrimSuffix(host, "."), ".")
}

// writeMetrics writes HearthMQ's own figures, then those below $SYS by the names that
// mosquitto-exporter gives them, so that a dashboard made for Mosquitto goes on, then
// those of the process.
func (s *Server) writeMetrics(w io.Writer) {
	st := s.cfg.Broker.Stats()
	fmt.Fprintf(w, "# HELP hearthmq_info What runs here.\n# TYPE hearthmq_info gauge\nhearthmq_info{version=%q} 1\n", s.cfg.Version)
	for _, m := range []struct {
		name, help string
		value      float64
	}{
		{"hearthmq_start_time_seconds", "When the broker started.", float64(st.Started.Unix())},
		{"hearthmq_connections", "Network connections, those that have not said who they are too.", float64(st.Connections)},
		{"hearthmq_clients", "Clients that are connected.", float64(st.Clients)},
		{"hearthmq_sessions", "Sessions, connected or not.", float64(st.Sessions)},
		{"hearthmq_subscriptions", "Subscriptions of all sessions.", float64(st.Subscriptions)},
		{"hearthmq_retained_messages", "Retained messages.", float64(st.Retained)},
		{"hearthmq_retained_bytes", "Size of the retained messages.", float64(st.RetainedBytes)},
		{"hearthmq_queued_messages", "Messages that wait for clients.", float64(st.QueuedMessages)},
		{"hearthmq_queued_bytes", "Size of the messages that wait.", float64(st.QueuedBytes)},
		{"hearthmq_topics", "Topics whose last value is known.", float64(s.cfg.Feed.Totals().Topics)},
		{"hearthmq_store_pending_changes", "Changes that are not on disk yet.", float64(st.JournalPending)},
		{"hearthmq_store_failing", "1 while nothing can be stored.", flag(st.StoreError != nil)},
	} {
		writeMetric(w, m.name, "gauge", m.help, m.value)
	}
	for _, m := range []struct {
		name, help string
		value      uint64
	}{
		{"hearthmq_connects_accepted_total", "Clients that were let in.", st.ConnectsAccepted},
		{"hearthmq_connects_refused_total", "Clients that were not let in.", st.ConnectsRefused},
		{"hearthmq_denied_total", "Things that clients tried and may not.", st.Denied},
		{"hearthmq_messages_received_total", "Messages from clients.", st.PublishReceived},
		{"hearthmq_messages_sent_total", "Messages to clients.", st.PublishSent},
		{"hearthmq_messages_dropped_total", "Messages that clients did not get.", st.PublishDropped},
		{"hearthmq_packets_received_total", "MQTT packets from clients.", st.PacketsReceived},
		{"hearthmq_packets_sent_total", "MQTT packets to clients.", st.PacketsSent},
		{"hearthmq_bytes_received_total", "Bytes from clients.", st.BytesReceived},
		{"hearthmq_bytes_sent_total", "Bytes to clients.", st.BytesSent},
	} {
		writeMetric(w, m.name, "counter", m.help, float64(m.value))
	}
	writeCertificateMetrics(w, s.certificates(), st.Now)
	s.writeMosquittoMetrics(w)
	metrics.WriteProcessMetrics(w)
}

// writeCertificateMetrics writes when each certificate in use ends, and what the page
// Overview says of it as a number.
func writeCertificateMetrics(w io.Writer, all []Certificate, now time.Time) {
	if len(all) == 0 {
		return
	}
	fmt.Fprint(w, "# HELP hearthmq_certificate_end_time_seconds When a certificate of the encrypted ports ends.\n# TYPE hearthmq_certificate_end_time_seconds gauge\n")
	for _, c := range all {
		fmt.Fprintf(w, "hearthmq_certificate_end_time_seconds{file=%s} %d\n", labelValue(c.File), c.Ends.Unix())
	}
	fmt.Fprint(w, "# HELP hearthmq_certificate_warning 0: good, 1: ends within 30 days, 2: within 7, 3: has ended, or the key or the chain does not fit.\n# TYPE hearthmq_certificate_warning gauge\n")
	for _, c := range all {
		fmt.Fprintf(w, "hearthmq_certificate_warning{file=%s} %d\n", labelValue(c.File), c.warning(now))
	}
}

func (c *Certificate) warning(now time.Time) int {
	switch {
	case !c.Ends.After(now) || c.Problem != "":
		return 3
	case c.Urgent:
		return 2
	case c.Soon:
		return 1
	}
	return 0
}

// labelValue is a text as the format wants it between quotation marks.
func labelValue(s string) string { return `"` + labelText.Replace(s) + `"` }

var labelText = strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`)

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// mosquittoCounters are the figures below $SYS that never go down.
var mosquittoCounters = []string{
	"broker_bytes_received", "broker_bytes_sent", "broker_messages_received", "broker_messages_sent",
	"broker_publish_bytes_received", "broker_publish_bytes_sent", "broker_publish_messages_received",
	"broker_publish_messages_sent", "broker_publish_messages_dropped", "broker_uptime", "broker_clients_maximum",
	"broker_clients_total",
}

// writeMosquittoMetrics writes what stands below $SYS/broker and begins with a number:
// $SYS/broker/load/messages/received/1min is broker_load_messages_received_1min.
func (s *Server) writeMosquittoMetrics(w io.Writer) {
	found := slices.SortedFunc(s.cfg.Broker.Retained("$SYS/broker/#"), func(x, y *broker.Message) int { return strings.Compare(x.Topic, y.Topic) })
	seen := map[string]bool{} // names of bridges may become one
	for _, m := range found {
		number, _, _ := strings.Cut(string(m.Payload), " ") // "17 seconds"
		value, err := strconv.ParseFloat(number, 64)
		if err != nil {
			continue // the version
		}
		name := strings.Map(nameRune, strings.TrimPrefix(m.Topic, "$SYS/"))
		if seen[name] {
			continue
		}
		seen[name] = true
		kind := "gauge"
		if slices.Contains(mosquittoCounters, name) {
			kind = "counter"
		}
		writeMetric(w, name, kind, m.Topic, value)
	}
}

// nameRune is what stands for a character of a topic in a name. One that may not stand
// there would have Prometheus refuse all figures.
func nameRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}

var helpText = strings.NewReplacer("\\", `\\`, "\n", `\n`)

// writeMetric writes one figure with what it is.
func writeMetric(w io.Writer, name, kind, help string, value float64) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %s\n", name, helpText.Replace(help), name, kind, name, strconv.FormatFloat(value, 'g', -1, 64))
}
