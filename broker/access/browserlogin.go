package access

import (
	"encoding/json"
	"fmt"
	"time"
)

// BrowserLogin is one browser that is logged in to the web admin.
type BrowserLogin struct {
	ID            int64
	User          string
	Address       string // where it logged in from
	Browser       string // what it called itself
	Created, Seen time.Time
	Expires       time.Time
}

// LoginCodec is the form in which a login is stored: JSON. Values are strings and int64.
// It is a codec for scs.SessionManager.
type LoginCodec struct{}

type storedLogin struct {
	Deadline time.Time         `json:"deadline"`
	Texts    map[string]string `json:"texts"`
	Numbers  map[string]int64  `json:"numbers"`
}

// Encode implements scs.Codec. A value of another type is an error.
func (LoginCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	s := storedLogin{Deadline: deadline, Texts: make(map[string]string), Numbers: make(map[string]int64)}
	for key, value := range values {
		switch v := value.(type) {
		case string:
			s.Texts[key] = v
		case int64:
			s.Numbers[key] = v
		default:
			return nil, fmt.Errorf("encode login: %s is a %T", key, value)
		}
	}
	return json.Marshal(s)
}

// Decode implements scs.Codec.
func (LoginCodec) Decode(data []byte) (deadline time.Time, values map[string]any, err error) {
	var s storedLogin
	if err := json.Unmarshal(data, &s); err != nil {
		return time.Time{}, nil, fmt.Errorf("decode login: %w", err)
	}
	values = make(map[string]any, len(s.Texts)+len(s.Numbers))
	for key, v := range s.Texts {
		values[key] = v
	}
	for key, v := range s.Numbers {
		values[key] = v
	}
	return s.Deadline, values, nil
}
