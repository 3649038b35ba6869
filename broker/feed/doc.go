// Package feed keeps what a person wants to see of the broker's traffic: every
// topic with its last value, who sent it, how big it was and how often it comes.
//
// It shows state, not a stream. Feed is the broker's Observer and always on;
// OnPublish costs one short lock and one copy and allocates nothing for a topic
// that is known. Browsers look through a View each: it lists the rows that follow
// from what is open, sends those on the screen, and asks at its own pace what of them
// has changed, so that a slow browser gets fewer frames, never a backlog, and can't
// slow the broker.
//
// Everything is bounded (Limits), and what was left out is counted and said
// (Totals). Topic Names and payloads are hostile: this package never renders,
// it hands out text that is valid UTF-8 and nothing more.
//
// Locks, outermost first: Feed.mu, View.mu, entry.mu. OnPublish for a known
// topic takes entry.mu alone.
//
// The package imports broker, topic and feed/payload; it knows neither SQL nor
// HTTP. It is called by the broker (as Observer), web and cmd/hearthmq.
package feed
