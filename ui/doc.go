// Package ui holds what a browser is sent: templ components and pages with
// their own view models, and the embedded style sheets, modules and icons.
//
// It contains no logic of the broker and imports nothing of ours; package web
// fills the view models and calls Render. Every URL is made by Path or Asset,
// which put the request's base path in front: behind Home Assistant's ingress
// the whole admin lives under /api/hassio_ingress/<token>.
//
// The Content-Security-Policy allows neither inline scripts nor inline styles,
// so there is no style= attribute, no on*= attribute and no templ css or
// script component in here.
package ui
