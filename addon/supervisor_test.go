package addon_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"hearthmq/addon"
	"hearthmq/addon/addontest"
)

// supervise returns a client of app's and the fake that answers it, both in memory.
func supervise(t *testing.T, apps ...*addontest.App) (*addon.Supervisor, *addontest.Supervisor) {
	t.Helper()
	fake, client := addontest.NewInMemory(t, apps...)
	return addon.NewSupervisor(addon.SupervisorConfig{URL: fake.URL, Token: apps[0].Token, Client: client}), fake
}

func TestSupervisorFrom(t *testing.T) {
	for _, tt := range []struct {
		name    string
		environ []string
		want    addon.SupervisorConfig
		ok      bool
	}{
		{"nothing", nil, addon.SupervisorConfig{URL: "http://supervisor"}, false},                              // case D3
		{"empty", []string{"SUPERVISOR_TOKEN="}, addon.SupervisorConfig{URL: "http://supervisor"}, false},      // case D3
		{"address alone", []string{"SUPERVISOR_API=http://x"}, addon.SupervisorConfig{URL: "http://x"}, false}, // case D3
		{"token", []string{"SUPERVISOR_TOKEN=a=b"}, addon.SupervisorConfig{URL: "http://supervisor", Token: "a=b"}, true},
		{"old name", []string{"HASSIO_TOKEN=old"}, addon.SupervisorConfig{URL: "http://supervisor", Token: "old"}, true},
		{"both", []string{"SUPERVISOR_TOKEN=new", "HASSIO_TOKEN=old"}, addon.SupervisorConfig{URL: "http://supervisor", Token: "new"}, true},
		{"as bashio", []string{"SUPERVISOR_API=http://127.0.0.1:9/", "SUPERVISOR_TOKEN=t"}, addon.SupervisorConfig{URL: "http://127.0.0.1:9", Token: "t"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := addon.SupervisorFrom(tt.environ)
			if d := cmp.Diff(tt.want, got); d != "" || ok != tt.ok {
				t.Errorf("%v (-want +got)\n%s", ok, d)
			}
		})
	}
}

func TestService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, fake := supervise(t, addontest.HearthMQ(), addontest.Mosquitto())
		ctx := t.Context()
		if _, err := s.MQTTService(ctx); !errors.Is(err, addon.ErrNoService) {
			t.Errorf("without a record: %v", err)
		}
		ours := addon.Service{Host: "h", Port: 1883, Username: "addons", Password: "pw", Protocol: "3.1.1"}
		if err := s.PublishService(ctx, ours); err != nil {
			t.Fatal(err)
		}
		got, err := s.MQTTService(ctx)
		want := ours
		want.Addon = "014ce74a_hearthmq"
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%v (-want +got)\n%s", err, d)
		}
		// Sending back what was read carries no key that the Supervisor does not know,
		// and a record that stands, even ours, is in the way.
		err = s.PublishService(ctx, got)
		if taken, ok := errors.AsType[*addon.TakenError](err); !ok || taken.App != "014ce74a_hearthmq" {
			t.Errorf("twice: %v", err)
		}
		if err := s.DeleteService(ctx); err != nil || fake.Service() != nil {
			t.Errorf("deleted: %v, %v", err, fake.Service())
		}
		if err := s.DeleteService(ctx); err != nil {
			t.Errorf("deleted twice: %v", err)
		}
		newer := ours
		newer.Protocol = "5"
		err = s.PublishService(ctx, newer)
		if e, ok := errors.AsType[*addon.APIError](err); !ok || e.Status != 400 {
			t.Errorf("protocol 5: %v", err)
		}
		providers, err := s.Providers(ctx)
		if d := cmp.Diff([]string{"014ce74a_hearthmq", "core_mosquitto"}, providers); d != "" || err != nil {
			t.Errorf("%v (-want +got)\n%s", err, d)
		}
	})
}

func TestSelfAndHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, fake := supervise(t, addontest.HearthMQ())
		self, err := s.Self(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if self.Slug != "014ce74a_hearthmq" || self.Hostname != "014ce74a-hearthmq" || self.IngressURL == "" {
			t.Errorf("%+v", self)
		}
		if p, ok := self.HostPort(1883); !ok || p != 1883 {
			t.Errorf("host port of 1883: %d, %v", p, ok)
		}
		for _, closed := range []int{8884, 9999} {
			if p, ok := self.HostPort(closed); ok {
				t.Errorf("host port of %d: %d", closed, p)
			}
		}
		if a, err := s.HostAddress(t.Context()); err != nil || a.String() != "192.168.1.20" {
			t.Errorf("address %v, %v", a, err)
		}
		fake.SetMode(addontest.Fails)
		if _, err := s.HostAddress(t.Context()); err == nil {
			t.Error("an address although the Supervisor fails")
		}
	})
}

// Whatever the Supervisor does, a call ends with an error that says so, in time.
func TestSupervisorInTrouble(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mode  addontest.Mode
		token string
		want  string
	}{
		{"slow", addontest.Slow, "", ""},
		{"hangs", addontest.Hangs, "", "deadline exceeded"},
		{"fails", addontest.Fails, "", "answers 500: An unknown error"},
		{"half an answer", addontest.Garbled, "", "not what the Supervisor's API promises"},
		{"still starting", addontest.NotReady, "", "answers 400: System is not ready"},
		{"gone", addontest.Gone, "", "ask the Supervisor"},
		{"wrong token", addontest.Works, "yesterday's", "answers 403: 403: Forbidden"}, // case D3
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := addontest.HearthMQ()
				s, fake := supervise(t, app)
				fake.SetMode(tt.mode)
				if tt.token != "" {
					fake.SetToken(app.Slug, "today's")
				}
				began := time.Now()
				_, err := s.Self(t.Context())
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				if err != nil && strings.Contains(err.Error(), app.Token) {
					t.Errorf("the error tells the token: %v", err)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("took %v", took)
				}
				fake.SetMode(addontest.Works)
			})
		})
	}
}

func TestSupervisorAnswersTooMuch(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 5 << 10 {
			if _, err := w.Write(make([]byte, 1024)); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	s := addon.NewSupervisor(addon.SupervisorConfig{URL: srv.URL, Token: "t"})
	if _, err := s.Self(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than 4MB") {
		t.Error(err)
	}
}

func TestSupervisorRedirects(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer srv.Close()
	s := addon.NewSupervisor(addon.SupervisorConfig{URL: srv.URL, Token: "t"})
	if _, err := s.Self(t.Context()); err == nil || asked {
		t.Errorf("%v; the token went elsewhere: %v", err, asked)
	}
}

// The login endpoint takes the token from its own header alone, and 401 is always
// the user's.
func TestCheckLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := addontest.HearthMQ()
		s, fake := supervise(t, app)
		fake.SetUser("anna", "right")
		ctx := t.Context()
		if err := s.CheckLogin(ctx, "anna", "right"); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"anna", "bert"} {
			if err := s.CheckLogin(ctx, name, "wrong"); !errors.Is(err, addon.ErrWrongLogin) {
				t.Errorf("%s with a wrong password: %v", name, err)
			}
		}
		fake.Core.SetMode(addontest.NotReady)
		if err := s.CheckLogin(ctx, "carl", "x"); err == nil || errors.Is(err, addon.ErrWrongLogin) {
			t.Errorf("Core is down: %v", err)
		}
		fake.SetToken(app.Slug, "new")
		if err := s.CheckLogin(ctx, "anna", "right"); err == nil || errors.Is(err, addon.ErrWrongLogin) {
			t.Errorf("token expired: %v", err)
		}
		fake.SetToken(app.Slug, app.Token)
		no := *app
		no.AuthAPI = false
		fake.Install(&no)
		if err := s.CheckLogin(ctx, "anna", "right"); err == nil || errors.Is(err, addon.ErrWrongLogin) {
			t.Errorf("without auth_api: %v", err)
		}
	})
}
