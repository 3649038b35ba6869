// Package listen opens the sockets that MQTT clients come in by: TCP, TLS whose
// certificate is reread when its files change, MQTT over WebSocket, Unix domain
// sockets, and one port that serves MQTT and MQTT over WebSocket.
//
// All it hands out are plain net.Listeners and net.Conns. It knows nothing of
// MQTT beyond its first byte and must not import package broker; addon makes its
// Configs from the settings and cmd/hearthmq gives the listeners to the broker.
//
// What the broker may find in a net.Conn of this package:
//
//   - a *net.TCPConn or *net.UnixConn, as the kernel accepted it;
//   - an encrypted connection, before its handshake;
//   - a conn with Prefix() []byte and NetConn() net.Conn: bytes that were read
//     already to tell protocols apart, and the TCP connection beneath;
//   - MQTT over WebSocket, and MQTT over TLS on a port that serves both, as a stream.
//
// Those that need memory while a Read waits have Wait() error, which waits without.
//
// The last three have PeerName() (string, error): whom a verified client certificate
// names, and encrypted ones OnDistrust(func(err error, ended bool)): what to do when that
// certificate is not trusted any more. Clients that are turned away by the handshake, of TLS or
// of WebSocket, are told to Config.Refused, since no connection of theirs may ever come out here.
package listen
