package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"hearthmq/broker/listen"
)

// healthTimeout is how long the broker may take to answer.
const healthTimeout = 5 * time.Second

type healthcheckCommand struct{}

// Run asks MQTT and the admin of the broker with the same settings.
func (healthcheckCommand) Run(ctx context.Context, app *application) error {
	o, _, err := app.settings()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if err := checkMQTT(ctx, o.Listeners()); err != nil {
		return fmt.Errorf("MQTT does not answer: %w", err)
	}
	for _, address := range []string{o.WebAddress, o.IngressAddress} {
		if address == "" {
			continue
		}
		if err := checkAdmin(ctx, address); err != nil {
			return fmt.Errorf("the admin does not answer: %w", err)
		}
	}
	return nil
}

// checkMQTT asks the first of the ports that can be asked.
func checkMQTT(ctx context.Context, ports []listen.Config) error {
	err := errors.New("no port is set")
	for _, p := range ports {
		if err = askMQTT(ctx, p); err == nil {
			return nil
		}
	}
	return err
}

// askMQTT makes the broker read and act: a PINGREQ ahead of CONNECT is a protocol
// error, and the connection is closed [MQTT-3.1.0-1]. A CONNECT would stand in the
// log and the list of refused logins twice a minute.
func askMQTT(ctx context.Context, p listen.Config) error {
	c, err := (&net.Dialer{}).DialContext(ctx, p.Network, onThisMachine(p.Network, p.Address))
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if p.TLS != nil {
		// The certificate is for the name that devices use, and who answers on
		// this machine's own port is not in question.
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
		if t.HandshakeContext(ctx) != nil {
			return errors.New("TLS handshake failed")
		}
		c = t
	}
	question := "\xc0\x00"
	if p.WebSocket {
		question = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
	}
	if _, err := io.WriteString(c, question); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			return errors.New("no answer in time")
		}
	}
	return nil
}

func checkAdmin(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+onThisMachine("tcp", address)+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// onThisMachine makes an address to connect to from one to listen on.
func onThisMachine(network, address string) string {
	host, port, err := net.SplitHostPort(address)
	if network != "tcp" || err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
