package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/addon/addontest"
	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
)

// whySite is a running server, somebody at its command line and in its admin, and a
// house of devices. Devices come from addresses of their own on this machine.
type whySite struct {
	*testing.T
	*testServer
	house *house
	admin *person
}

// users runs a command about users and waits until the server knows of the change.
func (w *whySite) users(args ...string) {
	w.Helper()
	told := func() int { return strings.Count(w.log.String(), "changed by another process") }
	before := told()
	if r := command(w.T, w.dir, "x", append([]string{"user"}, args...)...); r.code != 0 {
		w.Fatal(r.stderr)
	}
	eventually(w.T, "the server knows of "+strings.Join(args, " "), func() bool { return told() > before })
}

// member adds a user with the password "x".
func (w *whySite) member(name string, more ...string) {
	w.Helper()
	w.users(append([]string{"add", name, "--password-stdin"}, more...)...)
}

// signIn makes the administrator and opens the admin.
func (w *whySite) signIn() {
	w.Helper()
	w.member("owner", "--admin")
	w.admin = newPerson(w.T, w.testServer.admin)
	w.admin.post("/login", url.Values{"username": {"owner"}, "password": {"x"}})
	w.clicks()
}

// clicks wants the way from the start page to the question: a button there, and a form
// where it leads.
func (w *whySite) clicks() {
	w.Helper()
	if !strings.Contains(w.admin.get("/"), `href="/access#why">Why is my device silent?`) {
		w.Error("no button on the start page")
	}
	if form := regexp.MustCompile(`(?s)id="why".*?<form method="post" action="/access/why".*?name="about"`); !form.MatchString(w.admin.get("/access")) {
		w.Error("no form on the page Access")
	}
}

// device connects from 127.0.0.N; o may be changed before.
func (w *whySite) device(from byte, id, user, password string, change func(o *mqtt.ClientOptions)) (mqtt.Client, error) {
	w.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + w.mqtt).SetClientID(id).SetUsername(user).SetPassword(password).SetProtocolVersion(4).
		SetAutoReconnect(false).SetConnectTimeout(time.Minute).SetDialer(&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}})
	if change != nil {
		change(o)
	}
	c := mqtt.NewClient(o)
	token := c.Connect()
	if !token.WaitTimeout(3 * time.Minute) {
		w.Fatal("no CONNACK")
	}
	w.Cleanup(func() { c.Disconnect(0) })
	return c, token.Error()
}

func (w *whySite) in(id, user string) mqtt.Client {
	w.Helper()
	c, err := w.device(1, id, user, "x", nil)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *whySite) refused(from byte, id, user, password string, change func(o *mqtt.ClientOptions)) {
	w.Helper()
	if _, err := w.device(from, id, user, password, change); err == nil {
		w.Fatalf("%s of %s was let in", id, user)
	}
}

// says sends something from 127.0.0.N and waits for the end of the connection.
func (w *whySite) says(from byte, to, text string) {
	w.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}).DialContext(w.Context(), "tcp", to)
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		w.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		w.Fatal("the connection does not end")
	}
}

// certified has a client use the encrypted port, with that certificate or none.
func (w *whySite) certified(name string) func(o *mqtt.ClientOptions) {
	return func(o *mqtt.ClientOptions) {
		roots := x509.NewCertPool()
		ca, err := os.ReadFile(w.house.path("ca.pem"))
		if err != nil || !roots.AppendCertsFromPEM(ca) {
			w.Fatal("no authority", err)
		}
		cfg := &tls.Config{RootCAs: roots}
		if name != "" {
			pair, err := tls.LoadX509KeyPair(w.house.path(name+".pem"), w.house.path(name+".key"))
			if err != nil {
				w.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{pair}
		}
		o.Servers = nil
		o.AddBroker("ssl://" + w.mqtts).SetTLSConfig(cfg)
	}
}

// at has a client use another address; an encrypted one is trusted where the authority in
// the file ca signed for it.
func (w *whySite) at(address, ca string) func(o *mqtt.ClientOptions) {
	return func(o *mqtt.ClientOptions) {
		roots := x509.NewCertPool()
		if ca != "" {
			text, err := os.ReadFile(ca)
			if err != nil || !roots.AppendCertsFromPEM(text) {
				w.Fatal("no authority", err)
			}
		}
		o.Servers = nil
		o.AddBroker(address).SetTLSConfig(&tls.Config{RootCAs: roots})
	}
}

// finds waits until the command's first answer about somebody is cause, and wants the
// same sentence and what to do in the admin, and on both of them the words.
func (w *whySite) finds(cause access.Cause, about string, words ...string) {
	w.Helper()
	machine, began := brokertest.WatchMachine(), time.Now()
	var lines []string
	eventually(w.T, fmt.Sprintf("hearthmq why %s says %q", about, cause), func() bool {
		got := command(w.T, w.dir, "", "why", about)
		if got.code != 0 {
			w.Fatalf("exit %d, %s", got.code, got.stderr)
		}
		lines = strings.Split(got.stdout, "\n")
		return strings.HasPrefix(lines[0], string(cause)+": ")
	})
	page := html.UnescapeString(w.admin.post("/access/why", url.Values{"about": {about}}))
	_, text, _ := strings.Cut(lines[0], ": ")
	_, findings, _ := strings.Cut(page, `class="findings"`)
	if first, _, _ := strings.Cut(findings, "</p>"); !strings.Contains(first, text) {
		w.Errorf("the admin begins with\n%s\nthe command says %q", first, text)
	}
	first, _, _ := strings.Cut(findings, "</li>")
	if advised := strings.Contains(first, `<p class="muted">`) || strings.Contains(first, "Allow it: add"); !advised && cause != access.AllWell {
		w.Errorf("the admin does not say what to do about %q:\n%s", cause, first)
	}
	all := strings.Join(lines, "\n")
	for _, word := range words {
		if !strings.Contains(all, word) {
			w.Errorf("the command does not say %q:\n%s", word, all)
		}
		if !strings.Contains(findings, word) {
			w.Errorf("the admin does not say %q", word)
		}
	}
	if len(lines) < 2 || strings.TrimSpace(lines[len(lines)-2]) == "" {
		w.Errorf("the command does not say what to do about %q: %q", cause, lines)
	}
	if took := time.Since(began); took > 30*time.Second {
		machine.Timing(w.T, "finding out took %v", took)
	}
}

// Every reason for which a client is not let in (design 4.5), on the running program:
// the command and the admin name it first, and say what to do.
func TestWhyNotLetIn(t *testing.T) {
	h := newHouse(t)
	w := &whySite{T: t, house: h, testServer: h.start(t, nil)}
	w.signIn()
	w.member("ann", "--role", "everything")
	w.member("bob", "--role", "everything")
	w.member("off", "--role", "everything")
	w.member("near", "--role", "everything", "--network", "192.168.1.0/24")
	w.users("disable", "off")
	for _, tt := range []struct {
		reason broker.Reason
		about  string
		make   func()
	}{
		{broker.UnknownUser, "washer", func() { w.refused(11, "washer", "unheard", "x", nil) }},
		{broker.UnknownUser, "127.0.0.12", func() { w.refused(12, "certified", "", "", w.certified("nobody")) }},
		{broker.UnknownUser, "nobody", func() {}}, // whom the certificate names is known by that name, too
		{broker.WrongPassword, "dryer", func() { w.refused(13, "dryer", "ann", "wrong", nil) }},
		{broker.UserDisabled, "oven", func() { w.refused(14, "oven", "off", "x", nil) }},
		{broker.CertificateInvalid, "127.0.0.15", func() { w.refused(15, "thief", "", "", w.certified("thief")) }},
		{broker.CertificateRequired, "127.0.0.16", func() { w.refused(16, "bare", "", "", w.certified("")) }},
		{broker.NetworkNotAllowed, "fridge", func() { w.refused(17, "fridge", "near", "x", nil) }},
		{broker.TooManyAttempts, "robot", func() {
			for range 40 {
				w.refused(18, "robot", "bob", "wrong", nil)
			}
		}},
		{broker.ClientIDInUse, "bob", func() {
			w.in("twice", "ann")
			w.refused(19, "twice", "bob", "x", nil)
		}},
		{broker.AnonymousOff, "127.0.0.20", func() { w.refused(20, "nameless", "", "", nil) }},
		{broker.WrongDoor, "127.0.0.21", func() { w.refused(21, "encrypts", "ann", "x", w.at("ssl://"+w.mqtt, h.path("ca.pem"))) }},
		{broker.WrongDoor, "127.0.0.22", func() { w.refused(22, "plain", "ann", "x", w.at("tcp://"+w.mqtts, "")) }},
		{broker.UnknownProxy, "127.0.0.26", func() { w.says(26, w.mqtt, "PROXY TCP4 192.0.2.1 192.0.2.2 5000 1883\r\n") }},
		{broker.UnknownProxy, "127.0.0.27", func() { w.says(27, w.ws, "PROXY TCP4 192.0.2.1 192.0.2.2 5000 1884\r\n") }},
		{broker.UnknownProxy, "127.0.0.28", func() { w.says(28, w.mqtts, "PROXY TCP4 192.0.2.1 192.0.2.2 5000 8883\r\n") }},
		// The library for WebSocket goes its own way, from the first address.
		{broker.WrongDoor, "127.0.0.1", func() { w.refused(1, "browser", "ann", "x", w.at("ws://"+w.mqtt, "")) }},
		{broker.WrongDoor, "127.0.0.25", func() { w.refused(25, "no browser", "ann", "x", w.at("tcp://"+w.ws, "")) }},
		{broker.OriginNotAllowed, "127.0.0.1", func() { // case W12
			w.refused(1, "page", "ann", "x", func(o *mqtt.ClientOptions) {
				w.at("ws://"+w.ws, "")(o)
				o.SetHTTPHeaders(http.Header{"Origin": {"https://panel.example"}})
			})
		}},
		{broker.ServerNotTrusted, "127.0.0.24", func() { w.refused(24, "distrusts", "ann", "x", w.at("ssl://"+w.mqtts, "")) }},
	} {
		t.Run(fmt.Sprint(tt.reason, " ", tt.about), func(t *testing.T) {
			w.T, w.admin.t = t, t
			tt.make()
			w.finds(access.Cause(tt.reason), tt.about)
		})
	}
}

// The two reasons that need a house in trouble: nobody can check a password, and all
// places are taken.
func TestWhyNotLetInInTrouble(t *testing.T) {
	fake := addontest.New(t, addontest.HearthMQ())
	fake.SetMode(addontest.Gone)
	w := &whySite{T: t, testServer: inApp(t, fake, options{"web_address": "127.0.0.1:0", "home_assistant_role": "everything", "max_connections": 2})}
	w.signIn()
	w.member("ann", "--role", "everything")
	w.refused(11, "tablet", "anna", "x", nil)
	w.finds(access.Cause(broker.BackendUnavailable), "tablet")
	w.in("one", "ann")
	w.in("two", "ann")
	w.refused(12, "washer", "ann", "x", nil)
	w.finds(access.Cause(broker.ServerFull), "washer")
}

// Those who are let in and get nothing all the same.
func TestWhySilent(t *testing.T) {
	w := &whySite{T: t, testServer: start(t, options{"max_queued_messages": 4})}
	w.signIn()
	w.member("ann", "--rule", "allow both home/#")
	w.member("poor")
	w.member("shed", "--rule", "allow publish cellar/#")
	subscribe := func(c mqtt.Client, filter string, qos byte) { c.Subscribe(filter, qos, nil).Wait() } // what is refused is what is meant
	for _, tt := range []struct {
		cause access.Cause
		about string
		make  func()
	}{
		{access.NeverSeen, "nowhere", func() {}},
		{access.NotConnected, "shed", func() {}},
		{access.NotConnected, "sleepy", func() { w.in("sleepy", "ann").Disconnect(0) }},
		{access.PushedOut, "twin", func() {
			for range 4 {
				w.in("twin", "ann")
			}
		}},
		{access.NoRights, "poor", func() { w.in("p", "poor") }},
		{access.NotSubscribed, "quiet", func() { w.in("quiet", "ann") }},
		{access.MayNotSubscribe, "curious", func() { subscribe(w.in("curious", "ann"), "secret/#", 0) }},
		{access.Narrowed, "greedy", func() { subscribe(w.in("greedy", "ann"), "#", 0) }},
		{access.SourceDenied, "lamp", func() {
			subscribe(w.in("lamp", "ann"), "home/lamp/set", 0)
			w.in("switch", "shed").Publish("home/lamp/set", 0, false, "on").Wait()
		}},
		{access.MayNotPublish, "meter", func() { w.in("meter", "ann").Publish("away", 0, false, "1").Wait() }},
		{access.Dropped, "sleeper", func() {
			persistent := func(o *mqtt.ClientOptions) { o.SetCleanSession(false) }
			c, err := w.device(1, "sleeper", "ann", "x", persistent)
			if err != nil {
				w.Fatal(err)
			}
			subscribe(c, "home/door", 1)
			c.Disconnect(100)
			sender := w.in("door", "ann")
			for range 100 {
				sender.Publish("home/door", 1, false, "open").Wait()
			}
			if _, err := w.device(1, "sleeper", "ann", "x", persistent); err != nil {
				w.Fatal(err)
			}
		}},
		{access.NothingSent, "typo", func() { subscribe(w.in("typo", "ann"), "home/Lamp", 0) }},
		{access.AllWell, "happy", func() {
			c := w.in("happy", "ann")
			subscribe(c, "home/happy", 0)
			c.Publish("home/happy", 0, false, "1").Wait()
		}},
	} {
		t.Run(string(tt.cause), func(t *testing.T) {
			w.T, w.admin.t = t, t
			tt.make()
			w.finds(tt.cause, tt.about)
		})
	}
}
