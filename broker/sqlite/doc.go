// Package sqlite keeps what HearthMQ must not forget in one SQLite database:
// sessions, queued and retained messages (broker.Store), users, roles and rules
// (access.Repository), the logins of the web admin and a few values that
// HearthMQ made itself. It is the only package with SQL, and nothing but
// package main imports it.
//
// The database is in WAL mode with synchronous=FULL: what a call has returned
// for survives a power cut. One connection writes, so that calls queue up in the
// process instead of colliding in SQLite; others only read. Several processes
// may have the database open at once (`hearthmq user add` beside a running
// server): a writer waits up to five seconds for the other.
//
// The server opens the database by OpenServer, which starts whatever has become of
// the file: it is put aside when it is damaged, and what can be read of it goes into
// a new one (start.go, salvage.go). Beside the database it keeps accounts.json, which
// survives the database, and ballast, which is given up when the disk is full. A disk
// that fails is not believed again before the connections were made anew (trouble.go).
// What clocks may do is in clock.go.
//
// A stored row is input like any other. One that can't be decoded is logged and
// passed over; it never ends the process.
package sqlite
