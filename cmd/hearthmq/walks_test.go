package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	_ "modernc.org/sqlite"
)

// The walks of somebody who has never seen the admin: only words that can be seen are
// pressed, with the mouse, where they stand; what has no words can't be found.
//
// Each leaves a picture of every step: go test ./cmd/hearthmq -run TestWalks -artifacts.

// findWords is the middle of what can be pressed and says so, once nothing covers it.
// What says exactly that comes before what only begins with it.
const findWords = `((words, what) => {
	const said = (e) => (e.getAttribute('aria-label') || e.innerText || '').trim().replace(/\s+/g, ' ');
	const all = [...(document.querySelector('dialog[open]') ?? document).querySelectorAll(what)]
		.filter((e) => !e.disabled && e.checkVisibility({ visibilityProperty: true, opacityProperty: true }));
	const e = all.find((e) => said(e) === words) ?? all.find((e) => said(e).startsWith(words));
	if (!e || document.documentElement.dataset.ready !== 'true') return null;
	e.scrollIntoView({ block: 'center', behavior: 'instant' });
	const box = e.getBoundingClientRect();
	const x = box.left + Math.min(box.width / 2, 120), y = box.top + box.height / 2;
	const hit = document.elementFromPoint(x, y);
	if (!hit || !(e.contains(hit) || hit.contains(e))) return null;
	// Nobody presses what still moves.
	const place = [words, x, y].join(), now = performance.now();
	if (window.walkPlace !== place) [window.walkPlace, window.walkSince] = [place, now];
	return now - window.walkSince > 300 ? [x, y] : null;
})`

const pressable = `a, button, summary, label, [role=tab], [role=treeitem]`

// press clicks what says words.
func (w *walker) press(words string) {
	w.t.Helper()
	w.pressOne(words, pressable)
}

func (w *walker) pressOne(words, what string) {
	w.t.Helper()
	at := w.find(fmt.Sprintf("%s(%q, %q)", findWords, words, what), words)
	w.do(chromedp.MouseClickXY(at[0], at[1]))
}

// find waits for a place on the page.
func (w *walker) find(expression, words string) []float64 {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Minute)
	defer cancel()
	for {
		at, err := chromedp.Run(ctx, chromedp.Poll[[]float64](expression))
		if err == nil {
			return at
		}
		if ctx.Err() != nil || !strings.Contains(err.Error(), "(-32000)") { // the page changed under it
			w.screenshot("lost")
			text, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.body.innerText`))
			w.t.Fatalf("nothing says %q: %v\n%s", words, err, text)
		}
	}
}

// fill presses a field's words and types, over what stands there.
func (w *walker) fill(label, text string) {
	w.t.Helper()
	// Headless Chromium may stop answering while it shows a list of proposals.
	w.find(`(document.querySelectorAll('[list]').forEach((e) => e.removeAttribute('list')), [1])`, label)
	w.press(label)
	w.until(`document.activeElement.matches('input, textarea')`)
	w.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`), chromedp.KeyEvent(text))
}

// look keeps a picture of the whole page and checks that it fits the window.
func (w *walker) look(name string) {
	w.t.Helper()
	w.until(`document.documentElement.dataset.ready === 'true' && document.documentElement.scrollWidth <= innerWidth`)
	png := w.capture(chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(w.t.ArtifactDir(), name+".png"), png, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// arrive sets the admin up and comes to the overview, at a window's width.
func (w *walker) arrive(s *testServer, width, height int64) {
	w.t.Helper()
	w.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(s.setup))
	w.fill("User name", "anna")
	w.fill("Password", "the kettle is blue")
	w.fill("Password again", "the kettle is blue")
	w.press("Create")
	w.shows("connected")
}

// Somebody adds a user for Zigbee2MQTT and gets a code and lines to paste.
func TestWalkAddZigbee2MQTT(t *testing.T) {
	s := startE2E(t, nil)
	w := newWalker(t)
	w.arrive(s, 1280, 800)
	w.look("1-overview")
	w.press("Connect a device")
	w.shows("What do you want to connect?")
	w.look("2-products")
	w.press("Zigbee2MQTT")
	w.shows("User name")
	w.look("3-questions")
	w.fill("Address of HearthMQ", "127.0.0.1")
	w.press("Add and show the settings")
	w.shows("The user zigbee2mqtt was added")
	w.until(`document.querySelector('img[alt^="QR code"]').naturalWidth > 50`)
	w.look("4-settings")
	w.screenshot("connect")
	// What was shown works: the lines hold name and password of a user who may do it.
	paste, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.querySelector('pre').innerText`))
	if err != nil {
		t.Fatal(err)
	}
	password := lineOf(t, paste, "password:")
	d := device(t, s, "zigbee2mqtt-bridge", password, lineOf(t, paste, "user:"))
	done(t, d.Publish("zigbee2mqtt/bridge/state", 1, true, `{"state":"online"}`))
	// So does what a camera reads from the page, light and dark, large and on a phone.
	want := fmt.Sprintf("mqtt://zigbee2mqtt:%s@%s", password, strings.TrimPrefix(lineOf(t, paste, "server:"), "mqtt://"))
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			w.do(chromedp.EmulateViewport(width, 844), chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.documentElement.dataset.theme = %q`, theme)))
			name := fmt.Sprintf("4-code-%s-%d", theme, width)
			w.until(`(document.querySelector('.qr img').scrollIntoView({ block: 'center', behavior: 'instant' }), true)`)
			w.screenshot(name)
			if code := w.scan(name); code != want {
				t.Errorf("%s: the code says %q, want %q", name, code, want)
			}
		}
	}
	w.do(chromedp.EmulateViewport(1280, 800))
	if r := command(t, s.dir, "", "acl", "check", "zigbee2mqtt", "publish", "someone/else"); r.code != 1 {
		t.Errorf("it may do more than it needs: %+v", r)
	}
	w.press("Done")
	w.shows("zigbee2mqtt")
	w.shows("1 client")
	w.look("5-users")
}

// lineOf is the value behind a key in lines to paste.
func lineOf(t *testing.T, text, key string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if after, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok {
			return strings.Trim(strings.TrimSpace(after), `'"`)
		}
	}
	t.Fatalf("no %s in\n%s", key, text)
	return ""
}

// scan reads the QR code in a picture.
func (w *walker) scan(name string) string {
	w.t.Helper()
	program, err := exec.LookPath("zbarimg")
	need(w.t, "zbar-tools", err == nil)
	out, err := exec.CommandContext(w.t.Context(), program, "--quiet", "--raw", filepath.Join(w.t.ArtifactDir(), name+".png")).Output()
	if err != nil {
		w.t.Errorf("%s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// Somebody finds out why devices are silent: one may not publish what it does, one has
// a wrong password.
func TestWalkSilentDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole server and a browser")
	}
	dir := t.TempDir()
	for _, name := range []string{"kitchen-plug", "cellar-meter"} {
		if r := command(t, dir, "open sesame\n", "user", "add", name, "--password-stdin", "--rule", "allow both "+name+"/#"); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	s := startE2EIn(t, dir, nil)
	plug := device(t, s, "tasmota-kitchen", "open sesame", "kitchen-plug")
	done(t, plug.Publish("tele/kitchen/SENSOR", 0, false, "21"))
	meter := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.mqtt).SetClientID("meter-1").SetUsername("cellar-meter").SetPassword("typo").SetConnectRetry(false))
	if token := meter.Connect(); token.Wait() && token.Error() == nil {
		t.Fatal("it was let in")
	}
	w := newWalker(t)
	w.arrive(s, 390, 844)
	w.look("1-overview")
	w.press("Why is my device silent?")
	w.look("2-access")
	w.shows("Check what somebody may do")
	w.fill("Client identifier, user or address", "meter")
	w.press("Find out")
	w.shows("What was found about meter") // the page before lists the refusal as well
	w.shows("wrong password")
	w.look("3-wrong-password")
	w.fill("Client identifier, user or address", "tasmota-kitchen")
	w.press("Find out")
	w.shows("What was found about tasmota-kitchen")
	w.shows("tele/kitchen/SENSOR")
	w.look("4-no-right")
	w.press("Allow it")
	w.shows("added")
	w.look("5-allowed")
	watch := device(t, s, "watcher", e2ePassword, e2eUser)
	got := make(chan string, 1)
	done(t, watch.Subscribe("tele/#", 0, func(_ mqtt.Client, m mqtt.Message) { got <- m.Topic() }))
	done(t, plug.Publish("tele/kitchen/SENSOR", 0, false, "22"))
	if topic := received(t, got); topic != "tele/kitchen/SENSOR" {
		t.Errorf("%s came", topic)
	}
}

// Somebody clears what devices that are gone have left, and takes it back.
func TestWalkStaleRetained(t *testing.T) {
	const stale = 500
	dir := t.TempDir()
	s := startE2EIn(t, dir, nil)
	d := device(t, s, "tasmota_8A41C2", e2ePassword, e2eUser)
	var sent []mqtt.Token
	for i := range stale {
		sent = append(sent, d.Publish(fmt.Sprintf("tele/old-plug-%03d/STATE", i), 1, true, fmt.Sprintf(`{"Time":"2026-10-0%d","POWER":"OFF"}`, i%9+1)))
	}
	for _, token := range sent {
		done(t, token)
	}
	d.Disconnect(100)
	s.stop()
	longAgo(t, filepath.Join(dir, databaseName), 40*24*time.Hour)
	s = startE2EIn(t, dir, nil)
	d = device(t, s, "kitchen", e2ePassword, e2eUser)
	done(t, d.Publish("zigbee2mqtt/Kitchen", 1, true, `{"temperature":21.5}`))
	d.Disconnect(100)

	w := newWalker(t)
	w.arrive(s, 1280, 800)
	w.shows("500 retained messages")
	w.look("1-overview")
	w.press("Clean up")
	w.shows("500 messages of 501")
	w.look("2-found")
	w.press("Delete all 500")
	w.shows("Delete 500 retained messages?")
	w.look("3-preview")
	w.screenshot("retained")
	w.press("Delete 500")
	w.shows("Put back")
	w.look("4-deleted")
	if n := retainedNow(t, s, "tele/#"); n != 0 {
		t.Errorf("%d are still there", n)
	}
	w.press("Put back")
	w.shows("501 retained messages")
	w.look("5-undone")
	if n := retainedNow(t, s, "tele/#"); n != stale {
		t.Errorf("%d are there again, want %d", n, stale)
	}
	if n := retainedNow(t, s, "zigbee2mqtt/#"); n != 1 {
		t.Error("the kitchen's is gone")
	}
}

// retainedNow counts what a new subscriber gets at once.
func retainedNow(t *testing.T, s *testServer, filter string) int {
	t.Helper()
	d := device(t, s, "counter", e2ePassword, e2eUser)
	defer d.Disconnect(100)
	n, end := 0, make(chan int, 1)
	done(t, d.Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) { n++ })) // in order, by one goroutine
	done(t, d.Subscribe("end", 1, func(mqtt.Client, mqtt.Message) { end <- n }))
	done(t, d.Publish("end", 1, false, "."))
	return received(t, end)
}

// longAgo makes what is retained older.
func longAgo(t *testing.T, file string, by time.Duration) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `UPDATE retained SET received = received - ?`, by.Milliseconds()); err != nil {
		t.Fatal(err)
	}
}

// Somebody reads the curve of a sensor.
func TestWalkChart(t *testing.T) {
	s := startE2E(t, nil)
	d := device(t, s, "zigbee2mqtt", e2ePassword, e2eUser)
	for _, m := range home {
		done(t, d.Publish(m.topic, 0, true, m.payload))
	}
	w := newWalker(t)
	w.arrive(s, 390, 844)
	w.press("Topics")
	w.shows("12 topics")
	w.press("zigbee2mqtt")
	w.look("1-topics")
	w.press("Living room")
	w.press("Motion")
	w.shows("illuminance")
	w.look("2-value")
	w.press("Chart")
	w.look("3-chart-empty")
	for i := range 40 {
		done(t, d.Publish("zigbee2mqtt/Living room/Motion", 0, true, fmt.Sprintf(`{"battery":100,"illuminance":%d,"occupancy":%v}`, 18+i*i%23, i%2 == 0)))
	}
	w.until(`document.querySelector('.chart-line') !== null && document.getElementById('chart-path').selectedOptions[0].textContent === 'illuminance'`)
	w.look("4-chart")
	w.press("As a table")
	w.shows("18")
	w.look("5-table")
}
