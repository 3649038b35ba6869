package sqlite_test

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"hearthmq/broker/access"
	"hearthmq/broker/sqlite"
)

func loginData(t *testing.T, user string) []byte {
	t.Helper()
	b, err := access.LoginCodec{}.Encode(time.Now().Add(time.Hour), map[string]any{sqlite.LoginNameKey: user, "version": int64(3)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func commit(t *testing.T, l sqlite.Logins, token, user string, expires time.Time) []byte {
	t.Helper()
	data := loginData(t, user)
	if err := l.Commit(token, data, expires); err != nil {
		t.Fatal(err)
	}
	return data
}

func found(t *testing.T, l sqlite.Logins, token string) []byte {
	t.Helper()
	data, ok, err := l.Find(token)
	if err != nil || ok != (data != nil) {
		t.Fatal(ok, err)
	}
	return data
}

func TestLogins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db := open(t, path)
	l := db.Logins()
	later := time.Now().Add(time.Hour)
	anna := commit(t, l, "token of anna", "anna", later)
	commit(t, l, "second token of anna", "anna", later)
	commit(t, l, "token of bob", "bob", later)
	if !bytes.Equal(found(t, l, "token of anna"), anna) {
		t.Error("the data is not what was stored")
	}
	if found(t, l, "no token") != nil {
		t.Error("found what was never there")
	}
	// Storing again replaces.
	again := commit(t, l, "token of anna", "anna", later.Add(time.Hour))
	if !bytes.Equal(found(t, l, "token of anna"), again) {
		t.Error("the data was not replaced")
	}
	list, err := l.ListLogins(t.Context(), "anna")
	if err != nil || len(list) != 2 || list[0].User != "anna" || list[0].Expires.Before(later.Add(-time.Second)) || time.Since(list[0].Created) > time.Minute {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := l.ListLogins(t.Context(), ""); err != nil || len(list) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := l.Delete("token of anna"); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete("token of anna"); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
	if found(t, l, "token of anna") != nil {
		t.Error("a deleted login is there")
	}
	commit(t, l, "third token of anna", "anna", later)
	if n, err := l.DeleteLogins(t.Context(), "anna"); n != 2 || err != nil {
		t.Error(n, err)
	}
	if found(t, l, "second token of anna") != nil || found(t, l, "token of bob") == nil {
		t.Error("not exactly anna's logins ended")
	}
	// They outlive the process.
	closeAll(t, db)
	l = open(t, path).Logins()
	if found(t, l, "token of bob") == nil {
		t.Error("a login was lost")
	}
	list, err = l.ListLogins(t.Context(), "bob")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if err := l.DeleteLogin(t.Context(), list[0].ID); err != nil || found(t, l, "token of bob") != nil {
		t.Error("a login of the list can't be ended", err)
	}
}

func TestLoginsExpire(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	l := open(t, path).Logins()
	commit(t, l, "old", "anna", time.Now().Add(-time.Second))
	if found(t, l, "old") != nil {
		t.Error("an expired login counts")
	}
	if list, err := l.ListLogins(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	commit(t, l, "new", "anna", time.Now().Add(time.Hour))
	if n := query[int](t, raw(t, path), `SELECT count(*) FROM login`); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// TestTokenIsNotStored looks for the token in the files themselves.
func TestTokenIsNotStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	const token = "0123456789-a-token-that-opens-the-admin"
	commit(t, open(t, path).Logins(), token, "anna", time.Now().Add(time.Hour))
	for _, name := range []string{path, path + "-wal"} {
		if bytes.Contains(read(t, name), []byte(token)) {
			t.Errorf("%s holds the token", name)
		}
	}
}

func TestLoginsRefuseForeignData(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "hearthmq.db")).Logins()
	if err := l.Commit("token", []byte("not a session"), time.Now().Add(time.Hour)); err == nil {
		t.Error("data was taken that is no session of scs")
	}
}

// A login that can't be read, of an earlier version, asks for a new one instead of failing.
func TestLoginInAnotherForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db := open(t, path)
	l := db.Logins()
	commit(t, l, "token", "ann", time.Now().Add(time.Hour))
	exec(t, raw(t, path), `UPDATE login SET data = x'0d7f04'`)
	if data, ok, err := l.Find("token"); ok || err != nil {
		t.Errorf("found %q, %v; want nothing and no error", data, err)
	}
}
