package addon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// SupervisorConfig says where Home Assistant's Supervisor is.
type SupervisorConfig struct {
	URL   string // "http://supervisor", without a slash at the end
	Token string // of this start; a new one is made at every start
	// Client makes the requests; nil: one that goes through no proxy.
	Client *http.Client
}

// SupervisorFrom reads the environment that the Supervisor gives to apps. As
// bashio does, it takes SUPERVISOR_API for the address. ok is false outside
// the app (case D3).
func SupervisorFrom(environ []string) (cfg SupervisorConfig, ok bool) {
	cfg.URL = "http://supervisor"
	var old string
	for _, e := range environ {
		switch key, value, _ := strings.Cut(e, "="); {
		case value == "":
		case key == "SUPERVISOR_API":
			cfg.URL = strings.TrimRight(value, "/")
		case key == "SUPERVISOR_TOKEN":
			cfg.Token = value
		case key == "HASSIO_TOKEN":
			old = value
		}
	}
	if cfg.Token == "" {
		cfg.Token = old
	}
	return cfg, cfg.Token != ""
}

// Deadlines of calls. The Supervisor answers most within milliseconds, but may hang
// while Home Assistant is updated; a login makes Core hash a password.
const (
	callTimeout = 10 * time.Second
	maxAnswer   = 4 << 20 // bytes
)

// Supervisor calls the Supervisor's API. Each call has a deadline of its own beside
// that of ctx. Its methods are safe for concurrent use.
type Supervisor struct {
	url, token string
	client     *http.Client
}

// NewSupervisor returns a client. It calls nobody yet.
func NewSupervisor(cfg SupervisorConfig) *Supervisor {
	return &Supervisor{url: cfg.URL, token: cfg.Token, client: cfg.client()}
}

// client returns the client to make requests with.
func (cfg SupervisorConfig) client() *http.Client {
	if cfg.Client != nil {
		return cfg.Client
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	transport.Proxy = nil                                        // the Supervisor is next door, and a proxy would learn the token
	transport.MaxIdleConnsPerHost = 4
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the token goes nowhere else
	}}
}

// APIError is an answer of the Supervisor that is not the one hoped for.
type APIError struct {
	Status  int               // of HTTP
	Message string            // for people; of the Supervisor
	Key     string            // error_key, "" where there is none
	Fields  map[string]string // extra_fields that are texts
}

func (e *APIError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("the Supervisor answers %d", e.Status)
	}
	return fmt.Sprintf("the Supervisor answers %d: %s", e.Status, e.Message)
}

// hasStatus reports whether err is an answer with one of these statuses.
func hasStatus(err error, statuses ...int) bool {
	e, ok := errors.AsType[*APIError](err)
	if !ok {
		return false
	}
	for _, s := range statuses {
		if e.Status == s {
			return true
		}
	}
	return false
}

// call sends body as JSON and decodes the data of the answer into data, both of
// which may be nil. GET and DELETE carry {}, as bashio's do. The error is an
// *APIError when there was an answer.
func (s *Supervisor) call(ctx context.Context, method, path string, body, data any) error {
	if body == nil {
		body = struct{}{}
	}
	return s.do(ctx, method, path, body, func(text []byte) error {
		envelope := struct {
			Result string `json:"result"`
			Data   any    `json:"data"`
		}{Data: data}
		if err := json.Unmarshal(text, &envelope); err != nil {
			return fmt.Errorf("not what the Supervisor's API promises: %w", err)
		}
		if envelope.Result != "ok" {
			return explain(http.StatusBadRequest, "application/json", text)
		}
		return nil
	})
}

// do makes one request and gives the body of a good answer to take.
func (s *Supervisor) do(ctx context.Context, method, path string, body any, take func(text []byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	// Not Authorization: /auth would take that for the credentials of a user.
	req.Header.Set("X-Supervisor-Token", s.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the Supervisor: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("ask the Supervisor: %s %s: %w", method, path, err)
	case len(answer) > maxAnswer:
		return fmt.Errorf("ask the Supervisor: %s %s: the answer is larger than %s", method, path, Size(maxAnswer))
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return explain(resp.StatusCode, resp.Header.Get("Content-Type"), answer)
	}
	if err := take(answer); err != nil {
		if _, ok := errors.AsType[*APIError](err); ok {
			return err
		}
		return fmt.Errorf("ask the Supervisor: %s %s: %w", method, path, err)
	}
	return nil
}

// explain makes an error of an answer: the Supervisor's envelope, or the plain
// text of what stands in front of it.
func explain(status int, contentType string, text []byte) error {
	e := &APIError{Status: status}
	if kind, _, _ := mime.ParseMediaType(contentType); kind == "application/json" {
		var envelope struct {
			Message string         `json:"message"`
			Key     string         `json:"error_key"`
			Fields  map[string]any `json:"extra_fields"`
		}
		if json.Unmarshal(text, &envelope) == nil {
			e.Message, e.Key, e.Fields = shorten(envelope.Message), envelope.Key, make(map[string]string)
			for k, v := range envelope.Fields {
				if v, ok := v.(string); ok {
					e.Fields[k] = v
				}
			}
			return e
		}
	}
	e.Message = shorten(string(text))
	return e
}

// shorten keeps an answer from filling the log.
func shorten(s string) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return s
}
