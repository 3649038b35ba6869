package web

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/metrics"

	"hearthmq/broker"
)

// metrics answers GET /metrics in the text format of Prometheus: to a token of any
// scope, to an administrator of Home Assistant behind ingress, and to programs on
// this machine (case W25).
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	p := principalOf(r.Context())
	allowed := p.embedded && p.admin || !p.embedded && loopback(r) && !proxied(r.Context())
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

// writeMetrics writes HearthMQ's own figures, then those below $SYS by the names that
// mosquitto-exporter gives them, so that a dashboard made for Mosquitto goes on, then
// those of the process.
func (s *Server) writeMetrics(w io.Writer) {
	st := s.cfg.Broker.Stats()
	metrics.WriteGaugeUint64(w, `hearthmq_info{version=`+strconv.Quote(s.cfg.Version)+`}`, 1)
	for _, m := range []struct {
		name  string
		value float64
	}{
		{"hearthmq_start_time_seconds", float64(st.Started.Unix())},
		{"hearthmq_connections", float64(st.Connections)},
		{"hearthmq_clients", float64(st.Clients)},
		{"hearthmq_sessions", float64(st.Sessions)},
		{"hearthmq_subscriptions", float64(st.Subscriptions)},
		{"hearthmq_retained_messages", float64(st.Retained)},
		{"hearthmq_retained_bytes", float64(st.RetainedBytes)},
		{"hearthmq_queued_messages", float64(st.QueuedMessages)},
		{"hearthmq_queued_bytes", float64(st.QueuedBytes)},
		{"hearthmq_topics", float64(s.cfg.Feed.Totals().Topics)},
		{"hearthmq_store_pending_changes", float64(st.JournalPending)},
		{"hearthmq_store_failing", flag(st.StoreError != nil)},
	} {
		metrics.WriteGaugeFloat64(w, m.name, m.value)
	}
	for _, m := range []struct {
		name  string
		value uint64
	}{
		{"hearthmq_connects_accepted_total", st.ConnectsAccepted},
		{"hearthmq_connects_refused_total", st.ConnectsRefused},
		{"hearthmq_denied_total", st.Denied},
		{"hearthmq_messages_received_total", st.PublishReceived},
		{"hearthmq_messages_sent_total", st.PublishSent},
		{"hearthmq_messages_dropped_total", st.PublishDropped},
		{"hearthmq_packets_received_total", st.PacketsReceived},
		{"hearthmq_packets_sent_total", st.PacketsSent},
		{"hearthmq_bytes_received_total", st.BytesReceived},
		{"hearthmq_bytes_sent_total", st.BytesSent},
	} {
		metrics.WriteCounterUint64(w, m.name, m.value)
	}
	s.writeMosquittoMetrics(w)
	metrics.WriteProcessMetrics(w)
}

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
	names := strings.NewReplacer("/", "_", " ", "_", "-", "_", ".", "_")
	for _, m := range found {
		number, _, _ := strings.Cut(string(m.Payload), " ") // "17 seconds"
		value, err := strconv.ParseFloat(number, 64)
		if err != nil {
			continue // the version
		}
		name := names.Replace(strings.TrimPrefix(m.Topic, "$SYS/"))
		if slices.Contains(mosquittoCounters, name) {
			metrics.WriteCounterFloat64(w, name, value)
		} else {
			metrics.WriteGaugeFloat64(w, name, value)
		}
	}
}
