package brokertest

import (
	"bytes"
	"cmp"
	"slices"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hearthmq/broker"
)

// diffStates says how two states differ, "" when they are the same. Order does not
// count where it has no meaning, nor does NextMessage.
func diffStates(want, got *broker.State) string {
	return gocmp.Diff(normal(want), normal(got), cmpopts.IgnoreUnexported(broker.Message{}), cmpopts.EquateEmpty(), gocmp.FilterValues(notEmpty, gocmp.Comparer(bytes.Equal)),
		cmpopts.IgnoreFields(broker.State{}, "NextMessage"))
}

// notEmpty leaves to EquateEmpty what it is there for.
func notEmpty(a, b []byte) bool { return len(a)+len(b) > 0 }

// normal is the state in a fixed order. It shares nothing that it changes.
func normal(s *broker.State) *broker.State {
	out := &broker.State{Sessions: slices.Clone(s.Sessions), Retained: slices.Clone(s.Retained)}
	slices.SortFunc(out.Retained, func(a, b *broker.Message) int { return cmp.Compare(a.Topic, b.Topic) })
	slices.SortFunc(out.Sessions, func(a, b broker.StoredSession) int { return cmp.Compare(a.ClientID, b.ClientID) })
	for i := range out.Sessions {
		x := &out.Sessions[i]
		x.Subscriptions, x.Received = slices.Clone(x.Subscriptions), slices.Sorted(slices.Values(x.Received))
		slices.SortFunc(x.Subscriptions, func(a, b broker.Subscription) int { return cmp.Compare(a.FullFilter(), b.FullFilter()) })
		// The queue's order is part of the state: by Seq.
	}
	return out
}
