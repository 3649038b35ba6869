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
//   - a *tls.Conn, before its handshake;
//   - a conn with Prefix() []byte and NetConn() net.Conn: bytes that were read
//     already to tell protocols apart, and the TCP connection beneath;
//   - a conn with TLSState() *tls.ConnectionState, nil where there is no TLS: MQTT
//     over WebSocket, and MQTT over TLS on a port that serves both.
package listen
