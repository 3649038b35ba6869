package web

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// stream sends messages through the broker as fast as it takes them, to somebody who
// is subscribed to all of them.
type stream struct {
	s     *site
	sent  atomic.Int64
	taken atomic.Int64
	stop  atomic.Bool
	all   sync.WaitGroup
}

// streamTopics is how many topics a stream has, streamAhead how many messages may be
// under way: the broker drops none.
const (
	streamTopics = 5000
	streamAhead  = 400
)

func (s *site) stream() *stream {
	s.t.Helper()
	x := &stream{s: s}
	open := func(clientID string) net.Conn {
		nc, err := net.Dial("tcp", s.mqtt)
		s.must(err)
		c := &packet.Connect{Version: packet.V311, ClientID: clientID, CleanStart: true, HasUserName: true, UserName: "zigbee2mqtt", HasPassword: true, Password: []byte("device password")}
		_, err = nc.Write(c.Append(nil, packet.V311))
		s.must(err)
		_, err = packet.NewReader(nc, 0).ReadFrame()
		s.must(err)
		return nc
	}
	in, out := open("stream-in"), open("stream-out")
	_, err := out.Write((&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "house/#"}}}).Append(nil, packet.V311))
	s.must(err)
	r := packet.NewReader(out, 0)
	_, err = r.ReadFrame() // SUBACK
	s.must(err)
	s.t.Cleanup(func() {
		x.stop.Store(true)
		in.Close()
		out.Close()
		x.all.Wait()
	})
	x.all.Go(func() {
		for {
			if _, err := r.ReadFrame(); err != nil {
				return
			}
			x.taken.Add(1)
		}
	})
	x.all.Go(func() {
		var batch []byte
		for i := 0; !x.stop.Load(); {
			if x.sent.Load()-x.taken.Load() > streamAhead {
				time.Sleep(20 * time.Microsecond) // a closed loop: not a wait for something to happen
				continue
			}
			batch = batch[:0]
			for range 100 {
				i++
				p := &packet.Publish{Topic: fmt.Appendf(nil, "house/room %d/device %d", i%streamTopics/100, i%streamTopics), Payload: fmt.Appendf(nil, `{"temperature":%d.5,"humidity":40,"battery":97}`, i%40)}
				batch = p.Append(batch, packet.V311)
			}
			if _, err := in.Write(batch); err != nil {
				return
			}
			x.sent.Add(100)
		}
	})
	return x
}

// rate is how many messages a second arrive during a span.
func (x *stream) rate(span time.Duration) float64 {
	before, start := x.taken.Load(), time.Now()
	<-time.After(span)
	return float64(x.taken.Load()-before) / time.Since(start).Seconds()
}

// viewer looks at the topics as the page does: fifty rows of an open tree and one
// topic's detail. It returns how many bytes it got, and ends with stop.
func viewer(t *testing.T, url string) (bytes *atomic.Int64, stop func()) {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(url, "http")+ingressBase+"/ws", http.Header{"Origin": {url}})
	if err != nil {
		t.Fatal(err)
	}
	bytes = new(atomic.Int64)
	shows, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for seen := false; ; {
			_, frame, err := ws.ReadMessage()
			if err != nil {
				return
			}
			bytes.Add(int64(len(frame)))
			var f struct{ Val []json.RawMessage }
			if !seen && json.Unmarshal(frame, &f) == nil && len(f.Val) > 20 {
				seen = true
				close(shows)
			}
		}
	}()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`{"filter":"house/#","view":[0,50],"go":{"topic":"house/room 7/device 707","reveal":true}}`)); err != nil {
		t.Fatal(err)
	}
	<-shows
	return bytes, func() { ws.Close(); <-done }
}

// TestViewersCostLittle holds ten browsers that look at the topics to a tenth of what
// the broker gets through, and one to 20 kB/s. Rounds with 0, 1 and 10 follow each
// other, so that whatever else the machine does meets all of them.
func TestViewersCostLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("measures time")
	}
	s := newSite(t, nil)
	s.createUser(access.NewUser{Name: "zigbee2mqtt", Password: "device password", Roles: []string{access.RoleEverything}})
	s.listen()
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	machine := brokertest.WatchMachine()
	x := s.stream()
	x.rate(500 * time.Millisecond)
	counts := []int{0, 1, 10}
	rates, share := map[int][]float64{}, map[int][]float64{}
	var wire []float64
	for range 7 {
		none := 0.0
		for _, n := range counts {
			var stops []func()
			var bytes *atomic.Int64
			for range n {
				b, stop := viewer(t, srv.URL)
				bytes, stops = b, append(stops, stop)
			}
			var before int64
			if n == 1 {
				before = bytes.Load()
			}
			const span = 400 * time.Millisecond
			rate := x.rate(span)
			if n == 0 {
				none = rate
			}
			rates[n], share[n] = append(rates[n], rate), append(share[n], rate/none)
			if n == 1 {
				wire = append(wire, float64(bytes.Load()-before)/span.Seconds())
			}
			for _, stop := range stops {
				stop()
			}
		}
	}
	median := func(list []float64) float64 { slices.Sort(list); return list[len(list)/2] }
	none, one, ten, bytes := median(rates[0]), median(share[1]), median(share[10]), median(wire)
	t.Logf("%.0f messages a second without a viewer; %+.1f %% with one, %+.1f %% with ten; %.0f bytes/s for one viewer of topics that all change",
		none, 100*(one-1), 100*(ten-1), bytes)
	if ten < 0.9 {
		machine.Timing(t, "ten viewers cost %.0f %% of the throughput, want less than 10 %%", 100*(1-ten))
	}
	if bytes >= 20_000 {
		machine.Timing(t, "%.0f bytes a second on the wire for one viewer", bytes)
	}
	if none == 0 {
		t.Error("nothing arrived")
	}
}
