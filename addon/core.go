package addon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// Core calls Home Assistant Core's WebSocket and REST APIs through the Supervisor,
// which lets us in as an administrator. Each command makes a connection of its own:
// they are rare, and Core is restarted now and then. Safe for concurrent use.
type Core struct {
	url, token string
	dialer     websocket.Dialer
	rest       string // URL in front of the paths of the REST API
	client     *http.Client
}

const maxCoreAnswer = 16 << 20 // bytes; a house may have many entities

// NewCore returns a client that reaches Core as cfg says. It calls nobody yet.
func NewCore(cfg SupervisorConfig) *Core {
	c := &Core{
		url:    "ws" + strings.TrimPrefix(cfg.URL, "http") + "/core/websocket",
		token:  cfg.Token,
		dialer: websocket.Dialer{HandshakeTimeout: callTimeout},
		rest:   cfg.URL + "/core/api/",
		client: cfg.client(),
	}
	if cfg.Client != nil {
		if t, ok := cfg.Client.Transport.(*http.Transport); ok {
			c.dialer.NetDialContext = t.DialContext
		}
	}
	return c
}

// CoreError is Core's answer to a command that it does not carry out.
type CoreError struct{ Code, Message string }

func (e *CoreError) Error() string { return "Home Assistant: " + e.Message + " (" + e.Code + ")" }

// coreMessage is what Core sends.
type coreMessage struct {
	ID      int             `json:"id"`
	Type    string          `json:"type"`
	Success bool            `json:"success"`
	Result  json.RawMessage `json:"result"`
	Message string          `json:"message"` // of auth_invalid
	Error   struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Command carries out one command, such as "config/auth/list", and decodes its result.
// fields are sent beside the type. It takes at most 10 seconds; the error is a
// *CoreError when Core understood and refused.
func (c *Core) Command(ctx context.Context, command string, fields map[string]any, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := c.command(ctx, command, fields, result)
	// Connection and context have the same deadline, and either may notice first.
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		err = context.DeadlineExceeded
	} else if err == nil || ctx.Err() == nil {
		return err
	} else {
		err = ctx.Err() // the rest is only that it was cut off
	}
	return fmt.Errorf("ask Home Assistant: %w", err)
}

func (c *Core) command(ctx context.Context, command string, fields map[string]any, result any) error {
	ws, resp, err := c.dialer.DialContext(ctx, c.url, nil)
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		return fmt.Errorf("ask Home Assistant: %w", err)
	}
	// A read that waits ends with ctx and not only with the peer.
	stop := context.AfterFunc(ctx, func() { _ = ws.NetConn().SetDeadline(time.Unix(1, 0)) })
	defer func() {
		stop()
		_ = ws.Close() // everything was said
	}()
	ws.SetReadLimit(maxCoreAnswer)
	if err := c.authenticate(ws); err != nil {
		return err
	}
	message := map[string]any{"id": 1, "type": command}
	for k, v := range fields {
		message[k] = v
	}
	if err := ws.WriteJSON(message); err != nil {
		return fmt.Errorf("ask Home Assistant: %w", err)
	}
	for {
		var m coreMessage
		if err := ws.ReadJSON(&m); err != nil {
			return fmt.Errorf("ask Home Assistant: %w", err)
		}
		if m.ID != 1 || m.Type != "result" {
			continue // an event
		}
		if !m.Success {
			return &CoreError{Code: m.Error.Code, Message: shorten(m.Error.Message)}
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			return fmt.Errorf("ask Home Assistant: %s: %w", command, err)
		}
		return nil
	}
}

func (c *Core) authenticate(ws *websocket.Conn) error {
	for {
		var m coreMessage
		if err := ws.ReadJSON(&m); err != nil {
			return fmt.Errorf("log in to Home Assistant: %w", err)
		}
		switch m.Type {
		case "auth_required":
			if err := ws.WriteJSON(map[string]string{"type": "auth", "access_token": c.token}); err != nil {
				return fmt.Errorf("log in to Home Assistant: %w", err)
			}
		case "auth_ok":
			return nil
		case "auth_invalid":
			return errors.New("log in to Home Assistant: it does not let the app in: " + shorten(m.Message))
		default:
			return fmt.Errorf("log in to Home Assistant: unexpected %q", shorten(m.Type))
		}
	}
}
