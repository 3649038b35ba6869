// Package addontest imitates what stands around an app of Home Assistant: the
// Supervisor with its registry of services, Core behind it, and the ingress by which
// browsers reach the app. They answer as the real ones do, traps included, and can be
// slow, broken or gone. Only tests import it.
package addontest
