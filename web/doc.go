// Package web is the admin in the browser: pages, forms and the JSON and
// WebSocket that keep them live.
//
// It is served by two handlers made of the same routes. Direct has a login of
// its own; Ingress stands behind Home Assistant's Supervisor and believes what
// it says of the user, because nobody else may connect. Trust depends on the
// listener a request came in by, never on a header alone.
//
// Handlers return an error; errors.go turns it into a page in one place. Every
// page works without JavaScript. Package ui renders; cmd/hearthmq wires. This
// package must not import sqlite or addon: what it needs of them comes in
// through Config.
package web
