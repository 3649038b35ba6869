package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/listen"
	"hearthmq/broker/packet"
)

// case A16: a certificate that is revoked, that ends, or whose authority is gone, ends the
// connection that was made with it, on every encrypted door. A client of MQTT 5 is told
// (section 3.14.2.1) and one of MQTT 3 is closed; others stay, and the owner reads why.
func TestDistrustedWhileConnected(t *testing.T) {
	d := newDistrust(t)
	revoked := []int64{d.issue("mqtts3"), d.issue("mqtts5"), d.issue("wss5"), d.issue("shared5"), d.issue("sharedws5")}
	for _, name := range []string{"short3", "short5"} {
		d.issueFor(name, 90*time.Minute)
	}
	d.issue("plug")
	d.open("mqtts3", "mqtts5", "wss5", "shared5", "sharedws5", "short3", "short5", "plug")

	told := map[string]*packet.Reader{}
	for name, door := range map[string]string{"mqtts3": "mqtts", "mqtts5": "mqtts", "wss5": "wss", "shared5": "shared", "sharedws5": "sharedws", "short3": "mqtts", "short5": "mqtts", "plug": "mqtts"} {
		told[name] = d.connect(name, door)
	}
	d.revoke(revoked...)
	d.reread(time.Now())
	for _, name := range []string{"mqtts5", "wss5", "shared5", "sharedws5"} {
		d.goodbye(name, told[name], packet.NotAuthorized, "") // the reason is the owner's alone
	}
	d.closed("mqtts3", told["mqtts3"])
	for _, name := range []string{"mqtts3", "mqtts5", "wss5", "shared5", "sharedws5"} {
		d.explained(name, "was revoked")
	}
	d.reread(time.Now().Add(91 * time.Minute)) // the lists of the CRL count on
	d.goodbye("short5", told["short5"], packet.MaximumConnectTime, "the client's certificate has ended")
	d.closed("short3", told["short3"])
	for _, name := range []string{"short3", "short5"} {
		d.explained(name, "has expired")
	}
	if s, _, err := d.broker.Session("plug"); err != nil || !s.Connected {
		t.Errorf("the plug, whose certificate is good: %+v, %v", s, err)
	}
	stranger := newHouse(t)
	d.check(os.Rename(stranger.path("ca.pem"), d.path("ca.pem")))
	stranger.revoke()
	d.check(os.Rename(stranger.path("revoked.pem"), d.path("revoked.pem")))
	d.reread(time.Now().Add(95 * time.Minute))
	d.closed("plug", told["plug"])
	d.explained("plug", "unknown authority")
}

// distrust is a broker with encrypted doors that rereads its files when it is told.
type distrust struct {
	*house
	t       *testing.T
	broker  *broker.Broker
	denials *access.Denials
	dir     *access.Directory
	log     *syncBuffer
	roots   *x509.CertPool
	doors   map[string]*listen.Opened
}

func newDistrust(t *testing.T) *distrust {
	t.Helper()
	d := &distrust{house: newHouse(t), t: t, denials: access.NewDenials(), dir: access.NewDirectory(access.Policy{}), log: newSyncBuffer(t.Output()), roots: x509.NewCertPool()}
	d.issue("server")
	d.revoke()
	d.roots.AddCert(d.cert)
	return d
}

// open starts the broker; users have everything but a password.
func (d *distrust) open(users ...string) {
	d.t.Helper()
	log := slog.New(slog.NewTextHandler(d.log, nil))
	accounts := access.NewAccounts(access.NewMemoryRepository(), d.dir, nil, log)
	d.check(accounts.Open(d.t.Context()))
	for _, name := range users {
		_, _, err := accounts.CreateUser(d.t.Context(), access.NewUser{Name: name, NoPassword: true, Roles: []string{access.RoleEverything}})
		d.check(err)
	}
	var err error
	d.broker, err = broker.New(broker.DefaultConfig(), broker.Deps{Authenticator: d.dir, Authorizer: d.dir, Observer: d.denials, Log: log})
	d.check(err)
	files := &listen.TLS{
		CertFile: d.path("server.pem"), KeyFile: d.path("server.key"), CAFile: d.path("ca.pem"), CRLFile: d.path("revoked.pem"),
		RequireCertificate: true, Names: listen.Names{From: listen.NamesCN},
	}
	both := brokertest.FreeAddress(d.t)
	l := openListeners(d.t.Context(), []listen.Config{
		{Setting: "mqtts_address", Name: "mqtts", Network: "tcp", Address: "127.0.0.1:0", TLS: files},
		{Setting: "wss_address", Name: "wss", Network: "tcp", Address: "127.0.0.1:0", TLS: files, WebSocket: true},
		{Setting: "mqtts_address", Name: "shared", Network: "tcp", Address: both, TLS: files},
		{Setting: "wss_address", Name: "sharedws", Network: "tcp", Address: both, TLS: files, WebSocket: true},
	}, d.broker, log)
	if len(l.opened()) != 4 {
		d.t.Fatal("a port is missing")
	}
	d.doors = map[string]*listen.Opened{}
	served := make(chan error, 4)
	for _, o := range l.opened() {
		d.doors[o.Config.Name] = o
		go func() {
			served <- d.broker.Serve(d.t.Context(), o.Listener, broker.ListenerInfo{Name: o.Config.Name, TLS: true, WebSocket: o.Config.WebSocket})
		}()
	}
	d.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		d.check(d.broker.Shutdown(ctx))
		l.close()
		for range 4 {
			<-served
		}
	})
}

// reread has the listeners look at their files, as the watch does once a minute.
func (d *distrust) reread(now time.Time) { d.doors["mqtts"].Reread(now) }

// connect logs the device in by its certificate. A name that ends with 5 speaks MQTT 5.
func (d *distrust) connect(name, door string) *packet.Reader {
	d.t.Helper()
	pair, err := tls.LoadX509KeyPair(d.path(name+".pem"), d.path(name+".key"))
	d.check(err)
	cfg := &tls.Config{RootCAs: d.roots, Certificates: []tls.Certificate{pair}}
	o := d.doors[door]
	var c net.Conn
	if o.Config.WebSocket {
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, TLSClientConfig: cfg, HandshakeTimeout: time.Minute}
		ws, resp, err := dialer.DialContext(d.t.Context(), "wss://"+o.Listener.Addr().String(), nil)
		d.check(err)
		resp.Body.Close()
		c = &framed{Conn: ws.NetConn(), ws: ws}
	} else {
		c, err = tls.Dial("tcp", o.Listener.Addr().String(), cfg)
		d.check(err)
	}
	d.t.Cleanup(func() { c.Close() })
	d.check(c.SetDeadline(time.Now().Add(3 * time.Minute)))
	p := packet.Connect{Version: packet.V311, ClientID: name, CleanStart: true, KeepAlive: 600}
	if strings.HasSuffix(name, "5") {
		p.Version = packet.V50
	}
	_, err = c.Write(p.Append(nil, p.Version))
	d.check(err)
	r := packet.NewReader(c, 0)
	f, err := r.ReadFrame()
	d.check(err)
	ack := packet.Connack{}
	if err := ack.Decode(p.Version, f); err != nil || ack.Code != packet.Success || ack.ReturnCode != 0 {
		d.t.Fatalf("%s by %s: %+v, %v", name, door, ack, err)
	}
	return r
}

// framed reads and writes MQTT over WebSocket.
type framed struct {
	net.Conn
	ws   *websocket.Conn
	rest []byte
}

func (f *framed) Write(b []byte) (int, error) {
	return len(b), f.ws.WriteMessage(websocket.BinaryMessage, b)
}

func (f *framed) Read(b []byte) (int, error) {
	for len(f.rest) == 0 {
		var err error
		if _, f.rest, err = f.ws.ReadMessage(); err != nil {
			return 0, err
		}
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// goodbye expects a DISCONNECT, and nothing behind it.
func (d *distrust) goodbye(name string, r *packet.Reader, code packet.ReasonCode, why string) {
	d.t.Helper()
	f, err := r.ReadFrame()
	if err != nil {
		d.t.Errorf("%s was closed without a word: %v", name, err)
		return
	}
	var p packet.Disconnect
	if f.Type() != packet.TypeDisconnect || p.Decode(packet.V50, f) != nil || p.Code != code || p.Properties.ReasonString != why {
		d.t.Errorf("%s was told %v %+v, want %v %q", name, f.Type(), p, code, why)
	}
	d.closed(name, r)
}

func (d *distrust) closed(name string, r *packet.Reader) {
	d.t.Helper()
	f, err := r.ReadFrame()
	if err == nil {
		d.t.Errorf("%s got a packet of type %v, want the end", name, f.Type())
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		d.t.Errorf("%s is still connected", name)
	}
}

// explained looks at all places where an owner reads why: the denials, the command why, and the log.
func (d *distrust) explained(name, why string) {
	d.t.Helper()
	e := access.Explainer{Directory: d.dir, Denials: d.denials, Sessions: d.broker}
	eventually(d.t, "the owner is told why "+name+" is gone", func() bool {
		f := e.Why(name).Findings[0]
		return f.Cause == access.Cause(broker.CertificateInvalid) && f.User == name && f.ClientID == name && f.Advice != "" && strings.Contains(f.Text, why)
	})
	for _, n := range d.denials.Recent() {
		if n.User == name && (n.ClientID != name || !strings.Contains(n.Why(), why)) {
			d.t.Errorf("denied: %+v", n)
		}
	}
	eventually(d.t, "the log says of "+name+" that it "+why, func() bool {
		log := d.log.String()
		return strings.Contains(log, `msg="client disconnected" client_id=`+name) && strings.Contains(log, why)
	})
}
