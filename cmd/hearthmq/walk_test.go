package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const chromium = "/usr/bin/chromium"

// walker is somebody in front of a real browser.
type walker struct {
	t   *testing.T
	ctx context.Context
}

func newWalker(t *testing.T) *walker {
	t.Helper()
	_, err := os.Stat(chromium)
	need(t, chromium, err == nil)
	alloc, stop := chromedp.NewExecAllocator(t.Context(),
		append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox)...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(alloc)
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as this context
		t.Fatal("start Chromium: ", err)
	}
	w := &walker{t, ctx}
	w.do(chromedp.EmulateViewport(1280, 800))
	console := chromedp.Console(ctx)
	go func() { // ends with the tab
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == chromedp.ConsoleError || m.IsException() || m.Source == "security" {
				t.Errorf("console: %s", m.String())
			}
		}
	}()
	return w
}

func (w *walker) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 3*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatal(err)
	}
}

// until waits for an expression of the page to become true.
func (w *walker) until(expression string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 3*time.Minute)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression))
		if err == nil {
			return
		}
		if ctx.Err() != nil || !strings.Contains(err.Error(), "(-32000)") { // the page changed under it
			text, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : "no page"`)) // the first error counts
			w.t.Fatalf("%s: %v; the page says:\n%s", expression, err, text)
		}
	}
}

func (w *walker) click(selector string) { w.t.Helper(); w.do(chromedp.Click(selector)) }

func (w *walker) shows(text string) {
	w.t.Helper()
	w.until(fmt.Sprintf(`document.body && document.body.innerText.includes(%q)`, text))
}

var pictures = flag.Bool("pictures", false, "make the pictures of README.md anew")

// screenshot keeps a picture with the test's artifacts, and with -pictures for README.md.
func (w *walker) screenshot(name string) {
	w.t.Helper()
	png := w.capture(chromedp.CaptureScreenshot())
	files := []string{filepath.Join(w.t.ArtifactDir(), name+".png")}
	if *pictures {
		files = append(files, filepath.Join("..", "..", "ui", "screenshots", name+".png"))
	}
	for _, file := range files {
		if err := os.WriteFile(file, png, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

// capture takes a picture. Headless Chromium may never answer while the page is being
// left: then the one that came is taken.
func (w *walker) capture(picture chromedp.Action[[]byte]) []byte {
	w.t.Helper()
	var err error
	for range 3 {
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		var png []byte
		png, err = chromedp.Run(ctx, picture)
		cancel()
		if err == nil {
			return png
		}
	}
	w.t.Fatal("take a picture: ", err)
	return nil
}

// home is what a small house has published, for the pictures.
var home = []struct{ topic, payload string }{
	{"zigbee2mqtt/bridge/state", `{"state":"online"}`},
	{"zigbee2mqtt/Kitchen/Ceiling light", `{"brightness":178,"color_temp":370,"linkquality":132,"state":"ON"}`},
	{"zigbee2mqtt/Kitchen/Fridge door", `{"battery":87,"contact":true,"linkquality":91}`},
	{"zigbee2mqtt/Living room/Motion", `{"battery":100,"illuminance":18,"occupancy":false}`},
	{"zigbee2mqtt/Bedroom/Window", `{"battery":64,"contact":false,"linkquality":54}`},
	{"homeassistant/status", "online"},
	{"esphome/garage/sensor/temperature/state", "11.4"},
	{"esphome/garage/cover/door/state", "closed"},
	{"tele/washing-machine/SENSOR", `{"ENERGY":{"Power":412,"Today":0.83,"Total":291.4}}`},
	{"tele/washing-machine/LWT", "Online"},
	{"shellies/shelly1pm-68C63A/relay/0", "on"},
	{"shellies/shelly1pm-68C63A/relay/0/power", "23.61"},
}

// The first minute of somebody who has the README and a browser: the set-up link,
// a user with a rule of its own, a device that logs in with it, its topic live.
func TestFirstMinute(t *testing.T) {
	s := startE2E(t, nil)
	w := newWalker(t)
	w.do(chromedp.Navigate(s.setup),
		chromedp.SendKeys(`input[name=name]`, "anna"),
		chromedp.SendKeys(`input[name=password]`, "the kettle is blue"),
		chromedp.SendKeys(`input[name=repeat]`, "the kettle is blue"))
	w.click(`main button[type=submit]`)
	w.shows("All is well")
	w.screenshot("overview")

	w.do(chromedp.Navigate(s.admin+"/users/new"), chromedp.SendKeys(`input[name=name]`, "sensor"))
	w.click(`input[name=password-kind][value=choose]`)
	w.do(chromedp.SendKeys(`input[name=password]`, "open sesame"))
	w.click(`main button[type=submit]`)
	w.until(`location.pathname === '/users' && [...document.querySelectorAll('main a')].some((a) => a.innerText.startsWith('sensor') && (a.click(), true))`)
	w.until(`/^\/users\/\d+/.test(location.pathname)`)
	w.do(chromedp.SendKeys(`input[name=filter]`, "sensors/%u/#"))
	w.click(`#rules button[type=submit]`)
	w.until(`location.search === '?done=user-changed' && document.querySelector('input[name=filter]').value === 'sensors/%u/#'`)

	watch := device(t, s, "zigbee2mqtt", e2ePassword, e2eUser)
	got := make(chan string, 10)
	done(t, watch.Subscribe("#", 0, func(_ mqtt.Client, m mqtt.Message) { got <- m.Topic() }))
	d := device(t, s, "sensor-1", "open sesame", "sensor")
	done(t, d.Publish("elsewhere/x", 1, false, "no"))
	done(t, d.Publish("sensors/sensor/temperature", 1, true, "21.5"))
	if topic := received(t, got); topic != "sensors/sensor/temperature" {
		t.Errorf("%s came through", topic)
	}
	if r := command(t, s.dir, "", "acl", "check", "sensor", "publish", "sensors/sensor/x"); r.code != 0 || !strings.Contains(r.stdout, "allow both sensors/%u/#") {
		t.Errorf("acl check: %+v", r)
	}
	if r := command(t, s.dir, "", "acl", "check", "sensor", "publish", "elsewhere/x"); r.code != 1 {
		t.Errorf("acl check: %+v", r)
	}

	for _, m := range home {
		done(t, watch.Publish(m.topic, 0, true, m.payload))
	}
	w.do(chromedp.Navigate(s.admin + "/topics"))
	w.shows("zigbee2mqtt")
	done(t, d.Publish("sensors/sensor/humidity", 0, false, "48")) // appears by itself
	w.shows("sensors")
	w.do(chromedp.SendKeys(`input[type=search]`, "kitchen"))
	w.row("Ceiling light", `e.click()`)
	w.shows("color_temp")

	// The picture in README.md: the same house with its folders open.
	w.until(`(() => { const s = document.querySelector('input[type=search]'); s.value = ''; return s.dispatchEvent(new Event('input', {bubbles: true})) })()`)
	w.do(chromedp.EmulateViewport(1280, 640))
	for _, folder := range []string{"zigbee2mqtt", "Kitchen", "Living room", "esphome", "garage", "tele", "washing-machine"} {
		w.row(folder, `e.getAttribute('aria-expanded') === 'true' || e.querySelector('.tree-twist').click()`)
	}
	w.shows("Fridge door")
	w.until(`[...document.querySelectorAll('.tree-value')].some((e) => e.innerText.includes('Online'))`)
	w.screenshot("topics")
}

// row waits for a row of the tree and runs code on it, as e.
func (w *walker) row(text, code string) {
	w.t.Helper()
	w.until(fmt.Sprintf(`[...document.querySelectorAll('[role=treeitem]')].some((e) => e.innerText.trim().startsWith(%q) && (%s, true))`, text, code))
}

// device logs in as a device does.
func device(t *testing.T, s *testServer, clientID, password, user string) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.mqtt).SetClientID(clientID).
		SetUsername(user).SetPassword(password).SetAutoReconnect(false))
	done(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}
