package ui

import "slices"

// PageView is what every page needs around its content.
type PageView struct {
	Title   string // "Users"; the browser shows "Users – HearthMQ"
	Current string // key of the navigation entry
	User    string // who is looking, for people; "" before login
	// Embedded says that Home Assistant shows the page in its panel: no log out.
	Embedded bool
	// Bare leaves out the navigation: login, set-up and errors before login.
	Bare bool
	// Full gives the content the whole width and height of the window.
	Full bool
	// Modules are the page's own ES modules, without folder and ".js".
	Modules []string
	Notices []Notice
	Version string
}

// Notice is a message above a page's content.
type Notice struct {
	Kind string // success, info, warning, error
	Text string
}

// navEntry is one line of the navigation.
type navEntry struct{ key, path, icon, label string }

// onPhones are the entries that the bar of a phone shows beside "More".
var onPhones = []string{"overview", "topics", "clients", "users"}

// spare are the other ones.
func spare() []navEntry {
	return slices.DeleteFunc(navigation(), func(e navEntry) bool { return slices.Contains(onPhones, e.key) })
}

// inMore reports whether a phone shows the current page's entry below "More".
func inMore(current string) bool {
	return slices.ContainsFunc(spare(), func(e navEntry) bool { return e.key == current })
}

func navigation() []navEntry {
	return []navEntry{
		{"overview", "/", "overview", "Overview"},
		{"topics", "/topics", "topics", "Topics"},
		{"retained", "/retained", "pin", "Retained"},
		{"discovery", "/discovery", "discovery", "Discovery"},
		{"clients", "/clients", "clients", "Clients"},
		{"users", "/users", "users", "Users"},
		{"access", "/access", "access", "Access"},
		{"bridges", "/bridges", "shuffle", "Bridges"},
		{"connect", "/connect", "connect", "Connect"},
		{"logs", "/logs", "logs", "Logs"},
		{"settings", "/settings", "settings", "Settings"},
	}
}

// noticeIcon is the shape that says a notice's kind to those who see no colour.
func noticeIcon(kind string) string {
	switch kind {
	case "success":
		return "check"
	case "error", "warning":
		return "warning"
	}
	return "info"
}

// noticeRole makes a screen reader speak up at once for what went wrong only.
func noticeRole(kind string) string {
	if kind == "error" {
		return "alert"
	}
	return "status"
}

func accountLabel(v PageView) string {
	if v.User == "" {
		return "Menu"
	}
	return "Account and appearance"
}
