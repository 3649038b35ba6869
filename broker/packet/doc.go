// Package packet is the wire format of MQTT 3.1, 3.1.1 and 5.0: all fifteen
// packets, all properties, both directions. It knows bytes and the rules a
// single packet can break; what depends on a session, on other packets or on
// rights belongs to package broker, the syntax of Topic Filters to package
// topic. It imports the standard library only.
//
// # Decoding
//
// [Split] cuts whole packets off a read buffer, [Reader] does so for a plain
// io.Reader. A [Frame] aliases the buffer it was cut from, and so does a decoded
// [Publish]; every other packet holds copies. [Publish.Decode], [DecodeAck] and
// their encoders allocate nothing. [Decode] returns a fresh packet of any type
// for callers that do not count nanoseconds.
//
// No input makes this package panic, and no announced length makes it allocate:
// lengths are compared with the limit and with the bytes at hand first.
//
// # Errors
//
// Whatever is wrong with the bytes is an [*Error] with the Reason Code that
// answers it. The MQTT 5 code is set for old versions too; a 3.1.1 connection
// is closed without one.
//
// # Text
//
// UTF-8 strings follow section 1.5.4: ill-formed sequences, surrogates,
// overlong forms and U+0000 are refused. Control characters (U+0001..U+001F,
// U+007F..U+009F) and non-characters such as U+FFFF, which a receiver may
// accept or refuse, are accepted: boards in the field send them and nothing in
// this program is confused by them. A byte order mark is kept as it is.
//
// # MQTT 3.1
//
// [V31] tolerates what old boards do because 3.1 never forbade it: unused flag
// bits of the fixed header (SUBSCRIBE and UNSUBSCRIBE still have QoS 1), DUP
// with QoS 0, the reserved CONNECT flag, will flags without a will, a User Name
// or Password that the flags announce and the packet ends before, and SUBSCRIBE
// and UNSUBSCRIBE without filters.
package packet
