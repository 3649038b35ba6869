package addon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"hearthmq/broker"
)

// presencePause is how long after somebody came or went it is told.
const presencePause = time.Second

// maxPresence is how many users are shown at most: each is an entity.
const maxPresence = 250

// presenceKey names a user in templates, where a name could mean anything.
func presenceKey(user string) string {
	sum := sha256.Sum256([]byte(user))
	return "user_" + hex.EncodeToString(sum[:6])
}

func onOff(b bool) string {
	if b {
		return "ON"
	}
	return "OFF"
}

// presence returns who is connected, nil when it is not shown.
func (d *Device) presence() map[string]bool {
	if d.cfg.Presence == nil {
		return nil
	}
	users := d.cfg.Presence()
	if len(users) > maxPresence {
		d.cfg.Log.Debug("too many users to show in Home Assistant who is connected", "users", len(users))
		return nil
	}
	return users
}

func sameUsers(a, b map[string]bool) bool {
	for user := range a {
		if _, there := b[user]; !there {
			return false
		}
	}
	return len(a) == len(b)
}

// announce makes the device known, and takes out entities that an earlier message
// had: with one that names their platform alone, as Home Assistant asks for, and then
// without a word of them.
func (d *Device) announce(ctx context.Context, users map[string]bool) {
	now := d.discovery(users, nil)
	var next struct{ Components map[string]component }
	if err := json.Unmarshal(now, &next); err != nil {
		panic(err) // it was made a line before
	}
	gone := map[string]string{}
	for m := range d.cfg.Broker.Retained(deviceTopic) {
		var before struct{ Components map[string]component }
		if json.Unmarshal(m.Payload, &before) != nil {
			continue // somebody else's idea of it
		}
		for key, c := range before.Components {
			if _, there := next.Components[key]; !there && c.Platform != "" {
				gone[key] = c.Platform
			}
		}
	}
	if len(gone) > 0 {
		d.publish(ctx, broker.NewMessage(deviceTopic, d.discovery(users, gone), 1, true))
	}
	d.publish(ctx, broker.NewMessage(deviceTopic, now, 1, true))
}
