package web

import (
	"strings"
	"testing"

	"hearthmq/broker/access"
)

// case A23: a note or a description that turns the order of letters, or looks like another
// line, is shown as what it is; only a field in which it is changed has it as it stands.
func TestHostileNotes(t *testing.T) {
	const text = "\u202eevil\u2069\u2066\x1b[31m\u2028<b>"
	s := newSite(t, nil)
	ctx := access.WithActor(t.Context(), access.ViaAdmin, "anna")
	s.must(s.accounts.CreateRole(ctx, "guests", text, mustRules(t, "allow both guests/#")))
	_, _, err := s.accounts.CreateUser(ctx, access.NewUser{Name: "lamp", NoPassword: true, Note: text, Roles: []string{"guests"}})
	s.must(err)
	b := s.ingress()
	for _, path := range []string{"/users", "/access", "/logs/audit", "/clients", "/"} {
		page := b.get(path).is(t, 200)
		if strings.ContainsAny(page.body, "\u202e\u2066\u2069\u2028\x1b") || strings.Contains(page.body, "<b>") {
			t.Errorf("%s shows it as it stands", path)
		}
		if (path == "/users" || path == "/access" || path == "/logs/audit") && !strings.Contains(page.body, "evil") {
			t.Errorf("%s does not show it", path)
		}
	}
}
