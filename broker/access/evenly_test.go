package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// distant is another Authenticator, which knows frank alone and takes its time.
type distant struct {
	takes time.Duration
	err   error
}

func (d *distant) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	select {
	case <-time.After(d.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case d.err != nil:
		return nil, d.err
	case c.User != "frank" || string(c.Password) != "right":
		return nil, broker.Refuse(broker.WrongPassword, nil)
	}
	return identity(c, &User{Name: c.User, Roles: []string{RoleEverything}}), nil
}

// Pretend implements Pretender.
func (d *distant) Pretend(ctx context.Context, c *broker.Credentials) error {
	if len(c.Password) == 0 || len(c.Password) > MaxPasswordBytes {
		return nil
	}
	_, err := d.Authenticate(ctx, &broker.Credentials{})
	if refusal, ok := errors.AsType[*broker.Refusal](err); ok && refusal.Reason == broker.WrongPassword {
		return nil
	}
	return err
}

// case A17: where Home Assistant is asked about names that are not ours, or tokens count,
// every refusal takes the same time: of users of each kind, and of nobody, however long
// the question takes. Who is let in does not wait.
func TestRefusalsAreEven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := new(distant)
		a, d, _, tokens := tokenWorld(t, newIssuer(t, jose.ES256, "").text, nil)
		even := RefuseEvenly(WithWebTokens(d, tokens, Chain(d, other)))
		var users []string
		add := func(n NewUser) {
			create(t, a, n)
			users = append(users, n.Name)
		}
		add(NewUser{Name: "generated"})
		add(NewUser{Name: "chosen", Password: "right"})
		add(NewUser{Name: "none", NoPassword: true})
		add(NewUser{Name: "off", Password: "right"})
		for name, h := range imported() {
			add(NewUser{Name: name, Hash: h.String()})
		}
		yes := true
		check(t, a.ChangeUser(t.Context(), "off", UserChange{Disabled: &yes}))
		users = append(users, "nobody", "nobody else", "frank", HomeAssistantUser, "bad\x00name")

		tries := 0
		try := func(user, password string) (time.Duration, error) {
			d.throttle = newThrottle() // what is timed is the answer, not its being put off
			tries++
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(tries >> 8), byte(tries)}), 1)
			begun := time.Now()
			_, err := knock(even, from, user, password)
			return time.Since(begun), err
		}
		for _, other.takes = range []time.Duration{0, 300 * time.Millisecond, RefusalTime - 1} {
			for _, password := range []string{"wrong", "", strings.Repeat("x", MaxPasswordBytes+1), "eyJhbGciOiJub25lIn0.e30.e30"} {
				for _, user := range users {
					took, err := try(user, password)
					if err == nil || took != RefusalTime {
						t.Errorf("%s with %.30q is refused after %v: %v", user, password, took, err)
					}
				}
			}
			if took, err := try("chosen", "right"); err != nil || took != 0 {
				t.Errorf("a login took %v: %v", took, err)
			}
			if took, err := try("frank", "right"); err != nil || took != other.takes {
				t.Errorf("another's login took %v, not %v: %v", took, other.takes, err)
			}
		}

		// What takes longer by itself does not wait once more, and takes as long for names of ours.
		other.takes = RefusalTime + time.Second
		for _, user := range users {
			if took, err := try(user, "wrong"); err == nil || took != other.takes && user != "bad\x00name" {
				t.Errorf("%s refused after %v: %v", user, took, err)
			}
		}
		// With Home Assistant away all hear "unavailable", by whatever it is away and however long
		// that takes; the log tells what it was.
		other.err = broker.Refuse(broker.BackendUnavailable, errors.New("away"))
		for _, other.takes = range []time.Duration{time.Millisecond, RefusalTime + time.Second} {
			for _, user := range users {
				took, err := try(user, "wrong")
				refusal, ok := errors.AsType[*broker.Refusal](err)
				if !ok || refusal.Code != packet.ServerUnavailable || took != max(RefusalTime, other.takes) {
					t.Errorf("%s hears %v after %v, Home Assistant being away for %v", user, err, took, other.takes)
				}
				want := map[bool]broker.Reason{true: broker.WrongPassword, false: broker.BackendUnavailable}[d.snap.Load().accounts[user] != nil]
				if user == "off" {
					want = broker.UserDisabled
				}
				if ok && refusal.Reason != want {
					t.Errorf("%s: the log says %q, not %q", user, refusal.Reason, want)
				}
			}
			for _, password := range []string{"", "eyJhbGciOiJub25lIn0.e30.e30"} { // which nobody is asked about
				for _, user := range users {
					took, err := try(user, password)
					refusal, ok := errors.AsType[*broker.Refusal](err)
					if !ok || refusal.Code != packet.NotAuthorized || took != RefusalTime {
						t.Errorf("%s with %q hears %v after %v", user, password, err, took)
					}
				}
			}
		}
		if took, err := try("chosen", "right"); err != nil || took != 0 {
			t.Errorf("a login took %v: %v", took, err)
		}
		if took, err := try("", ""); err == nil || took != 0 {
			t.Errorf("without a name refused after %v: %v", took, err)
		}
	})
}

// Refusals that wait hold neither slot nor lock, and end with their connection.
func TestRefusalsWaitAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := open(t, Policy{Hashing: Hashing{Workers: 1, Queue: 1}})
		create(t, a, NewUser{Name: "chosen", Password: "right"})
		even := RefuseEvenly(Chain(d, new(distant)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan time.Duration, 100)
		begun := time.Now()
		for i := range cap(ended) {
			go func() {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 1)
				user := []string{"chosen", fmt.Sprint("nobody ", i)}[min(i, 1)]
				_, err := even.Authenticate(ctx, &broker.Credentials{HasUser: true, User: user, HasPassword: true, Password: []byte("wrong"), Remote: from})
				wantReason(t, err, broker.WrongPassword)
				ended <- time.Since(begun)
			}()
		}
		synctest.Wait()
		if _, err := knock(even, here, "chosen", "right"); err != nil || time.Since(begun) != 0 {
			t.Errorf("while others wait to be refused a login takes %v: %v", time.Since(begun), err)
		}
		if len(ended) > 0 {
			t.Errorf("%d did not wait", len(ended))
		}
		time.AfterFunc(RefusalTime/2, cancel)
		for range cap(ended) {
			if took := <-ended; took != RefusalTime/2 {
				t.Errorf("ended after %v", took)
			}
		}
	})
}

// case A17: of many tries at a time as many are told that the password is wrong, and as
// many to come later, all after the same time, whether or not the name is one of ours.
func TestManyTriesAtOnceLookAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := open(t, Policy{Hashing: Hashing{Workers: 2, Cost: cheap.Cost}})
		create(t, a, NewUser{Name: "chosen", Password: "right"})
		create(t, a, NewUser{Name: "generated"})
		even := RefuseEvenly(Chain(d, &distant{takes: 300 * time.Millisecond}))
		for _, user := range []string{"chosen", "generated", "nobody"} {
			d.throttle = newThrottle()
			answers := make(chan error, 4*pairBurst)
			begun := time.Now()
			for i := range cap(answers) {
				go func() {
					_, err := knock(even, here, user, fmt.Sprint("wrong ", i))
					answers <- err
				}()
			}
			codes := map[packet.ReasonCode]int{}
			for range cap(answers) {
				refusal, ok := errors.AsType[*broker.Refusal](<-answers)
				if !ok {
					t.Fatalf("%s came in", user)
				}
				codes[refusal.Code]++
				if took := time.Since(begun); took != RefusalTime {
					t.Errorf("%s: answered after %v", user, took)
				}
			}
			if codes[packet.NotAuthorized] != pairBurst || codes[packet.ServerUnavailable] != cap(answers)-pairBurst {
				t.Errorf("%s: %v", user, codes)
			}
		}
	})
}
