package brokertest_test

import (
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
)

func TestMemoryStore(t *testing.T) {
	brokertest.TestStore(t, func(t *testing.T) (broker.Store, func() broker.Store) {
		s := broker.NewMemoryStore()
		return s, func() broker.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}
