package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/a-h/templ"

	"hearthmq/ui"
)

// pageBuffers are what pages are built in: they grow to a hundred thousand bytes, and
// each new one would be work for the collector of garbage.
var pageBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPageBuffer is the largest buffer that is used again.
const maxPageBuffer = 256 << 10

// render writes a page. It is built in memory first, so that a failure can
// still become an error page.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	b := pageBuffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= maxPageBuffer {
			b.Reset()
			pageBuffers.Put(b)
		}
	}()
	if err := page.Render(r.Context(), b); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // the browser is gone: nobody to tell
	}
	return nil
}

// renderJSON writes v, for our own modules.
func (s *Server) renderJSON(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b)
	return nil
}

// redirect answers 303 to one of our own pages. It is the only way to redirect:
// it keeps the ingress path in front. path is fixed text and numbers.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request, path string) error {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n") {
		return fmt.Errorf("redirect to %q: not a path of ours", path)
	}
	w.Header().Set("Location", ui.Base(r.Context())+path)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// view fills in what every page has around its content. current is the key of
// the navigation entry, modules are the page's own ES modules.
func (s *Server) view(r *http.Request, title, current string, modules ...string) ui.PageView {
	p := principalOf(r.Context())
	v := ui.PageView{
		Title:    title,
		Current:  current,
		User:     p.display,
		Embedded: p.embedded,
		Modules:  modules,
		Version:  s.cfg.Version,
	}
	if text, ok := doneText(r.URL.Query().Get("done")); ok {
		v.Notices = append(v.Notices, ui.Notice{Kind: "success", Text: text})
	}
	return v
}

// doneText maps the key in ?done= to what is said: nothing from the URL is ever shown.
func doneText(key string) (string, bool) {
	switch key {
	case "user-added":
		return "The user was added.", true
	case "learning":
		return "HearthMQ watches this user now. Let the device do what it does.", true
	case "learnt":
		return "The user has the rules. They count from now on.", true
	case "learning-dropped":
		return "What was seen is forgotten.", true
	case "rules-added":
		return "The user has the rules. They count from now on, also for clients that are connected.", true
	case "limits-changed":
		return "The limits were changed. They hold at once; connections and subscriptions above them stay until they end.", true
	case "rule-added":
		return "The rule was added. It counts at once.", true
	case "rule-added-subscribe":
		return "The rule was added. It counts at once; what was refused to a device that is connected, it gets when it subscribes again: restart it.", true
	case "user-changed":
		return "The user was changed. It counts from now on, also for clients that are connected.", true
	case "user-enabled":
		return "The user may log in again.", true
	case "user-disabled":
		return "The user was disabled and its clients were disconnected.", true
	case "user-deleted":
		return "The user was deleted and its clients were disconnected.", true
	case "password-changed":
		return "The password was changed. Clients with the old one were disconnected.", true
	case "role-added":
		return "The role was added. Give it to users on their pages.", true
	case "role-changed":
		return "The role was changed. It counts from now on, also for clients that are connected.", true
	case "role-deleted":
		return "The role was deleted.", true
	case "bridge-added":
		return "The bridge was added. It connects now.", true
	case "bridge-changed":
		return "The bridge was changed.", true
	case "bridge-deleted":
		return "The bridge was deleted.", true
	case "retained-deleted":
		return "The retained messages were deleted. You can put them back below.", true
	case "retained-restored":
		return "The messages are retained again, except where a newer one came meanwhile.", true
	case "retained-none":
		return "Nothing was left to delete.", true
	case "retained-gone":
		return "That can't be put back any more.", true
	case "disconnected":
		return "The client was disconnected. Most devices connect again by themselves.", true
	case "forgotten":
		return "The session is forgotten.", true
	case "blocked":
		return "Blocked. Whoever was connected is disconnected and is not let in again.", true
	case "unblocked":
		return "The block is gone. The device gets in the next time it tries.", true
	case "client-gone":
		return "That client was no longer connected.", true
	case "token-revoked":
		return "The token is revoked. Whoever used it is refused from now on.", true
	case "login-ended":
		return "That browser is logged out.", true
	case "logins-ended":
		return "All other browsers are logged out.", true
	case "debug-on":
		return "For the next 15 minutes everything is recorded here.", true
	case "home-connected":
		return "Home Assistant has set up its MQTT integration with HearthMQ.", true
	case "copied":
		return "The retained messages were copied.", true
	case "copy-undone":
		return "The copies were deleted.", true
	case "record-taken":
		return "Home Assistant's apps find HearthMQ when they start next.", true
	case "record-undone":
		return "Home Assistant's apps find the other broker again when they start next.", true
	case "home-pointed":
		return "Home Assistant tried HearthMQ and took it. It connects within seconds.", true
	case "home-undone":
		return "Home Assistant's MQTT integration is back with the other broker.", true
	case "restarting":
		return "HearthMQ takes the ports and restarts.", true
	case "take-over-finished":
		return "That was all. HearthMQ is your broker now, and the other one's app can be uninstalled.", true
	case "node-red-sent":
		return "Node-RED has the broker now. It connects within seconds.", true
	case "logged-out":
		return "You are logged out.", true
	case "welcome":
		return "Your administrator account is ready. Welcome to HearthMQ.", true
	}
	return "", false
}
