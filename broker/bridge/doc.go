// Package bridge connects the broker with other brokers: it carries the messages
// of some topics there, of others here, under the same names or others. It must not
// import SQL or HTTP; cmd/hearthmq and web use it.
//
// # How it works
//
// A bridge is a client on both sides: of the other broker over the network, and of
// this one over an in-memory connection. Between the two it passes packets on, and
// keeps no message itself. Its local session outlives connections, so what is to go
// out queues there while the other side is away, as durable, bounded and visible as
// any client's queue.
//
// Packet Identifiers are the same on both sides. An acknowledgement is passed on when
// it comes and never given before: what this broker considers delivered the other one
// has taken, and the other way round. Whoever lost a connection sends its open
// messages again with their identifiers, the receiver knows them, and QoS 2 stays
// exactly once over any number of cut links and restarts. For that the two sessions
// must be of the same age: where there is no local one, the bridge asks the other
// side for a new one, too, and where the other side has none, the local one forgets
// what it received (broker.ForgetReceived).
//
// # Loops
//
// Nothing comes back over the bridge that brought it: No Local, or before MQTT 5
// Mosquitto's mark of a bridge, sees to that. Against loops over several brokers each
// MQTT 5 bridge writes into a User Property which brokers a message has come through,
// and drops what has been here already or has come through too many.
package bridge
