package nodered

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hearthmq/outbound"
)

// Admin is where an owner's Node-RED can be changed.
type Admin struct {
	URL            string // of the editor: http://192.168.1.20:1880
	User, Password string // "" where it asks for none
	AnyCertificate bool   // do not check the certificate of https
	// Client makes the requests; nil: one that goes only where outbound lets it.
	Client *http.Client
}

// Errors of Deploy, in words for the owner. What the other side says is not among them:
// this must not become a way to look around in a network (case W20).
var (
	ErrAddress   = errors.New("the address has to look like http://192.168.1.20:1880")
	ErrNoAnswer  = errors.New("Node-RED can't be reached at this address")                 //nolint:staticcheck // a name
	ErrLogin     = errors.New("Node-RED does not accept this name and password")           //nolint:staticcheck // a name
	ErrNotEditor = errors.New("what answers at this address is not Node-RED's editor")     //nolint:staticcheck // a name
	ErrRefused   = errors.New("Node-RED did not take the change; import the flow by hand") //nolint:staticcheck // a name
	ErrBusy      = errors.New("somebody else changes the flows at the same time; try again")
)

const (
	deployTimeout = 30 * time.Second
	maxFlows      = 64 << 20 // bytes
)

// Deploy puts the broker into a running Node-RED: into the node that an earlier Deploy
// or an import made, else into a new one with an example on a tab of its own. Other
// nodes are sent back as they are.
func Deploy(ctx context.Context, a Admin, b Broker) error {
	ctx, cancel := context.WithTimeout(ctx, deployTimeout)
	defer cancel()
	c, err := newClient(a)
	if err != nil {
		return err
	}
	if err := c.login(ctx); err != nil {
		return err
	}
	for range 3 {
		if err = c.deploy(ctx, b); !errors.Is(err, ErrBusy) {
			return err
		}
	}
	return err
}

type client struct {
	Admin
	base   string
	http   *http.Client
	bearer string
}

// dialTimeout bounds the handshake and the wait for an answer, each.
const dialTimeout = 10 * time.Second

func newClient(a Admin) (*client, error) {
	u, err := url.Parse(strings.TrimSpace(a.URL))
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
		return nil, ErrAddress
	}
	c := &client{Admin: a, base: u.Scheme + "://" + u.Host + strings.TrimRight(u.Path, "/"), http: a.Client}
	if c.http == nil {
		t := &http.Transport{DialContext: outbound.Dial, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: dialTimeout, DisableKeepAlives: true}
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: a.AnyCertificate} //nolint:gosec // the owner's choice, for a certificate that he made himself
		c.http = &http.Client{Transport: t}
	}
	checked := *c.http
	checked.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &checked
	return c, nil
}

// do makes one request and decodes a good answer into result.
func (c *client) do(ctx context.Context, method, path, contentType string, body io.Reader, header http.Header, result any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return 0, ErrAddress
	}
	req.Header.Set("Accept", "application/json")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	switch {
	case c.bearer != "":
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	case c.User != "": // what stands in front of it, as in Home Assistant's app
		req.SetBasicAuth(c.User, c.Password)
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, outbound.ErrNotAllowed):
		return 0, outbound.ErrNotAllowed
	case err != nil:
		return 0, ErrNoAnswer
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFlows+1))
	if err != nil || len(text) > maxFlows {
		return 0, ErrNoAnswer
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 && result != nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber() // other nodes go back as they came
		if d.Decode(result) != nil {
			return 0, ErrNotEditor
		}
	}
	return resp.StatusCode, nil
}

// login finds out what Node-RED asks for, and gives it.
func (c *client) login(ctx context.Context) error {
	var scheme struct {
		Type string `json:"type"`
	}
	status, err := c.do(ctx, http.MethodGet, "/auth/login", "", nil, nil, &scheme)
	switch {
	case err != nil:
		return err
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ErrLogin
	case status < 200 || status > 299:
		return ErrNotEditor
	case scheme.Type == "":
		return nil // it asks for nothing
	case scheme.Type != "credentials" || c.User == "":
		return ErrLogin
	}
	form := url.Values{
		"client_id": {"node-red-admin"}, "grant_type": {"password"}, "scope": {"flows.read flows.write"}, "username": {c.User}, "password": {c.Password},
	}
	var token struct {
		Access string `json:"access_token"`
	}
	status, err = c.do(ctx, http.MethodPost, "/auth/token", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), nil, &token)
	switch {
	case err != nil:
		return err
	case status < 200 || status > 299 || token.Access == "":
		return ErrLogin
	}
	c.bearer = token.Access
	return nil
}

// flows is what version 2 of the API calls a set of flows.
type flows struct {
	Rev   string `json:"rev"`
	Flows []node `json:"flows"`
}

func (c *client) deploy(ctx context.Context, b Broker) error {
	v2 := http.Header{"Node-Red-Api-Version": {"v2"}}
	var all flows
	status, err := c.do(ctx, http.MethodGet, "/flows", "", nil, v2, &all)
	switch {
	case err != nil:
		return err
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ErrLogin
	case status != http.StatusOK || all.Rev == "":
		return ErrNotEditor
	}
	all.Flows = with(all.Flows, b)
	text, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("make the flow: %w", err)
	}
	change := http.Header{"Node-Red-Api-Version": {"v2"}, "Node-Red-Deployment-Type": {"nodes"}} // others keep running
	status, err = c.do(ctx, http.MethodPost, "/flows", "application/json", bytes.NewReader(text), change, nil)
	switch {
	case err != nil:
		return err
	case status == http.StatusConflict:
		return ErrBusy
	case status < 200 || status > 299:
		return ErrRefused
	}
	return nil
}

// with returns the flows with our broker in them.
func with(all []node, b Broker) []node {
	for i, n := range all {
		if n["type"] == "mqtt-broker" && n["name"] == brokerName {
			id, _ := n["id"].(string)
			all[i] = brokerNode(id, b)
			return all
		}
	}
	id, tab := newID(), newID()
	all = append(all, node{"id": tab, "type": "tab", "label": brokerName, "disabled": false, "info": ""}, brokerNode(id, b))
	return append(all, example(id, tab)...)
}

// Editor guesses where the editor is from a host's name or address.
func Editor(host string) string {
	if host == "" {
		return ""
	}
	return "http://" + net.JoinHostPort(host, "1880")
}
