// Package brokertest helps to test the broker: a buffered in-memory connection
// that obeys fake clocks, a client that speaks packets, and the conformance
// suite of broker.Store. Only tests import it.
package brokertest
