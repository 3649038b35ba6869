package access

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"hearthmq/broker"
)

func TestHashesAreRenewed(t *testing.T) {
	a, d := open(t, Policy{})
	for i, f := range foreign[:3] {
		create(t, a, NewUser{Name: fmt.Sprint("u", i), Hash: f.text})
	}
	r := new(told)
	a.SetRevalidator(r)
	id, err := login(d, here, "u0", "password")
	wantReason(t, err, "")
	for i, f := range foreign[:3] {
		_, err := login(d, here, fmt.Sprint("u", i), f.password)
		wantReason(t, err, "")
	}
	_, err = a.Refresh(t.Context())
	check(t, err)
	r.want(t)
	for i, f := range foreign[:3] {
		name := fmt.Sprint("u", i)
		u, err := a.user(name)
		check(t, err)
		if !strings.HasPrefix(u.Hash, "$argon2id$") || u.Version%(1<<versionBits) != 1 {
			t.Errorf("%s has version %d and the hash %s", name, u.Version, u.Hash)
		}
		_, err = login(d, here, name, f.password)
		wantReason(t, err, "")
		_, err = login(d, here, name, "wrong")
		wantReason(t, err, broker.WrongPassword)
	}
	if stands, reason := d.Review(id); !stands {
		t.Errorf("a renewed hash ends the session: %s", reason)
	}
	if list := d.verifier.takeUpgrades(); len(list) != 0 {
		t.Errorf("%d hashes to renew again", len(list))
	}
}

func TestRenewalIsLate(t *testing.T) {
	a, d := open(t, Policy{})
	create(t, a, NewUser{Name: "u", Hash: foreign[0].text})
	_, err := login(d, here, "u", "password")
	wantReason(t, err, "")
	_, err = a.SetPassword(t.Context(), "u", "new", false)
	check(t, err)
	_, err = a.Refresh(t.Context())
	check(t, err)
	_, err = login(d, here, "u", "password")
	wantReason(t, err, broker.WrongPassword)
	_, err = login(d, here, "u", "new")
	wantReason(t, err, "")
}

func TestLogins(t *testing.T) {
	var log bytes.Buffer
	repo := NewMemoryRepository()
	p := Policy{Hashing: cheap, Logins: []Login{
		{Username: "ann", Password: "settings"},
		{Username: "bob", Password: "settings"},
		{Username: "bob", Password: "second"},
		{Username: "a+b", Password: "secret-1"},
		{Username: HomeAssistantUser, Password: "secret-2"},
		{Username: "empty", Password: ""},
		{Username: "bad", Password: "secret-3", PreHashed: true},
	}}
	before := NewAccounts(repo, NewDirectory(Policy{Hashing: cheap}), nil, nil)
	check(t, before.Open(t.Context()))
	create(t, before, NewUser{Name: "ann", Password: "by hand"})

	d := NewDirectory(p)
	a := NewAccounts(repo, d, nil, slog.New(slog.NewTextHandler(&log, nil)))
	check(t, a.Open(t.Context()))
	for user, password := range map[string]string{"ann": "by hand", "bob": "settings"} {
		_, err := login(d, here, user, password)
		wantReason(t, err, "")
	}
	_, err := login(d, here, "ann", "settings")
	wantReason(t, err, broker.WrongPassword)
	for _, name := range []string{"a+b", "empty", "bad"} { // case A14
		for _, password := range []string{"", "secret-1", "secret-3"} {
			_, err := login(d, netipOf(name), name, password)
			wantReason(t, err, broker.UnknownUser)
		}
	}
	for _, want := range []string{"a+b", "empty", "bad", "twice", "reserved", "user=ann"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not speak of %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "secret-") {
		t.Errorf("the log holds a password:\n%s", log.String())
	}
	bob, _ := d.User("bob")
	if !bob.FromSettings || !d.Check(Question{User: "bob", Action: broker.Publish, Name: "a"}).Allow {
		t.Errorf("bob is %+v", bob)
	}
	wantProblem(t, a.DeleteUser(t.Context(), "bob"), "name")
	wantProblem(t, a.ChangeUser(t.Context(), "bob", UserChange{Admin: ptr(true)}), "name")
	_, err = a.SetPassword(t.Context(), "bob", "", true)
	wantProblem(t, err, "name")

	// A start without them: gone, and nothing is left in the repository.
	d = NewDirectory(Policy{Hashing: cheap})
	check(t, NewAccounts(repo, d, nil, nil).Open(t.Context()))
	if _, ok := d.User("bob"); ok {
		t.Error("bob is still there")
	}
}

func TestNothingSecretIsTold(t *testing.T) {
	var log bytes.Buffer
	d := NewDirectory(Policy{Hashing: cheap})
	a := NewAccounts(NewMemoryRepository(), d, nil, slog.New(slog.NewTextHandler(&log, nil)))
	check(t, a.Open(t.Context()))
	generated := create(t, a, NewUser{Name: "device"})
	create(t, a, NewUser{Name: "ann", Password: "my-password", Note: "n"})
	_, err := a.SetPassword(t.Context(), "ann", "other-password", false)
	check(t, err)
	check(t, a.DeleteUser(t.Context(), "ann"))
	system, _ := a.SystemPassword(AddonsUser)
	list, _, err := a.Audit(t.Context(), AuditQuery{})
	check(t, err)
	u, err := a.user(AddonsUser)
	check(t, err)
	all := fmt.Sprintf("%+v %v %+v %v %s", list, d.Users(), d.Users(), u, log.String())
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "user", u)
	all += log.String()
	for _, secret := range []string{generated, "my-password", "other-password", system, "argon2id", "$sha256$"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is told:\n%s", secret, all)
		}
	}
}
