package ui

import (
	"context"

	"github.com/a-h/templ"
)

type baseKey struct{}

// WithBase returns a context whose pages live under base: "" on the direct
// listener, "/api/hassio_ingress/<token>" behind ingress. The caller has
// validated base; it never ends in a slash.
func WithBase(ctx context.Context, base string) context.Context {
	return context.WithValue(ctx, baseKey{}, base)
}

// Base returns the base path of the request, "" when there is none.
func Base(ctx context.Context) string {
	base, _ := ctx.Value(baseKey{}).(string)
	return base
}

// Path returns the URL of one of our own pages. p starts with a slash and is
// made of fixed text, numbers and base64url only: topics, Client Identifiers and user
// names never stand in a URL.
func Path(ctx context.Context, p string) templ.SafeURL {
	return templ.SafeURL(Base(ctx) + p)
}

// topicsPath is the page of a level of the topics, which is named in base64url.
func topicsPath(ctx context.Context, code string) templ.SafeURL { return Path(ctx, "/topics?t="+code) }

// Asset returns the URL of an embedded file such as "js/app.js" or "app.css".
// The content's hash is a directory of it, so that it may be cached for ever
// and modules find each other by relative imports.
func Asset(ctx context.Context, name string) string {
	return Base(ctx) + "/static/" + bundle().version + "/" + name
}
