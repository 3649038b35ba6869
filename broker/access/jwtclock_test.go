package access

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hearthmq/broker"
)

// case R12: while the clock is not set, a token with a time in it is neither taken, since one
// that ended years ago would be good again, nor refused as wrong: the device tries again by
// itself, and is not slowed down when the clock has been set. One without a time needs no
// clock, and one of a stranger counts as ever.
func TestWebTokensClock(t *testing.T) {
	i, stranger := newIssuer(t, jose.ES256, ""), newIssuer(t, jose.ES256, "")
	synctest.Test(t, func(t *testing.T) { // whose clock shows 2000
		_, _, auth, _ := tokenWorld(t, i.text, nil)
		right := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
		claims := func(times ...any) map[string]any {
			c := map[string]any{"sub": "anna", "roles": RoleReadOnly}
			for n := 0; n < len(times); n += 2 {
				c[times[n].(string)] = times[n+1].(time.Time).Unix()
			}
			return c
		}
		good := i.token(t, claims("exp", right.Add(time.Hour), "nbf", right.Add(-time.Hour), "iat", right.Add(-time.Hour)))
		ended := i.token(t, claims("exp", time.Now().Add(time.Hour)))
		early := i.token(t, claims("nbf", right.Add(time.Hour)))
		ask := func(token string, from int) error {
			_, err := auth.Authenticate(t.Context(), credentials(t, "anna", token, from))
			return err
		}
		for range 30 { // more than are forgiven
			for _, token := range []string{good, ended, early, i.token(t, claims("iat", right))} {
				err := ask(token, 1)
				wantReason(t, err, broker.BackendUnavailable)
				if err == nil || !strings.Contains(err.Error(), "clock is not set yet") || !strings.Contains(err.Error(), "2000-01-01") {
					t.Fatalf("the owner reads: %v", err)
				}
			}
		}
		wantReason(t, ask(i.token(t, claims()), 1), "")
		wantReason(t, ask(stranger.token(t, claims("exp", right)), 2), broker.WrongPassword)

		time.Sleep(time.Until(right))
		wantReason(t, ask(good, 1), "")
		for _, token := range []string{ended, early} {
			err := ask(token, 3)
			wantReason(t, err, broker.WrongPassword)
			if err == nil || !strings.Contains(err.Error(), "clock shows 2027-03-01") {
				t.Errorf("the owner reads: %v", err)
			}
		}
	})
}
