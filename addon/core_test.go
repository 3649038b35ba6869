package addon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/addon"
	"hearthmq/addon/addontest"
)

func newCore(t *testing.T) (*addon.Core, *addontest.Supervisor) {
	t.Helper()
	app := addontest.HearthMQ()
	fake, client := addontest.NewInMemory(t, app)
	fake.Core.SetUsers(
		addontest.User{ID: "owner", Name: "Anna", Owner: true, Active: true, Groups: []string{"system-admin"}},
		addontest.User{ID: "admin", Name: "Bert", Active: true, Groups: []string{"system-admin"}},
		addontest.User{ID: "user", Name: "Carl", Active: true, Groups: []string{"system-users"}},
		addontest.User{ID: "former", Name: "Dora", Active: false, Groups: []string{"system-admin"}},
	)
	return addon.NewCore(addon.SupervisorConfig{URL: fake.URL, Token: app.Token, Client: client}), fake
}

func TestCoreCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, fake := newCore(t)
		users, err := c.Users(t.Context())
		if err != nil || len(users) != 4 || users[0].Name != "Anna" {
			t.Errorf("%v, %v", users, err)
		}
		err = c.Command(t.Context(), "supervisor/api", nil, nil)
		if e, ok := errors.AsType[*addon.CoreError](err); !ok || e.Code != "unauthorized" {
			t.Error(err)
		}
		for m, want := range map[addontest.Mode]string{
			addontest.NotReady: "502", addontest.Hangs: "deadline exceeded",
		} {
			fake.Core.SetMode(m)
			began := time.Now()
			if _, err := c.Users(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("mode %d: %v", m, err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("mode %d took %v", m, took)
			}
		}
		fake.Core.SetMode(addontest.Works)
		fake.SetToken("014ce74a_hearthmq", "new")
		if _, err := c.Users(t.Context()); err == nil || !strings.Contains(err.Error(), "does not let the app in") {
			t.Errorf("token expired: %v", err)
		}
	})
}

// case W3: who is an administrator of Home Assistant, and no when nobody can say.
func TestCoreAdmins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, fake := newCore(t)
		asked := 0
		a := addon.NewCoreAdmins(func(ctx context.Context) ([]addon.CoreUser, error) { asked++; return c.Users(ctx) })
		for id, want := range map[string]bool{"owner": true, "admin": true, "user": false, "former": false, "nobody": false, "": false} {
			if got, err := a.IsAdmin(t.Context(), id); got != want || err != nil {
				t.Errorf("%q: %v, %v", id, got, err)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		fake.Core.SetUsers(addontest.User{ID: "new", Active: true, Owner: true})
		after(t, 6*time.Second)
		if got, err := a.IsAdmin(t.Context(), "new"); !got || err != nil {
			t.Errorf("somebody new: %v, %v", got, err)
		}
		if got, err := a.IsAdmin(t.Context(), "owner"); got || err != nil {
			t.Errorf("somebody who was deleted: %v, %v", got, err)
		}
		fake.Core.SetMode(addontest.NotReady)
		if got, err := a.IsAdmin(t.Context(), "new"); !got || err != nil {
			t.Errorf("Core restarts: %v, %v", got, err)
		}
		after(t, 61*time.Second)
		before := asked
		for range 5 {
			if got, err := a.IsAdmin(t.Context(), "new"); got || err == nil {
				t.Errorf("Core is gone: %v, %v", got, err)
			}
		}
		if asked != before+1 {
			t.Errorf("asked %d times while Core is gone", asked-before)
		}
		fake.Core.SetMode(addontest.Works)
		after(t, 3*time.Second)
		if got, err := a.IsAdmin(t.Context(), "new"); !got || err != nil {
			t.Errorf("Core is here again: %v, %v", got, err)
		}
	})
}

// A browser that goes away ends nobody's question but its own.
func TestCoreAdminsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, fake := newCore(t)
		fake.Core.SetMode(addontest.Slow)
		a := addon.NewCoreAdmins(c.Users)
		first := make(chan error)
		go func() { _, err := a.IsAdmin(t.Context(), "owner"); first <- err }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.IsAdmin(ctx, "owner"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		fake.Core.SetMode(addontest.Works)
	})
}
