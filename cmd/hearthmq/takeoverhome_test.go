package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"hearthmq/addon/addontest"
)

// startMosquitto runs Mosquitto as Home Assistant's app has it: two system users, no
// strangers. The end of the test, or stop, ends it.
func startMosquitto(t *testing.T, logins map[string]string) (stop func()) {
	t.Helper()
	const program = "/usr/sbin/mosquitto"
	_, err := os.Stat(program)
	need(t, "mosquitto", err == nil && have("mosquitto_passwd"))
	dir := t.TempDir()
	passwords := filepath.Join(dir, "passwords")
	if err := os.WriteFile(passwords, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for user, password := range logins {
		if out, err := exec.CommandContext(t.Context(), "mosquitto_passwd", "-b", passwords, user, password).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
		}
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	text := "listener 1883 " + mosquittoIP + "\nuser root\npassword_file " + passwords + "\npersistence false\nmax_queued_messages 8192\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, nil, dir, program, "-c", conf)
	eventually(t, "Mosquitto answers", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort(mosquittoIP, "1883"))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return func() {
		_ = p.cmd.Process.Kill() // its cleanup waits for it
		p.drain()
	}
}

// Mosquitto is in place, with Home Assistant and Zigbee2MQTT at it. At the end both are
// with HearthMQ, with all that was retained, and Mosquitto does not run.
func TestTakeOverHome(t *testing.T) {
	npmPackage(t, zigbee2MQTT)
	if !inOwnNetwork(t) {
		return
	}
	logins := map[string]string{"homeassistant": "their homeassistant", "addons": "their addons"}
	stopMosquitto := startMosquitto(t, logins)
	mosquittoApp, ours, z2m := addontest.Mosquitto(), addontest.HearthMQ(), addontest.Zigbee2MQTT()
	ours.Network = map[string]any{"1883/tcp": nil, "1884/tcp": nil, "8883/tcp": nil, "8884/tcp": nil} // Mosquitto has them
	h := newHousehold(t, mosquittoApp, ours, z2m)
	h.fake.SetService(map[string]any{
		"host": mosquittoApp.Hostname, "port": 1883.0, "username": "addons", "password": logins["addons"], "ssl": false, "protocol": "3.1.1", "addon": mosquittoApp.Slug,
	})
	h.fake.Core.SetEntry(&addontest.Entry{
		ID: "01abc", Title: mosquittoApp.Name, Broker: mosquittoApp.Hostname, Port: 1883, User: "homeassistant", Password: logins["homeassistant"], Protocol: "5", SetCACert: "off", Transport: "tcp",
	})
	h.runCore()
	zigbeeHome := t.TempDir()
	z := h.startZigbee(zigbeeHome)
	var house []string
	for i := range 300 {
		house = append(house, fmt.Sprintf("garden/sensor-%d/state", i))
	}
	theirs := at(t, mosquittoIP, "garden", "addons", logins["addons"])
	for i, name := range house {
		done(t, theirs.Publish(name, byte(i%3), true, fmt.Sprintf(`{"value":%d}`, i)))
	}
	theirs.Disconnect(100)
	eventually(t, "Zigbee2MQTT at Mosquitto", func() bool {
		return retainedAt(t, mosquittoIP, "addons", logins["addons"])["zigbee2mqtt/bridge/devices"] != ""
	})

	// HearthMQ is installed, and leaves everything as it is.
	dir := t.TempDir()
	h.start(dir)
	h.look()
	h.state("home-assistant", "Uses Mosquitto broker")
	h.picture("take-over-start")
	if got := h.fake.Service()["addon"]; got != mosquittoApp.Slug {
		t.Fatalf("the record was taken by %v without a word", got)
	}

	h.press("[data-card=home-assistant] a.primary", "From Mosquitto broker to HearthMQ")
	h.press("[data-step=copy] form button", "The retained messages were copied")
	h.picture("take-over-copied")
	h.press("[data-step=record] form button", "apps find HearthMQ when they start next")
	h.click("[data-step=integration] a.primary")
	h.shows("Change Home Assistant's MQTT integration?")
	h.press("dialog[open] button[type=submit]", "Home Assistant tried HearthMQ and took it")
	h.runCore()
	if h.entry.Broker != ours.Hostname {
		t.Errorf("Home Assistant is at %+v", h.entry)
	}
	h.shows("Home Assistant is connected here.")

	// There and back again.
	h.press("[data-step=integration] form button", "back with the other broker")
	h.press("[data-step=record] form button", "apps find the other broker again")
	if e, s := h.fake.Core.Entry(), h.fake.Service(); e.Broker != mosquittoApp.Hostname || s["host"] != mosquittoApp.Hostname || s["password"] != logins["addons"] {
		t.Errorf("undone: entry %+v, record %v", e, s)
	}
	h.runCore()
	h.press("[data-step=record] form button.primary", "apps find HearthMQ when they start next")
	h.click("[data-step=integration] a.primary")
	h.press("dialog[open] button[type=submit]", "Home Assistant tried HearthMQ and took it")
	h.runCore()

	// The app is restarted, as the page says.
	h.shows("Restart it")
	z.stop()
	h.startZigbee(zigbeeHome)
	h.until(`[...document.querySelectorAll('.takeover-apps .row')].some((r) => r.innerText.includes('Zigbee2MQTT') && r.innerText.includes('Connected here'))`)
	h.picture("take-over-apps")

	// What came to Mosquitto meanwhile comes along, and Mosquitto stops.
	late := at(t, mosquittoIP, "late", "addons", logins["addons"])
	done(t, late.Publish(house[0], 1, true, `{"value":"late"}`))
	late.Disconnect(100)
	h.press("[data-step=copy] form button", "The retained messages were copied")
	before := retainedAt(t, mosquittoIP, "addons", logins["addons"])
	stopMosquitto()
	h.fake.SetState(mosquittoApp.Slug, "stopped")

	restarted := make(chan struct{})
	h.fake.OnRestart(func(string) { close(restarted) })
	h.until(`document.querySelector('[data-step=ports] a.primary') !== null && document.documentElement.dataset.ready === 'true'`)
	h.click("[data-step=ports] a.primary")
	h.shows("Give HearthMQ the ports?")
	h.press("dialog[open] button[type=submit]", "takes the ports and restarts")
	<-restarted
	if code := h.server.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	h.start(dir)
	h.press("[data-step=ports] form button", "HearthMQ is your broker now")
	h.state("zigbee2mqtt", "Connected")

	// Home Assistant comes back after the restart by itself, as its client does.
	h.core.tell("restart")
	h.core.until("its birth", event("birth"))
	h.state("home-assistant", "Connected")
	h.picture("take-over-done")
	service := h.fake.Service()
	after := retainedAt(t, hearthmqIP, service["username"].(string), service["password"].(string))
	missing := 0
	for name, payload := range before {
		switch got, there := after[name]; {
		case !there:
			missing++
			t.Errorf("%s is not here", name)
		case got != payload && slices.Contains(house, name):
			t.Errorf("%s is %s here, and was %s", name, got, payload)
		}
	}
	if len(before) < 310 || missing > 0 {
		t.Errorf("%d messages were retained at Mosquitto, %d of them are not here", len(before), missing)
	}
	h.core.tell("stop")
}
