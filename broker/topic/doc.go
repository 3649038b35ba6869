// Package topic knows Topic Names and Topic Filters: what is well formed, which
// filter matches which name, how shared subscriptions are named, and how filters
// relate to each other as sets of names.
//
// Trie maps filters (or names) to values. Three parts of HearthMQ use it:
// subscriptions (which filters match this name), retained messages (which names
// does this filter match) and access rules.
//
// Rules that hold everywhere in this package:
//
//   - A topic is cut into levels at '/'. Empty levels are levels: "/a" has two.
//   - A wildcard in the first level of a filter does not match a name that starts
//     with '$' [MQTT-4.7.2-1].
//   - Comparison is byte by byte, no normalisation of any kind [MQTT-4.7.3-4].
//   - No recursion on levels; names and filters come from the network and may have
//     65,536 of them before ValidName or ValidFilter has spoken (CVE-2019-11779).
//
// The package imports the standard library only. It is called by broker, access,
// feed, bridge and mosquitto.
package topic
