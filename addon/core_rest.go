package addon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// call makes a request of Core's REST API and decodes the answer into result, which
// may be nil. It takes at most 10 seconds; the error is a *CoreError when Core refused.
func (c *Core) call(ctx context.Context, method, path string, body, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if body == nil {
		body = struct{}{}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask Home Assistant: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.rest+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("ask Home Assistant: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask Home Assistant: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("ask Home Assistant: %w", err)
	case len(answer) > maxAnswer:
		return errors.New("ask Home Assistant: the answer is larger than " + Size(maxAnswer).String())
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return refusedBy(resp.StatusCode, answer)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return fmt.Errorf("ask Home Assistant: %s: %w", path, err)
	}
	return nil
}

// refusedBy makes an error of Core's answer, or of that of what stands in front of it.
func refusedBy(status int, text []byte) error {
	e := &CoreError{Code: fmt.Sprint(status)}
	var v struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &v) == nil && v.Message != "" {
		e.Message = shorten(v.Message)
		return e
	}
	if status == http.StatusBadGateway {
		e.Message = "it is not running"
		return e
	}
	e.Message = shorten(string(text))
	return e
}

// Notify shows a notification in Home Assistant, in the place of an earlier one with
// the same id. The text is Markdown: what strangers chose has to be escaped.
func (c *Core) Notify(ctx context.Context, id, title, text string) error {
	return c.call(ctx, http.MethodPost, "services/persistent_notification/create", map[string]string{
		"notification_id": id, "title": title, "message": text,
	}, nil)
}
