package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// urlAttributes are all attributes of ours that hold a URL.
var urlAttributes = map[string]bool{
	"href": true, "src": true, "action": true, "formaction": true, "poster": true, "srcset": true,
	"data-base": true, "data-live": true, "data-arrival": true,
}

// form is a form of a page, with what it would send.
type form struct {
	action string
	values url.Values
}

// read returns the links of a page to other pages and its forms, and fails on
// every URL outside of base and on everything the Content-Security-Policy forbids.
func read(t *testing.T, where, base, page string) (links []string, forms []form) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "style" || n.Data == "script" && n.FirstChild != nil {
			t.Errorf("%s: inline <%s>", where, n.Data)
		}
		attrs := map[string]string{}
		for _, a := range n.Attr {
			attrs[a.Key] = a.Val
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s: <%s %s=%q>", where, n.Data, a.Key, a.Val)
			}
			if urlAttributes[a.Key] && !strings.HasPrefix(a.Val, "#") && a.Val != base && !strings.HasPrefix(a.Val, base+"/") {
				t.Errorf("%s: <%s %s=%q> is not below %s", where, n.Data, a.Key, a.Val, base)
			}
		}
		switch n.Data {
		case "a":
			if path, _, _ := strings.Cut(attrs["href"], "#"); path != "" {
				links = append(links, strings.TrimPrefix(path, base))
			}
		case "form":
			f := form{action: strings.TrimPrefix(attrs["action"], base), values: url.Values{}}
			for in := range n.Descendants() {
				if in.Type != html.ElementNode || in.Data != "input" {
					continue
				}
				var name, value string
				for _, a := range in.Attr {
					switch a.Key {
					case "name":
						name = a.Val
					case "value":
						value = a.Val
					}
				}
				f.values.Add(name, value)
			}
			forms = append(forms, f)
		}
	}
	return links, forms
}

// asks are the forms that change nothing.
var asks = map[string]bool{"/clients/show": true, "/clients": true, "/topics": true, "/users/find": true, "/clients/forget/ask": true, "/clients/block/ask": true, "/logs": true, "/logs/audit": true}

// TestEveryPageStaysUnderIngress walks all pages behind ingress by their links,
// sends the forms that only ask, and makes every error page there is.
func TestEveryPageStaysUnderIngress(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	seen := map[string]bool{}
	queue := []string{"/", "/topics", "/clients", "/users", "/access", "/bridges"}
	pages := 0
	visit := func(where string, a answer) {
		pages++
		if strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") { // a file, never shown
			if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "sandbox") {
				t.Errorf("%s: Content-Security-Policy %q", where, csp)
			}
			return
		}
		if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'self'") {
			t.Errorf("%s: Content-Security-Policy %q", where, csp)
		}
		links, forms := read(t, where, ingressBase, a.body)
		queue = append(queue, links...)
		for _, f := range forms {
			if asks[f.action] || strings.HasPrefix(f.action, "/access/check") && f.values.Has("topic") {
				if key := f.action + "?" + f.values.Encode(); !seen[key] {
					seen[key] = true
					answer := b.post(f.action, f.values)
					read(t, key, ingressBase, answer.body)
				}
			}
		}
	}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		visit(path, b.get(path).is(t, http.StatusOK))
	}
	if pages < 15 {
		t.Errorf("only %d pages were found", pages)
	}
	visit("404", b.get("/nothing/here").is(t, http.StatusNotFound))
	visit("404 of a user", b.get("/users/99999").is(t, http.StatusNotFound))
	visit("404 of a role", b.get("/access/roles/99999").is(t, http.StatusNotFound))
	visit("405", b.post("/discovery", nil).is(t, http.StatusMethodNotAllowed))
	visit("400", b.post(s.userPath("zigbee2mqtt"), nil).is(t, http.StatusBadRequest))
	visit("422 of a new user", b.post("/users/new", url.Values{"name": {"a+b"}}).is(t, http.StatusUnprocessableEntity))
	visit("422 of a new role", b.post("/access/roles/new", url.Values{"name": {"x"}, "rules": {"allow nothing"}}).is(t, http.StatusUnprocessableEntity))
	visit("422 of the check", b.post("/access/check", url.Values{"user": {"zigbee2mqtt"}, "action": {"publish"}, "topic": {"a/#"}}).is(t, http.StatusUnprocessableEntity))
	visit("generated password", b.post("/users/new", url.Values{"name": {"new-lamp"}, "password-kind": {"generate"}}).is(t, http.StatusOK))
	visit("409", b.post(s.userPath("zigbee2mqtt"), url.Values{"revision": {"77"}}).is(t, http.StatusConflict))
	a := b.post(s.userPath("new-lamp")+"/delete", nil).is(t, http.StatusSeeOther)
	if got := a.Header.Get("Location"); !strings.HasPrefix(got, ingressBase+"/users?") {
		t.Errorf("a redirect leads to %q", got)
	}
}

// TestGetChangesNothing follows every link and compares what is stored (case W9).
func TestGetChangesNothing(t *testing.T) {
	s := furnished(t, false)
	b := s.direct().login()
	before := s.state()
	seen := map[string]bool{}
	queue := []string{"/"}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		links, forms := read(t, path, "", b.get(path).body)
		queue = append(queue, links...)
		for _, f := range forms { // what a form changes by POST, GET must not change
			if f.action != "/logout" {
				b.get(f.action + "?_method=POST&" + f.values.Encode())
			}
		}
	}
	if after := s.state(); after != before {
		t.Errorf("GET changed something:\nbefore %s\nafter  %s", before, after)
	}
}

// state is what can be changed in the admin, as one text.
func (s *site) state() string {
	var b strings.Builder
	for _, u := range s.dir.Users() {
		b.WriteString(u.Name + revisionOf(u.Revision) + ";")
	}
	for _, r := range s.dir.Roles() {
		b.WriteString(r.Name + revisionOf(r.Revision) + ";")
	}
	tokens, err := s.tokens.List(s.t.Context())
	s.must(err)
	for _, x := range tokens {
		b.WriteString(x.Label + ";")
	}
	for _, x := range s.bans.List() {
		b.WriteString(string(x.Kind) + x.Value + ";")
	}
	for _, m := range slices.SortedFunc(s.broker.Retained("#"), func(a, b *broker.Message) int { return strings.Compare(a.Topic, b.Topic) }) {
		fmt.Fprintf(&b, "%s=%s;", m.Topic, m.Payload)
	}
	for _, x := range s.broker.Sessions() {
		fmt.Fprintf(&b, "%s %v;", x.ClientID, x.Connected)
	}
	fmt.Fprint(&b, len(s.server.tracing.list()), s.server.cfg.Feed.Pins())
	// Whatever changes something says so in the audit.
	changes, _, err := s.accounts.Audit(s.t.Context(), access.AuditQuery{Limit: 1})
	s.must(err)
	if len(changes) > 0 {
		fmt.Fprintf(&b, "; %d %s", changes[0].ID, changes[0].Action)
	}
	return b.String()
}
