package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"hearthmq/broker"
)

// BenchmarkApply is the load of facts/reliability.md 2.4: n messages queued and n
// older ones done per transaction, 250 bytes each, 20 sessions, 2,000 waiting.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(n, " rows"), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "hearthmq.db")).Store()
			defer closeAll(b, s)
			seq := fill(b, s, 2000)
			b.ResetTimer()
			for b.Loop() {
				batch := make([]broker.Change, 0, 2*n)
				for range n {
					seq++
					batch = append(batch, benchQueued(seq), broker.Done{ClientID: benchClient(seq - 2000), Seq: seq - 2000})
				}
				if err := s.Apply(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func fill(b *testing.B, s broker.Store, n int64) (seq int64) {
	b.Helper()
	if _, err := s.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	var batch []broker.Change
	for i := range int64(20) {
		batch = append(batch, broker.SessionSaved{Session: broker.SessionRecord{ClientID: benchClient(i), Version: 5}})
	}
	for seq = 1; seq <= n; seq++ {
		batch = append(batch, benchQueued(seq))
	}
	if err := s.Apply(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	return n
}

func benchClient(seq int64) string { return fmt.Sprint("zigbee2mqtt-", seq%20) }

func benchQueued(seq int64) broker.Queued {
	m := broker.NewMessage("zigbee2mqtt/living room/lamp", make([]byte, 250), 1, false)
	m.PublisherID, m.PublisherUser = "zigbee2mqtt", "zigbee"
	return broker.Queued{ClientID: benchClient(seq), MessageID: seq, Delivery: broker.StoredDelivery{Seq: seq, Message: m, QoS: 1}}
}

func BenchmarkLoadRetained(b *testing.B) {
	const n = 100_000
	s := open(b, filepath.Join(b.TempDir(), "hearthmq.db")).Store()
	defer closeAll(b, s)
	fill(b, s, 0)
	for from := 0; from < n; from += 5000 {
		var batch []broker.Change
		for i := range 5000 {
			m := broker.NewMessage(fmt.Sprintf("homeassistant/sensor/0x%016x/state", from+i), make([]byte, 250), 0, true)
			batch = append(batch, broker.RetainedSet{Message: m})
		}
		if err := s.Apply(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		state, err := s.Load(b.Context())
		if err != nil || len(state.Retained) != n {
			b.Fatal(len(state.Retained), err)
		}
	}
}
