// Package addon is HearthMQ's side of Home Assistant's app platform: the settings
// that the Supervisor writes to options.json, which a HearthMQ outside Home Assistant
// reads in the same form.
//
// It turns settings into the types of the packages that use them and must not
// import web, ui or broker/sqlite. cmd/hearthmq calls it once, at the start.
package addon
