package web

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"hearthmq/broker"
	"hearthmq/broker/feed"
)

const chromium = "/usr/bin/chromium"

// tab is a page in a real browser. The test fails when the page writes an error
// to its console or breaks its Content-Security-Policy.
type tab struct {
	t   *testing.T
	ctx context.Context
	// refused says that pages are meant to be refused, of which the browser tells in its console.
	refused atomic.Bool
}

func openTab(t *testing.T, url string, width, height int64, flags ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser test")
	}
	if _, err := os.Stat(chromium); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI has no Chromium: ", err)
		}
		t.Skip("NOT TESTED IN A BROWSER: there is no ", chromium)
	}
	alloc, stop := chromedp.NewExecAllocator(t.Context(),
		append(append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox), flags...)...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(alloc)
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal("start Chromium: ", err)
	}
	b := &tab{t: t, ctx: ctx}
	console := chromedp.Console(ctx)
	var mu sync.Mutex
	var wrong []string
	go func() {
		for m, err := range console {
			if err != nil {
				return // the tab is closed
			}
			if (m.Source == "network" || m.Source == "security") && b.refused.Load() {
				continue
			}
			if m.Type == chromedp.ConsoleError || m.IsException() || m.Source == "security" {
				mu.Lock()
				wrong = append(wrong, m.String())
				mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range wrong {
			t.Errorf("console: %s", m)
		}
	})
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `window.violations = []; window.pwned = false;
			addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample));`,
	}); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// until waits for an expression of the page to become true.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Minute)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression)); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// eval runs an expression that gives a T or a promise of one.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAsValue, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// harmless fails when something hostile had an effect.
func (b *tab) harmless() {
	b.t.Helper()
	if v := eval[[]string](b, `violations`); len(v) > 0 {
		b.t.Errorf("Content-Security-Policy violations: %q", v)
	}
	if eval[bool](b, `pwned || document.querySelector('#topics script, #topics img:not(.payload-image)') !== null`) {
		b.t.Error("a topic or a payload has become markup")
	}
}

func (b *tab) screenshot(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(b.t.ArtifactDir(), name+".png")
	if err := os.WriteFile(file, png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) theme(name string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`localStorage.setItem('hearthmq.theme', %q), dispatchEvent(new Event('hearthmq-theme'))`, name))
	// The colours have changed over before a picture is taken.
	eval[bool](b, `Promise.allSettled(document.getAnimations().map((a) => a.finished)).then(() => true)`)
}

// house is a feed full of devices, some of them hostile.
type house struct {
	feed   *feed.Feed
	topics []string
	turn   atomic.Int64
	people []*broker.Identity
}

const attack = `<script>window.pwned=true</script>`

func newHouse(topics int) *house {
	h := &house{feed: feed.New(feed.Limits{})}
	h.people = []*broker.Identity{{ClientID: "zigbee2mqtt_bridge", User: "zigbee2mqtt"}, {ClientID: attack, User: "\u202eanna"}}
	hostile := []string{
		attack + "/state", `<img src=x onerror="window.pwned=true">`, "\u202egnp.exe/x", "ctrl/\x01\x02\n/x", "quote\"'`/x", "//", "$SYS/broker/uptime",
		"emoji/😀/💡", "very/" + strings.Repeat("long-name-", 60), strings.Repeat("deep/", 120) + "end",
	}
	rooms := []string{"kitchen", "living room", "bath", "hall", "garage", "garden", "office", "attic", "cellar", "Flur"}
	kinds := []string{"temperature", "humidity", "motion", "light", "switch", "power", "door", "window"}
	h.topics = append(h.topics, hostile...)
	for i := len(hostile); i < topics; i++ {
		h.topics = append(h.topics, fmt.Sprintf("%s/%s/%s-%d/state",
			[]string{"zigbee2mqtt", "esphome", "tasmota", "shellies"}[i%4], rooms[i/4%10], kinds[i/40%8], i/320))
	}
	for i := range h.topics {
		h.publish(i)
	}
	return h
}

func (h *house) publish(i int) {
	turn := int(h.turn.Add(1))
	var value string
	switch {
	case i%50 == 0:
		value = fmt.Sprintf(`{"html":%q,"n":%d,"big":12345678901234567890}`, attack, turn)
	case i%7 == 0:
		value = []string{"ON", "OFF"}[turn%2]
	case i%11 == 0:
		value = fmt.Sprintf("%.1f", 18+float64(turn%80)/10)
	case i%13 == 0:
		value = "\xff\xd8\xff\xe0 not a picture"
	case i%17 == 0:
		value = `<img src=x onerror="window.pwned=true">`
	default:
		value = fmt.Sprintf(`{"battery":%d,"linkquality":%d,"temperature":%.2f,"update":{"state":"idle","installed":"1.%d"},"list":[1,2,{"a":null}]}`,
			turn%100, turn%255, 18+float64(turn%800)/100, i)
	}
	h.feed.OnPublish(&broker.Message{
		Topic: h.topics[i], Payload: []byte(value), Retain: i%3 == 0, QoS: byte(i % 3), Received: time.Now(), Publisher: h.people[min(i%20, 1)],
	})
}

// live publishes that many messages a second until the test ends.
func (h *house) live(t *testing.T, perSecond int) {
	const step = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(step)
		defer tick.Stop()
		next := 0
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for range int(float64(perSecond) * step.Seconds()) {
				next = (next + 7) % len(h.topics) // 7 and the number of topics share no factor
				h.publish(next)
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}
