// Package difftest holds HearthMQ against another broker: the same random
// scripts of several clients run against both, packet by packet, and whatever
// one says differently from the other is either known, with a reason and a rule
// that recognises it (differences.md), or fails the test (case P36).
//
// It has tests only. They drive a broker in this process over a real TCP
// listener and the system's mosquitto, started on a free port of the loopback
// interface. Without mosquitto they are skipped, except in CI.
//
//	go test ./broker/difftest                                   # a fixed set of seeds
//	go test ./broker/difftest -difftest.seeds 5000              # more
//	go test ./broker/difftest -difftest.first 1234 -difftest.seeds 1 -v
//
// # How a script becomes two transcripts
//
// A script is made from its seed alone. Its steps (connect, subscribe, publish,
// acknowledge, disconnect, drop ...) are done one after the other on both
// brokers. After each step the clients exchange PINGREQ and PINGRESP until a
// whole round brings nothing else: a broker answers in order, so everything that
// the step caused has then arrived, and no test has to sleep. The end of a
// connection is awaited in another way, since nothing can be asked on it any
// more: HearthMQ's ServeConn returns, and Mosquitto, which has one thread,
// answers a bystander's PINGREQ after it has dealt with the closed socket.
//
// What each client received in each step is compared: as a set, with the order
// looked at where the specification demands one (per topic, QoS and publisher,
// and per kind of acknowledgement). Packet Identifiers are replaced by what they
// stand for, topic aliases by the topic, Message Expiry Intervals by what they
// were; of CONNACK only Session Present and the code count.
//
// Every payload names the client and the step that sent it, so a transcript says
// which message arrived where. Where brokers part for good (one closes the
// connection, the other does not) the script ends.
package difftest
