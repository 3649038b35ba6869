package mosquitto_test

import (
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/mosquitto"
)

// Who logs in while files are reread waits for the new rules, but not for long.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, found := mosquitto.NewSetup(t.Context(), mosquitto.Uploaded{"m.conf": []byte("listener 1883\nallow_anonymous true\n")}, mosquitto.SetupOptions{File: "m.conf"})
		if s == nil {
			t.Fatal(found)
		}
		g := mosquitto.NewGuard(s, nil)
		login := func() time.Duration {
			at := time.Now()
			if _, err := g.Authenticate(t.Context(), &broker.Credentials{ClientID: "c", Listener: broker.ListenerInfo{Name: "1883"}}); err != nil {
				t.Error(err)
			}
			return time.Since(at)
		}
		release := g.Hold()
		time.AfterFunc(100*time.Millisecond, release)
		if d := login(); d != 100*time.Millisecond {
			t.Error(d)
		}
		if d := login(); d != 0 {
			t.Error(d)
		}
		release = g.Hold()
		if d := login(); d > 3*time.Second {
			t.Error(d)
		}
		release()
	})
}
