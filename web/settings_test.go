package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/access"
)

// fakeLogins is a LoginList; sqlite's is tried by cmd/hearthmq.
type fakeLogins struct{ list []access.BrowserLogin }

func (f *fakeLogins) ListLogins(context.Context, string) ([]access.BrowserLogin, error) {
	return f.list, nil
}

func (f *fakeLogins) DeleteLogin(_ context.Context, id int64) error {
	for i, l := range f.list {
		if l.ID == id {
			f.list = append(f.list[:i:i], f.list[i+1:]...)
			break
		}
	}
	return nil
}

func (*fakeLogins) LoginID(context.Context, string) (int64, error) { return 1, nil }

// fakeBackups keeps what was uploaded.
type fakeBackups struct {
	uploaded string
	restored string
	err      error
}

func (f *fakeBackups) Make(context.Context) (io.ReadCloser, int64, error) {
	return io.NopCloser(strings.NewReader("a backup")), 8, f.err
}

func (f *fakeBackups) Check(_ context.Context, from io.Reader) (string, string, error) {
	b, err := io.ReadAll(from)
	if err != nil {
		return "", "", err
	}
	f.uploaded = string(b)
	if !strings.HasPrefix(f.uploaded, "good") {
		return "", "", access.Problems{"file": "it is no backup"}
	}
	return "KEY", "3 users", nil
}

func (f *fakeBackups) Restore(_ context.Context, key string) error {
	if key != "KEY" {
		return access.ErrNotFound
	}
	f.restored = key
	return nil
}

func (b *browser) upload(path, field, content string) answer {
	b.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreateFormFile(field, hostileName) // case W5: the file's name
	if err == nil {
		_, err = io.WriteString(part, content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		b.t.Fatal(err)
	}
	req := b.request(http.MethodPost, path, &body)
	req.Header.Set("Content-Type", w.FormDataContentType())
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

func TestBackupPages(t *testing.T) {
	backups := &fakeBackups{}
	s := newSite(t, func(c *Config) { c.Backups = backups })
	b := s.ingress()
	b.get("/settings/backup").is(t, http.StatusOK).says(t, "Download a backup", "at most 16 MB can be sent")
	a := b.post("/settings/backup", nil).is(t, http.StatusOK)
	if a.body != "a backup" || !strings.HasPrefix(a.Header.Get("Content-Disposition"), `attachment; filename="hearthmq-`) ||
		a.Header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(a.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%v %q", a.Header, a.body)
	}
	b.get("/logs/audit").says(t, "backup downloaded")
	b.upload("/settings/restore", "file", "good "+strings.Repeat("x", 3<<20)).is(t, http.StatusOK).says(t, "Go back to this backup?", "It has 3 users.")
	if len(backups.uploaded) < 3<<20 {
		t.Errorf("%d bytes arrived", len(backups.uploaded))
	}
	bad := b.upload("/settings/restore", "file", "bad").is(t, http.StatusUnprocessableEntity)
	bad.says(t, "It is no backup.")
	if strings.Contains(bad.body, "<img") {
		t.Error("the file's name is markup")
	}
	b.upload("/settings/restore", "other", "good").is(t, http.StatusUnprocessableEntity).says(t, "Choose a file.")
	b.post("/settings/restore", url.Values{"file": {"x"}}).is(t, http.StatusBadRequest)
	b.post("/settings/restore/confirm", url.Values{"key": {"OTHER"}}).is(t, http.StatusNotFound)
	done := b.post("/settings/restore/confirm", url.Values{"key": {"KEY"}}).is(t, http.StatusOK)
	done.says(t, "HearthMQ starts again")
	if backups.restored != "KEY" || done.Header.Get("Refresh") != "8; url="+ingressBase+"/" {
		t.Errorf("restored %q, Refresh %q", backups.restored, done.Header.Get("Refresh"))
	}
	newSite(t, nil).ingress().get("/settings/backup").is(t, http.StatusOK).says(t, "nothing to back up")
}

func TestTokenPages(t *testing.T) {
	s := furnished(t, false)
	b := s.direct().login()
	b.get("/settings/tokens").is(t, http.StatusOK).says(t, "No token yet")
	b.post("/settings/tokens", url.Values{"label": {""}, "scope": {"read"}}).is(t, http.StatusUnprocessableEntity).says(t, "A name is needed.")
	b.post("/settings/tokens", url.Values{"label": {"x"}, "scope": {"owner"}}).is(t, http.StatusUnprocessableEntity)
	a := b.post("/settings/tokens", url.Values{"label": {"grafana"}, "scope": {"read"}}).is(t, http.StatusOK)
	a.says(t, "Copy it now", "hmq_", "/api/v1", "curl")
	list, err := s.tokens.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Scope != access.ScopeRead || list[0].CreatedBy != adminName {
		t.Fatalf("%+v, %v", list, err)
	}
	page := b.get("/settings/tokens").is(t, http.StatusOK)
	page.says(t, "grafana", "may read", "never used")
	if strings.Contains(page.body, "hmq_") && strings.Contains(page.body, "hmq_"+strings.Repeat("A", 4)) {
		t.Error("shows a token again")
	}
	b.get(tokenRevokePath(list[0].ID)).is(t, http.StatusOK).says(t, "Revoke grafana?")
	b.post(tokenRevokePath(list[0].ID), nil).leads(t, b, "/settings/tokens?done=token-revoked")
	b.post(tokenRevokePath(list[0].ID), nil).is(t, http.StatusNotFound)
	b.get("/logs/audit").says(t, "token created", "token revoked")
}

func TestLoginsPage(t *testing.T) {
	logins := &fakeLogins{}
	for i, user := range []string{"anna", "bob", hostileName} {
		logins.list = append(logins.list, access.BrowserLogin{ID: int64(i + 1), User: user, Address: "10.0.0.1", Browser: "Firefox/1 Android", Created: time.Now(), Seen: time.Now()})
	}
	s := newSite(t, func(c *Config) { c.Logins = logins })
	s.createUser(access.NewUser{Name: adminName, Password: adminPass, Admin: true})
	b := s.direct().login()
	page := b.get("/settings/logins").is(t, http.StatusOK)
	page.says(t, "bob", "Firefox on Android at 10.0.0.1", "this browser")
	if strings.Contains(page.body, "<img") || strings.Count(page.body, "/end\"") != 2 {
		t.Error("markup of a stranger, or one's own login can be ended")
	}
	b.post("/settings/logins/2/end", nil).leads(t, b, "/settings/logins?done=login-ended")
	b.post("/settings/logins/2/end", nil).is(t, http.StatusNotFound)
	b.post("/settings/logins/others", nil).leads(t, b, "/settings/logins?done=logins-ended")
	if len(logins.list) != 1 || logins.list[0].ID != 1 {
		t.Errorf("left: %+v", logins.list)
	}
	b.get("/logs/audit").says(t, "login ended")
}

func TestBrowserNames(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                        "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0":                         "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile Safari/604.1":  "Safari on iPhone",
		"Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36 Home Assistant/2026.11.1": "Home Assistant's app on Android",
		"": "A browser", "<script>": "A browser",
	} {
		if got := browserName(agent); got != want {
			t.Errorf("%q: %q, want %q", agent, got, want)
		}
	}
}

func TestCertificatesPage(t *testing.T) {
	now := time.Now()
	s := newSite(t, func(c *Config) {
		c.Certificates = func() []Certificate {
			return []Certificate{
				{Ports: "MQTT, encrypted (8883)", File: "/ssl/fullchain.pem", Names: []string{"home.example", hostileName}, Issuer: "CN=R11", Ends: now.AddDate(0, 0, 60)},
				{Ports: "second", Ends: now.Add(5 * 24 * time.Hour), Days: 5, Urgent: true}, {Ports: "third", Ends: now.Add(-time.Hour)},
				{Ports: "fourth", Ends: now.AddDate(1, 0, 0), Problem: "key and certificate don't belong together"},
			}
		}
	})
	a := s.ingress().get("/settings/certificates").is(t, http.StatusOK)
	a.says(t, "MQTT, encrypted (8883)", "good", "home.example", "ends soon", "has ended", "Key and certificate don't belong together.", "CN=R11")
	if strings.Contains(a.body, "<img") {
		t.Error("a name of a certificate is markup")
	}
	newSite(t, nil).ingress().get("/settings/certificates").is(t, http.StatusOK).says(t, "No certificate")
}

func tokenRevokePath(id int64) string { return "/settings/tokens/" + revisionOf(id) + "/revoke" }
