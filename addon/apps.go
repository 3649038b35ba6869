package addon

import (
	"context"
	"crypto/sha1" //nolint:gosec // not a secret: it is how the Supervisor names repositories
	"encoding/hex"
	"errors"
	"strings"
)

// KnownApp is an app that talks MQTT, as its repository names it.
type KnownApp struct {
	Name       string
	Repository string // URL
	Slug       string // without the repository's part
	Service    bool   // takes host and password from the service record
}

// knownApps are the apps that are looked for: their state can be asked for one by one
// and not listed, for which an app would need more rights.
var knownApps = []KnownApp{
	{"Zigbee2MQTT", "https://github.com/zigbee2mqtt/hassio-zigbee2mqtt", "zigbee2mqtt", true},
	{"Zigbee2MQTT Edge", "https://github.com/zigbee2mqtt/hassio-zigbee2mqtt", "zigbee2mqtt_edge", true},
	{"Node-RED", "https://github.com/hassio-addons/repository", "nodered", false},
	{"Z-Wave JS UI", "https://github.com/hassio-addons/repository", "zwavejs2mqtt", false},
	{"AppDaemon", "https://github.com/hassio-addons/repository", "appdaemon", false},
	{"ESPHome", "https://github.com/esphome/home-assistant-addon", "esphome", false},
	{"Frigate", "https://github.com/blakeblackshear/frigate-hass-addons", "frigate", false},
	{"ring-mqtt", "https://github.com/tsightler/ring-mqtt-ha-addon", "ring_mqtt", true},
	{"rtl_433", "https://github.com/pbkhrv/rtl_433-hass-addons", "rtl433", true},
}

// FullSlug is the name that the Supervisor gives the app.
func (a KnownApp) FullSlug() string {
	sum := sha1.Sum([]byte(strings.ToLower(a.Repository))) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])[:8] + "_" + a.Slug
}

// InstalledApp is a known app that is installed.
type InstalledApp struct {
	KnownApp
	Slug    string // full
	Running bool
}

// installedApps looks for the known apps.
func (s *Supervisor) installedApps(ctx context.Context) ([]InstalledApp, error) {
	var found []InstalledApp
	for _, k := range knownApps {
		info, err := s.App(ctx, k.FullSlug())
		if errors.Is(err, ErrNoApp) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, InstalledApp{KnownApp: k, Slug: k.FullSlug(), Running: running(info.State)})
	}
	return found, nil
}

// running reports whether an app in that state holds its ports.
func running(state string) bool { return state == "started" || state == "startup" }
