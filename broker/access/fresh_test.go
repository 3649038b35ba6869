package access_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// watchedRepository counts how often it is asked for changes, and answers as it is told.
type watchedRepository struct {
	access.Repository
	looks atomic.Int64
	slow  atomic.Int64 // how long a look takes
	fails atomic.Bool
}

func (r *watchedRepository) DataVersion(ctx context.Context) (int64, error) {
	r.looks.Add(1)
	if d := time.Duration(r.slow.Load()); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if r.fails.Load() {
		return 0, errors.New("the disk is gone")
	}
	return r.Repository.DataVersion(ctx)
}

// fresh is a server that follows what another process changes.
type fresh struct {
	*testing.T
	repo  *watchedRepository
	other *access.Accounts // the other process
	door  broker.Authenticator
	told  atomic.Int64 // changes
	lost  atomic.Int64 // errors
}

func following(t *testing.T, do func(f *fresh)) {
	synctest.Test(t, func(t *testing.T) {
		stored := access.NewMemoryRepository()
		f := &fresh{T: t, repo: &watchedRepository{Repository: stored}}
		f.other = access.NewAccounts(stored, access.NewDirectory(access.Policy{}), nil, nil)
		if err := f.other.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		dir := access.NewDirectory(access.Policy{})
		accounts := access.NewAccounts(f.repo, dir, nil, nil)
		if err := accounts.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.door = accounts.Freshly(dir)
		ctx, end := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			accounts.Follow(ctx, time.Hour, func(changed bool, err error) {
				if changed {
					f.told.Add(1)
				}
				if err != nil && ctx.Err() == nil {
					f.lost.Add(1)
				}
			})
		})
		defer wg.Wait()
		defer end()
		synctest.Wait()
		f.repo.looks.Store(0)
		do(f)
	})
}

func (f *fresh) add(name string) (password string) {
	f.Helper()
	_, password, err := f.other.CreateUser(f.Context(), access.NewUser{Name: name, Generate: true, Roles: []string{access.RoleEverything}})
	if err != nil {
		f.Fatal(err)
	}
	return password
}

func (f *fresh) login(name, password string) error {
	_, err := f.door.Authenticate(f.Context(), &broker.Credentials{
		ClientID: "c", HasUser: true, User: name, HasPassword: true, Password: []byte(password),
		Listener: broker.ListenerInfo{Name: "mqtt"}, Remote: netip.MustParseAddrPort("192.0.2.1:1"),
	})
	return err
}

// What another process stored before a login counts for it; nothing else lets time pass here.
func TestFreshAtEachLogin(t *testing.T) {
	following(t, func(f *fresh) {
		for range 3 {
			password := f.add("lamp")
			if err := f.login("lamp", password); err != nil {
				t.Errorf("who was just added: %v", err)
			}
			if err := f.other.DeleteUser(t.Context(), "lamp"); err != nil {
				t.Fatal(err)
			}
			if err := f.login("lamp", password); err == nil {
				t.Error("who was just deleted is let in")
			}
		}
		if n := f.told.Load(); n != 6 {
			t.Errorf("%d changes are told of, want 6", n)
		}
	})
}

// A flood of logins shares few looks at the database, and names that exist wait as long as
// those that don't (case A17).
func TestFreshUnderFlood(t *testing.T) {
	following(t, func(f *fresh) {
		f.repo.slow.Store(int64(time.Millisecond))
		f.add("lamp")
		took := map[string]time.Duration{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		begun := time.Now()
		for range 2000 { // in two seconds, from addresses of their own
			time.Sleep(time.Millisecond) //nolint:forbidigo // of the bubble
			for _, name := range []string{"lamp", "nobody"} {
				wg.Go(func() {
					before := time.Now()
					_ = f.login(name, "") // refused; no hash is computed
					mu.Lock()
					defer mu.Unlock()
					took[name] = max(took[name], time.Since(before))
				})
			}
		}
		wg.Wait()
		if most := int64(time.Since(begun)/(10*time.Millisecond)) + 2; f.repo.looks.Load() > most {
			t.Errorf("4000 logins in %v looked %d times, want %d at most", time.Since(begun), f.repo.looks.Load(), most)
		}
		if d := took["lamp"] - took["nobody"]; d.Abs() > time.Millisecond || took["lamp"] > 25*time.Millisecond || took["lamp"] == 0 {
			t.Errorf("waited %v", took)
		}
	})
}

// A database that hangs or fails keeps nobody out who is known (case A13).
func TestFreshWithoutDatabase(t *testing.T) {
	following(t, func(f *fresh) {
		password := f.add("lamp")
		if err := f.login("lamp", password); err != nil {
			t.Fatal(err)
		}
		f.repo.fails.Store(true)
		if err := f.login("lamp", password); err != nil || f.lost.Load() != 1 {
			t.Errorf("the database fails: %v, told %d times", err, f.lost.Load())
		}
		f.repo.slow.Store(int64(time.Minute))
		var wg sync.WaitGroup
		begun := time.Now()
		for range 10 {
			wg.Go(func() {
				if err := f.login("lamp", password); err != nil {
					t.Errorf("the database hangs: %v", err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(begun); d > 1100*time.Millisecond {
			t.Errorf("the database hangs: waited %v", d)
		}
	})
	// Nobody follows, as in a command or after the end.
	a := access.NewAccounts(access.NewMemoryRepository(), access.NewDirectory(access.Policy{}), nil, nil)
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		a.Fresh(t.Context())
		if d := time.Since(begun); d != 0 {
			t.Errorf("waited %v for nobody", d)
		}
	})
}
