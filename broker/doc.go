// Package broker is the MQTT server: connections, sessions, delivery, retained
// messages, wills and $SYS, for MQTT 3.1, 3.1.1 and 5.0. It knows nothing of
// SQL, HTTP, users or files: those sit behind the seams Authenticator,
// Authorizer, Store and Observer, which are implemented elsewhere. It is called
// by cmd/hearthmq, and through small interfaces by web, feed and bridge. It needs no
// extension of the protocol to work with others [MQTT3-7.0.0-2].
//
// # Vocabulary
//
// The specification's. A Network Connection (conn) dies with its socket; a
// Session lives as long as the specification says. A Message is an Application
// Message, immutable and shared; a delivery is what one session gets of it.
//
// # Goroutines
//
// Per connection one reader, which runs the whole way of a PUBLISH: it appends
// to the receivers' outbound buffers while it works through what one read
// brought, and flushes each touched receiver once at the end, without blocking.
// A writer goroutine exists only while a receiver's socket is full, or where the
// transport can't be written without blocking (TLS, WebSocket). Idle connections
// hold no buffers, and until its CONNECT is there a connection is a guest: a goroutine
// that waits on the smallest stack and hands over to a new one. Beside them one journal and one $SYS ticker;
// session expiry, delayed wills and keep alive are timers.
//
// # Locks, outermost first
//
//	journal.gate (read) → retained stripe → retained.mu → sessions.mu →
//	subscriptions.mu → Session.mu → conn.mu → journal.mu, warm.mu, audiences.mu, shareGroup (leaves)
//
// Never take one to the left while holding one to the right. No lock is held
// over blocking I/O, hashing, Store calls or Observer calls.
//
//   - SUBSCRIBE inserts the subscription before it reads retained messages;
//     PUBLISH stores a retained message before it matches. A message can then be
//     seen twice, never lost.
//   - A retained PUBLISH holds its topic's stripe from storing to the last
//     enqueue, and so does the replay of that topic to a new subscriber: the last
//     value that a subscriber saw is the retained one.
//   - Each call of a conn into its Session names the conn. After a take-over the
//     old conn's calls have no effect, so two writers never drain one queue.
//   - Whoever appends changes to the journal holds journal.gate for reading over
//     everything that belongs together: the journal cuts its batches only between.
//
// # What is stored before what is said
//
// A PUBACK, PUBREC, PUBCOMP, SUBACK or UNSUBACK leaves when the changes that it
// promises are committed, at once when there are none. A QoS 2 PUBLISH or PUBREL
// to a session that outlives its connection leaves when its Packet Identifier is
// committed, so that no crash can deliver it twice.
package broker
