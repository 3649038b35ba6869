// Package access decides who may come in and what they may do: users, roles and
// rules, passwords, the throttle for logins, and the service that changes all that.
//
// Directory answers the broker. It holds everything in one immutable snapshot
// behind an atomic pointer; no question ever waits for a database. Accounts is the
// only way to change a user, a role or a rule: it checks, hashes, stores through a
// Repository together with an audit row, swaps the Directory's snapshot and asks
// the broker to look at its sessions again.
//
// How rules are judged (the contract with owners):
//
//   - A deny beats an allow. Where nothing matches, the answer is no. Order never matters.
//   - A name that starts with '$' is matched only by rules that start with '$'.
//   - $SYS may be read by every user and written by none, system users included.
//   - A SUBSCRIBE wholly outside the allowed topics is refused; one that overlaps is
//     granted and narrowed at delivery.
//
// The package must not import database/sql or net/http. It starts no goroutines.
package access
