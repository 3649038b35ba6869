package addon

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"math"
	"strings"
	"time"

	"hearthmq/broker"
)

// Topics of HearthMQ as a device of Home Assistant.
const (
	deviceTopic = "homeassistant/device/hearthmq/config" // MQTT discovery, retained
	stateTopic  = "hearthmq/state"                       // figures as JSON, not retained
	birthTopic  = "homeassistant/status"                 // Home Assistant says "online" once it listens
)

const (
	deviceInterval = 30 * time.Second
	deviceExpiry   = 100 * time.Second // after which Home Assistant shows figures as not available
	deviceTimeout  = 5 * time.Second   // for storing the announcement
)

// DeviceBroker is what a Device needs of the broker. *broker.Broker is one.
type DeviceBroker interface {
	Publish(ctx context.Context, m *broker.Message) error
	Attach(id *broker.Identity, opt broker.LocalOptions) *broker.LocalClient
	Stats() broker.Stats
	Retained(filter string) iter.Seq[*broker.Message]
}

// DeviceConfig is what a Device works with.
type DeviceConfig struct {
	Broker  DeviceBroker // must not be nil
	Version string
	// StoreBytes is the size of the database on disk; nil or false: not known.
	StoreBytes func() (int64, bool)
	// CertificateEnd is when the certificate of the encrypted ports ends; nil or
	// false: there is none. One that comes later gets its entity then.
	CertificateEnd func() (time.Time, bool)
	// Update says whether there is a newer version; nil or false: nobody knows.
	Update func() (available, known bool)
	// Presence says of users whether a client of theirs is connected; nil: it is not
	// to be shown.
	Presence func() map[string]bool
	// Changed has something when somebody came or went. May be nil.
	Changed <-chan struct{}
	Log     *slog.Logger // must not be nil
}

// Device shows the broker's health in Home Assistant, as a device found by MQTT
// discovery. The figures are not retained: nothing is written for them.
type Device struct{ cfg DeviceConfig }

// NewDevice returns a Device; Run starts it.
func NewDevice(cfg DeviceConfig) *Device { return &Device{cfg} }

// component is one entity of the discovery message.
type component struct {
	Platform    string `json:"platform"`
	UniqueID    string `json:"unique_id,omitempty"`
	Name        string `json:"name,omitempty"`
	DeviceClass string `json:"device_class,omitempty"`
	StateClass  string `json:"state_class,omitempty"`
	Unit        string `json:"unit_of_measurement,omitempty"`
	ShownAs     string `json:"suggested_unit_of_measurement,omitempty"`
	Precision   *int   `json:"suggested_display_precision,omitempty"`
	Category    string `json:"entity_category,omitempty"`
	Icon        string `json:"icon,omitempty"`
	Template    string `json:"value_template,omitempty"`
	ExpireAfter int    `json:"expire_after,omitempty"`
}

// figures are the state message. A figure that is not known is null, which Home
// Assistant shows as unknown.
type figures struct {
	Clients         int      `json:"clients"`
	Messages        *float64 `json:"messages"` // received per second
	Denied          uint64   `json:"denied"`
	Refused         uint64   `json:"refused"`
	Dropped         uint64   `json:"dropped"`
	Retained        int      `json:"retained"`
	StoreSize       *int64   `json:"store_size"` // bytes
	StorageProblem  string   `json:"storage_problem"`
	CertificateDays *int     `json:"certificate_days"`
	Update          *string  `json:"update,omitempty"` // ON or OFF
	// Presence is ON or OFF by the key of a user.
	Presence map[string]string `json:"presence,omitempty"`
}

// discovery is the message that makes the device known. An entity that is in gone is
// taken out of it: only its platform is left.
func (d *Device) discovery(users map[string]bool, gone map[string]string) []byte {
	none, one := 0, 1
	components := make(map[string]component)
	for _, c := range []struct {
		key string
		component
	}{
		{"clients", component{Name: "Connected clients", StateClass: "measurement", Icon: "mdi:lan-connect", Precision: &none}},
		{"messages", component{Name: "Messages", StateClass: "measurement", Unit: "msg/s", Icon: "mdi:message-flash", Precision: &one}},
		{"denied", component{Name: "Denied", StateClass: "total_increasing", Icon: "mdi:shield-lock", Precision: &none}},
		{"refused", component{Name: "Refused logins", StateClass: "total_increasing", Icon: "mdi:account-lock", Precision: &none}},
		{"dropped", component{Name: "Dropped messages", StateClass: "total_increasing", Icon: "mdi:message-off", Precision: &none}},
		{"retained", component{Name: "Retained messages", StateClass: "measurement", Icon: "mdi:pin", Precision: &none}},
		{"store_size", component{Name: "Store size", StateClass: "measurement", DeviceClass: "data_size", Unit: "B", ShownAs: "MB", Precision: &one}},
		{"certificate_days", component{Name: "Certificate valid for", DeviceClass: "duration", Unit: "d", Precision: &none}},
		{"storage_problem", component{Platform: "binary_sensor", Name: "Storage", DeviceClass: "problem"}},
		{"update", component{Platform: "binary_sensor", Name: "Update", DeviceClass: "update"}},
	} {
		if c.key == "certificate_days" && !d.certified() || c.key == "update" && d.cfg.Update == nil {
			continue
		}
		if c.Platform == "" {
			c.Platform = "sensor"
		}
		c.UniqueID, c.Category = "hearthmq_"+c.key, "diagnostic"
		c.Template = "{{ value_json." + c.key + " }}"
		c.ExpireAfter = int(deviceExpiry.Seconds())
		components[c.key] = c.component
	}
	for user := range users {
		key := presenceKey(user)
		components[key] = component{
			Platform: "binary_sensor", UniqueID: "hearthmq_" + key, Name: user, DeviceClass: "connectivity", Category: "diagnostic",
			Template: "{{ value_json.presence." + key + " }}", ExpireAfter: int(deviceExpiry.Seconds()),
		}
	}
	for key, platform := range gone {
		if _, there := components[key]; !there {
			components[key] = component{Platform: platform}
		}
	}
	text, err := json.Marshal(map[string]any{
		"device": map[string]any{
			"identifiers": []string{"hearthmq"}, "name": "HearthMQ", "manufacturer": "HearthMQ", "model": "MQTT broker",
			"sw_version": d.cfg.Version,
		},
		"origin":      map[string]any{"name": "HearthMQ", "sw_version": d.cfg.Version},
		"components":  components,
		"state_topic": stateTopic,
		"qos":         0,
	})
	if err != nil {
		panic(err) // nothing in there can't be JSON
	}
	return text
}

// Run announces the device and publishes its figures until ctx ends.
func (d *Device) Run(ctx context.Context) {
	born := make(chan struct{}, 1)
	client := d.cfg.Broker.Attach(nil, broker.LocalOptions{OnMessage: func(m *broker.Message) {
		if strings.EqualFold(string(m.Payload), "online") {
			select {
			case born <- struct{}{}:
			default: // it is known already
			}
		}
	}})
	defer client.Close()
	if err := client.Subscribe(birthTopic); err != nil {
		d.cfg.Log.Warn("can't notice when Home Assistant starts", "err", err)
	}
	users, certified := d.presence(), d.certified()
	d.announce(ctx, users)
	tick := time.NewTicker(deviceInterval)
	defer tick.Stop()
	last := d.cfg.Broker.Stats()
	var rate *float64
	d.state(ctx, last, rate, users)
	var soon <-chan time.Time // those who come together are told of together
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.cfg.Changed:
			if soon == nil && d.cfg.Presence != nil {
				soon = time.After(presencePause)
			}
			continue
		case <-soon:
			soon = nil
			d.state(ctx, d.cfg.Broker.Stats(), rate, d.presence())
			continue
		case <-born:
			// Home Assistant was away and may have lost the device meanwhile. What is
			// retained already is not written again.
			d.announce(ctx, d.presence())
		case <-tick.C:
		}
		now := d.cfg.Broker.Stats()
		if span := now.Now.Sub(last.Now).Seconds(); span > 0 {
			r := math.Round(10*float64(now.PublishReceived-last.PublishReceived)/span) / 10
			rate = &r
		}
		before, had := users, certified
		if users, certified = d.presence(), d.certified(); certified != had || !sameUsers(before, users) {
			d.announce(ctx, users)
		}
		d.state(ctx, now, rate, users)
		last = now
	}
}

func (d *Device) certificateEnd() (time.Time, bool) {
	if d.cfg.CertificateEnd == nil {
		return time.Time{}, false
	}
	return d.cfg.CertificateEnd()
}

func (d *Device) certified() bool {
	_, ok := d.certificateEnd()
	return ok
}

// state publishes the figures.
func (d *Device) state(ctx context.Context, s broker.Stats, rate *float64, users map[string]bool) {
	f := figures{
		Clients: s.Clients, Messages: rate, Denied: s.Denied, Refused: s.ConnectsRefused, Dropped: s.PublishDropped,
		Retained: s.Retained, StorageProblem: "OFF",
	}
	if s.StoreError != nil {
		f.StorageProblem = "ON"
	}
	if d.cfg.StoreBytes != nil {
		if n, ok := d.cfg.StoreBytes(); ok {
			f.StoreSize = &n
		}
	}
	if end, ok := d.certificateEnd(); ok {
		days := int(math.Floor(time.Until(end).Hours() / 24))
		f.CertificateDays = &days
	}
	if d.cfg.Update != nil {
		if available, known := d.cfg.Update(); known {
			text := onOff(available)
			f.Update = &text
		}
	}
	for user, connected := range users {
		if f.Presence == nil {
			f.Presence = make(map[string]string, len(users))
		}
		f.Presence[presenceKey(user)] = onOff(connected)
	}
	text, err := json.Marshal(f)
	if err != nil {
		panic(err) // nothing in there can't be JSON
	}
	d.publish(ctx, broker.NewMessage(stateTopic, text, 0, false))
}

func (d *Device) publish(ctx context.Context, m *broker.Message) {
	ctx, cancel := context.WithTimeout(ctx, deviceTimeout)
	defer cancel()
	if err := d.cfg.Broker.Publish(ctx, m); err != nil && ctx.Err() == nil {
		d.cfg.Log.Debug("Home Assistant's device is not up to date", "topic", m.Topic, "err", err)
	}
}

// Forget takes the device out of Home Assistant, where it is known.
func (d *Device) Forget(ctx context.Context) {
	for range d.cfg.Broker.Retained(deviceTopic) {
		d.cfg.Log.Info("HearthMQ is no longer a device of Home Assistant")
		d.publish(ctx, broker.NewMessage(deviceTopic, nil, 1, true))
		return
	}
}
