package brokertest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"hearthmq/broker"
)

// seeds is how many histories testRandomChanges tries.
var seeds = flag.Uint64("store.seeds", 3, "histories drawn by lot that a Store is tried with")

// testRandomChanges compares the store with the one in memory over histories
// drawn by lot, with restarts between.
func testRandomChanges(t *testing.T, open func(t *testing.T) (broker.Store, func() broker.Store)) {
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := &storeTest{T: t}
			s.store, s.reopen = open(t)
			s.load(s.store)
			model := broker.NewMemoryStore()
			r := &history{Rand: rand.New(rand.NewPCG(seed, 1))}
			for step := range 60 {
				batch := make([]broker.Change, 1+r.IntN(40))
				for i := range batch {
					batch[i] = r.change()
				}
				s.apply(batch...)
				if err := model.Apply(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
				if r.IntN(6) > 0 && step < 59 {
					continue
				}
				want, got := s.load(model), s.restart()
				if diff := diffStates(want, got); diff != "" {
					t.Fatalf("after %d batches (-want +got):\n%s", step+1, diff)
				}
			}
		})
	}
}

// history draws changes from few sessions, topics and numbers, so that they meet.
type history struct {
	*rand.Rand
	messages int64
}

func (r *history) change() broker.Change {
	client := fmt.Sprint("client ", r.IntN(4))
	seq := r.Int64N(30)
	packetID := uint16(1 + r.IntN(5))
	switch r.IntN(24) {
	case 0, 1:
		x := record(client)
		x.Expiry = r.Uint32()
		return broker.SessionSaved{Session: x}
	case 2:
		return broker.SessionDeleted{ClientID: client}
	case 3, 4:
		return broker.SubscriptionSaved{ClientID: client, Subscription: broker.Subscription{
			Filter: fmt.Sprint("filter/", r.IntN(3)), Share: []string{"", "group"}[r.IntN(2)], QoS: byte(r.IntN(3)), ID: uint32(r.IntN(3))}}
	case 5:
		return broker.SubscriptionDeleted{ClientID: client, FullFilter: []string{"", "$share/group/"}[r.IntN(2)] + fmt.Sprint("filter/", r.IntN(3))}
	case 6, 7:
		return broker.RetainedSet{Message: retained(fmt.Sprint("topic/", r.IntN(6)), fmt.Sprint(r.Uint64()))}
	case 8:
		return broker.RetainedCleared{Topic: fmt.Sprint("topic/", r.IntN(6))}
	case 9, 10, 11, 12, 13:
		// A message of its own, or one of the last few: shared, or back after it went.
		id := max(1, r.messages-r.Int64N(4))
		if r.IntN(3) == 0 {
			r.messages++
			id = r.messages
		}
		m := message("a/b", fmt.Sprint("message ", id))
		return broker.Queued{ClientID: client, MessageID: id, Delivery: broker.StoredDelivery{Seq: seq, Message: m, QoS: 1}}
	case 14, 15, 16:
		return broker.Sent{ClientID: client, Seq: seq, PacketID: packetID, State: broker.StateSent + broker.DeliveryState(r.IntN(2))}
	case 17, 18, 19:
		return broker.Done{ClientID: client, Seq: seq}
	case 20:
		return broker.Received{ClientID: client, PacketID: packetID}
	case 21:
		return broker.Released{ClientID: client, PacketID: packetID}
	case 22:
		m := message("will", fmt.Sprint(r.Uint64()))
		m.Expires = time.Time{}
		return broker.WillSaved{ClientID: client, Will: &broker.Will{Message: m}}
	default:
		return broker.WillDeleted{ClientID: client}
	}
}
