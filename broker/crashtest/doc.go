// Package crashtest is the crash laboratory: it runs the real broker with the real
// database in a process of its own, under load over TCP, takes the process or the
// power away at random moments, and looks whether everything is there that had
// been acknowledged (cases S1 to S4, S8, S18). It has tests only.
//
//	go test ./broker/crashtest                                 # what CI runs
//	go test ./broker/crashtest -run Kill -crash.kills 1000
//	go test ./broker/crashtest -run PowerCut -crash.images 100000 -timeout 4h
//	go test ./broker/crashtest -run Figures -crash.bench -v    # the figures of durability
//	go test ./broker/crashtest -crash.seed 42                  # the seed that a failure names
//
// # kill -9
//
// TestKill kills the process, starts it again on the same folder, lets publishers
// resume their handshakes and subscribers fetch what waits for them, and compares
// with the ledger of what was sent and acknowledged: at least once for QoS 1,
// exactly once for QoS 2, retained messages no older than the last acknowledged
// one, every session present. What a killed process has written the kernel still
// has, so this finds wrong logic; it says nothing about fsync.
//
// # Power cuts
//
// TestPowerCut does. The broker runs under strace, which notes every system call on
// its files and its sockets in the order in which they happened. From that record
// two things are rebuilt step by step:
//
//   - the disk: of each file the bytes that an fsync has covered, and the writes
//     since. A power cut leaves the former and of the latter nothing, all, any
//     subset, or a subset of which writes are torn at sectors of 512 bytes;
//   - what the broker was told and has said, packet by packet: a packet counts as
//     said once the write that ends it begins, and as heard once the read returned.
//
// At random steps an image of the disk is written and opened by package sqlite. It
// must hold what had been said by then (oracle_test.go): a PUBACK stands for a
// delivery that is stored or was acknowledged by its receiver, a PUBREC for one
// and for the Packet Identifier, a PUBCOMP for the end of it, a QoS 2 PUBLISH or
// PUBREL to a client for the state that keeps it from coming twice.
//
// The record is only worth something when nothing is missing from it: lines that
// can't be understood, writes cut short by strace, calls that write by other ways
// (mmap, writev, fallocate) and descriptors of unknown origin are errors, and at
// the end the rebuilt files must equal the real ones byte for byte. TestLaboratory
// checks that brokers and disks that lie are caught.
//
// The model's limits: fsync of an honest disk is taken to work, and names of files
// (made, renamed, removed) to be durable at once. The -shm file is left out, as
// after a power cut SQLite makes it anew.
package crashtest
