// Package mosquitto reads what a Mosquitto broker leaves on disk: mosquitto.conf,
// password_file, acl_file, dynamic-security.json, mosquitto.db, the rows of
// mosquitto.sqlite3, and the options and the backup of its Home Assistant app. It
// turns them into HearthMQ's own types, for the importer and for `serve -c`.
//
// Readers are pure: they are handed a reader or a Files, look at nothing else and
// change nothing. Whatever they find odd becomes a Notice with file and line; only
// what has the level Broken keeps an import from happening. Input is hostile: every
// length is compared with a limit before anything is allocated.
//
// The importer goes in three steps. Read gathers everything into an Input, NewPlan
// makes of it what would be stored together with a Report for people, and Plan.Apply
// stores it. The first two can be done as often as one likes.
//
// # Rights
//
// Mosquitto decides by the first rule that matches, HearthMQ lets a deny beat every
// allow. Package mosquitto translates so that nobody may do more than before. Where
// that takes rights away, a Notice names the lines. See settle.
//
// The package imports broker, access, packet and topic; no SQL, no HTTP. It is called
// by cmd/hearthmq, sqlite and web.
package mosquitto
