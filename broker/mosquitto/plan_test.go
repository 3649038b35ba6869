package mosquitto_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/mosquitto"
)

// site is a HearthMQ that does not run.
type site struct {
	mosquitto.Target
	repo access.Repository
}

func newSite(tb testing.TB) *site {
	tb.Helper()
	s := &site{repo: access.NewMemoryRepository()}
	s.Directory = access.NewDirectory(access.Policy{Anonymous: access.AnonymousRestricted})
	s.Accounts = access.NewAccounts(s.repo, s.Directory, nil, nil)
	if err := s.Accounts.Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	s.Store = broker.NewMemoryStore()
	return s
}

// contents are what the site holds, in words.
func (s *site) contents(tb testing.TB) string {
	tb.Helper()
	var b strings.Builder
	data, err := s.repo.Load(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	for _, u := range data.Users {
		fmt.Fprintln(&b, "user", u.Name, u.Kind, u.Roles, u.Rules, u.Revision, u.Disabled)
	}
	for _, r := range data.Roles {
		fmt.Fprintln(&b, "role", r.Name, r.Rules, r.Revision)
	}
	st, err := s.Store.Load(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	slices.SortFunc(st.Retained, func(a, b *broker.Message) int { return strings.Compare(a.Topic, b.Topic) })
	for _, m := range st.Retained {
		fmt.Fprintf(&b, "retained %s %s qos %d %x\n", m.Topic, m.Payload, m.QoS, m.Properties)
	}
	for _, x := range st.Sessions {
		fmt.Fprintln(&b, "session", x.ClientID, x.User, len(x.Subscriptions), len(x.Queue))
	}
	return b.String()
}

var homeFiles = mosquitto.Uploaded{
	"/m.conf": []byte("listener 1883\npassword_file /pw\nacl_file /acl\npersistence true\npersistence_location /\nmax_packet_size 100000\nconnection cloud\naddress x\ntopic # out\n"),
	"/pw":     []byte("anna:" + someHash + "\nbert:" + someHash + "\naddons:" + someHash + "\n"),
	"/acl":    []byte("topic read public/#\nuser anna\ntopic readwrite home/#\nuser carl\ntopic x\npattern write status/%u\n"),
}

func plan(in *mosquitto.Input) *mosquitto.Plan {
	return mosquitto.NewPlan(in, mosquitto.PlanOptions{Now: now})
}

func homeInput(tb testing.TB) *mosquitto.Input {
	tb.Helper()
	files := mosquitto.Uploaded{"/mosquitto.db": writeDatabase(6, example(6))}
	for k, v := range homeFiles {
		files[k] = v
	}
	return mosquitto.Reader{Files: files}.Read(mosquitto.Sources{Conf: "/m.conf"})
}

func TestPlanTwiceIsOnce(t *testing.T) {
	s := newSite(t)
	p := plan(homeInput(t))
	if !p.Report.OK() {
		t.Fatal(p.Report.Broken)
	}
	before := s.contents(t)
	if err := p.Look(t.Context(), s.Target); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, s.contents(t)); diff != "" {
		t.Fatalf("looking changed something:\n%s", diff)
	}
	done, err := p.Apply(t.Context(), s.Target)
	if err != nil || len(done.Accounts.Users) != 2 || done.Retained != 1 || done.Sessions != 1 || done.Queued != 2 || !done.Accounts.Anonymous {
		t.Fatalf("%+v, %v", done, err)
	}
	once := s.contents(t)
	for _, want := range []string{
		"user anna chosen [mosquitto-patterns] [allow both home/#] 1 false", "user bert chosen [mosquitto-patterns] [] 1 false",
		"role anonymous [allow subscribe public/#] 2", "retained home/kitchen 21.5 qos 1 260001", "session lamp anna 2 2",
	} {
		if !strings.Contains(once, want) {
			t.Errorf("%q is missing in\n%s", want, once)
		}
	}
	second := plan(homeInput(t))
	if _, err := second.Apply(t.Context(), s.Target); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(once, s.contents(t)); diff != "" {
		t.Errorf("twice is not once (-once +twice):\n%s", diff)
	}
	var report bytes.Buffer
	if _, err := second.Report.WriteTo(&report); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Is there already", "2 users with password and rights", "1 retained message", "user \"carl\" has 1 rule and no password", "/pw:3: user \"addons\" is left out",
		"/m.conf:7: connection: bridge \"cloud\"", "mqtt_address: :1883", "max_packet_size: 100000", "every user may read $SYS/#",
	} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &report)
		}
	}
	if strings.Contains(report.String(), someHash[:20]) {
		t.Error("a hash shows")
	}
}

// A role of the same name with other rules stays, and the imported one gets another name.
func TestPlanRoleTaken(t *testing.T) {
	s := newSite(t)
	if err := s.Accounts.CreateRole(t.Context(), mosquitto.PatternRole, "", nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := plan(homeInput(t)).Apply(t.Context(), s.Target); err != nil {
			t.Fatal(err)
		}
	}
	if u, _ := s.Directory.User("bert"); fmt.Sprint(u.Roles) != "[mosquitto-patterns-2]" {
		t.Errorf("roles %v", u.Roles)
	}
	if n := len(s.Directory.Roles()); n != 5 {
		t.Errorf("%d roles", n)
	}
}

// Whatever is broken, nothing is imported at all.
func TestPlanBroken(t *testing.T) {
	for name, change := range map[string]func(mosquitto.Uploaded){
		"no password file": func(f mosquitto.Uploaded) { delete(f, "/pw") },
		"no acl file":      func(f mosquitto.Uploaded) { delete(f, "/acl") },
		"acl keyword":      func(f mosquitto.Uploaded) { f["/acl"] = []byte("topik x") },
		"conf keyword":     func(f mosquitto.Uploaded) { f["/m.conf"] = append([]byte("nonsense 1\n"), f["/m.conf"]...) },
		"database cut":     func(f mosquitto.Uploaded) { f["/mosquitto.db"] = f["/mosquitto.db"][:200] },
		"acl line of 1 MB": func(f mosquitto.Uploaded) { f["/acl"] = bytes.Repeat([]byte("x"), 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			files := mosquitto.Uploaded{"/mosquitto.db": writeDatabase(6, example(6))}
			for k, v := range homeFiles {
				files[k] = v
			}
			change(files)
			s := newSite(t)
			before := s.contents(t)
			p := plan(mosquitto.Reader{Files: files}.Read(mosquitto.Sources{Conf: "/m.conf"}))
			if p.Report.OK() || len(p.Users)+len(p.Roles)+len(p.State.Retained) > 0 {
				t.Fatalf("%+v", p)
			}
			if _, err := p.Apply(t.Context(), s.Target); !errors.Is(err, mosquitto.ErrBroken) {
				t.Fatalf("Apply: %v", err)
			}
			if diff := cmp.Diff(before, s.contents(t)); diff != "" {
				t.Errorf("something was imported:\n%s", diff)
			}
		})
	}
}

func TestPlanOfBackup(t *testing.T) {
	s := newSite(t)
	files := mosquitto.Uploaded{"/b.tar": haBackup(t)}
	p := plan(mosquitto.Reader{Files: files}.Read(mosquitto.Sources{Backup: "/b.tar"}))
	if !p.Report.OK() {
		t.Fatal(p.Report.Broken)
	}
	if _, err := p.Apply(t.Context(), s.Target); err != nil {
		t.Fatal(err)
	}
	got := s.contents(t)
	for _, want := range []string{"user anna chosen [] [allow both home/#] 1", "user bert chosen [] [] 1", "retained home/kitchen"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if _, err := s.Directory.CheckPassword(t.Context(), "anna", `se: cret # " ä`); err != nil {
		t.Errorf("anna's password: %v", err)
	}
}

// Into a running broker messages are published, and sessions are added afterwards.
func TestPlanRunning(t *testing.T) {
	s := newSite(t)
	s.Store = nil
	var published []string
	s.Retained = func(context.Context) (map[string]bool, error) { return map[string]bool{"other": true}, nil }
	s.Publish = func(_ context.Context, list []*broker.Message) error {
		for _, m := range list {
			published = append(published, m.Topic)
		}
		return nil
	}
	s.HasSession = func(string) bool { return false }
	s.AddSessions = func(_ context.Context, list []broker.StoredSession) (added, queued int, err error) {
		for _, x := range list {
			published = append(published, x.ClientID)
			queued += len(x.Queue)
		}
		return len(list), queued, nil
	}
	p := plan(homeInput(t))
	sessions := len(p.State.Sessions)
	done, err := p.Apply(t.Context(), s.Target)
	if err != nil || done.Retained != 1 || sessions == 0 || done.Sessions != sessions || len(published) != 1+sessions || published[0] != "home/kitchen" {
		t.Errorf("%+v, %v, %v", done, published, err)
	}
	s.HasSession = func(string) bool { return true }
	again := plan(homeInput(t))
	if err := again.Look(t.Context(), s.Target); err != nil || !strings.Contains(fmt.Sprint(again.Report.There), "session") {
		t.Error(again.Report.There, err)
	}
}
