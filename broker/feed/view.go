package feed

import (
	"context"
	"errors"
	"sync"
	"time"

	"hearthmq/broker/feed/payload"
)

// Errors of a View.
var (
	ErrTooManyViews = errors.New("too many browsers look at the topics already")
	ErrClosed       = errors.New("view is closed")
)

const (
	// MaxVisible bounds the topics of which a View sends values.
	MaxVisible = 200
	// urgentGap is the least time between two updates; an answer to the browser
	// (it scrolled, selected, filtered) may come this soon, news wait for the tick.
	urgentGap = 50 * time.Millisecond
	// maxNews bounds the changes of the tree that wait for a slow or paused
	// browser; beyond, it gets the whole tree again.
	maxNews = 50_000
)

// ViewOptions say how a View behaves. The zero value of a field means its default.
type ViewOptions struct {
	Rate int // updates per second at most; 5
}

// View is one browser's window on the Feed. One goroutine calls Next, another one
// may call the other methods meanwhile.
type View struct {
	feed *Feed
	tick time.Duration
	wake chan struct{} // holds a token after a request

	mu     sync.Mutex // guards the requests and news
	closed bool
	window []seen
	choice *node        // the selection
	chosen bool         // it is new
	form   payload.Form // how to decode the selection; "": the best way
	filter *filter
	wrong  string // what is wrong with the text of the filter
	text   string // of the filter, as it was asked for
	asked  bool   // the filter is new
	paused bool
	news   []change
	resync bool // news were too many: start again

	// What follows belongs to the goroutine in Next.
	sentAt   time.Time
	checked  time.Time
	tree     []change // what is left of the tree
	detail   sentDetail
	search   search
	totals   Totals
	totalsAt time.Time
}

// seen is a visible node and the version of it that was sent.
type seen struct {
	node    *node
	version uint64 // 0: nothing yet
}

// NewView opens a View; Close it. The whole tree comes first. The error is
// ErrTooManyViews or nil.
func (f *Feed) NewView(opt ViewOptions) (*View, error) {
	if opt.Rate <= 0 {
		opt.Rate = 5
	}
	v := &View{
		feed: f, tick: time.Second / time.Duration(opt.Rate),
		wake: make(chan struct{}, 1), resync: true,
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.views) >= f.limits.Views {
		return nil, ErrTooManyViews
	}
	f.views[v] = struct{}{}
	return v, nil
}

// Close ends the View; Next returns ErrClosed.
func (v *View) Close() {
	v.feed.mu.Lock()
	delete(v.feed.views, v)
	v.feed.mu.Unlock()
	v.mu.Lock()
	v.closed = true
	v.news = nil
	v.mu.Unlock()
	v.nudge()
}

// Show names the rows that are on the screen; beyond MaxVisible they are ignored.
func (v *View) Show(ids []uint32) {
	nodes := make([]*node, 0, min(len(ids), MaxVisible))
	v.feed.mu.RLock()
	for _, id := range ids[:min(len(ids), MaxVisible)] {
		if n := v.feed.tree.byID[id]; n != nil {
			nodes = append(nodes, n)
		}
	}
	v.feed.mu.RUnlock()

	v.mu.Lock()
	defer v.mu.Unlock()
	before := make(map[*node]uint64, len(v.window))
	for _, s := range v.window {
		before[s.node] = s.version
	}
	v.window = make([]seen, len(nodes)) // Next may be reading the old one
	for i, n := range nodes {
		v.window[i] = seen{n, before[n]}
	}
	v.nudge()
}

// Select names the row whose Detail is wanted; 0: none.
func (v *View) Select(id uint32) {
	v.feed.mu.RLock()
	n := v.feed.tree.byID[id]
	v.feed.mu.RUnlock()
	v.mu.Lock()
	v.choice, v.chosen, v.form = n, true, ""
	v.mu.Unlock()
	v.nudge()
}

// Form says how the selection is to be decoded; an unknown form is the best one.
func (v *View) Form(form string) {
	v.mu.Lock()
	v.form, v.chosen = payload.Form(form), true
	v.mu.Unlock()
	v.nudge()
}

// Filter says what to look for: a Topic Filter with a wildcard, else a piece of a
// Topic Name or of a last value in either case. Matches come as Match; "" ends it.
func (v *View) Filter(text string) { v.find(text, newFilter(text), nil) }

// Regexp is Filter with a regular expression (RE2) for names and last values.
func (v *View) Regexp(text string) {
	f, err := newRegexp(text)
	v.find(text, f, err)
}

func (v *View) find(text string, f *filter, err error) {
	v.mu.Lock()
	v.filter, v.text, v.wrong, v.asked = f, text, "", true
	if err != nil {
		v.wrong = err.Error()
	}
	v.mu.Unlock()
	v.nudge()
}

// Pause holds back changes. Rows that come into sight still get their value, and
// a selection its Detail.
func (v *View) Pause(on bool) {
	v.mu.Lock()
	v.paused = on
	v.mu.Unlock()
	v.nudge()
}

func (v *View) nudge() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// push notes a change of the tree. The caller holds Feed.mu.
func (v *View) push(c change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.resync || v.closed {
		return
	}
	if len(v.news) >= maxNews {
		v.news, v.resync = nil, true
		return
	}
	v.news = append(v.news, c)
}

// Next blocks until something that the browser shows has changed and returns
// that. While the tree is on its way updates follow each other without a pause;
// afterwards there are at most ViewOptions.Rate a second, answers to requests
// aside. The error is ctx's or ErrClosed.
func (v *View) Next(ctx context.Context) (*Update, error) {
	for {
		if err := v.wait(ctx); err != nil {
			return nil, err
		}
		now := time.Now()
		v.checked = now
		u, err := v.collect(now)
		if err != nil {
			return nil, err
		}
		if !u.empty() {
			v.sentAt = now
			return u, nil
		}
	}
}

// wait returns when it is time to look again.
func (v *View) wait(ctx context.Context) error {
	if len(v.tree) > 0 || v.search.left() {
		return ctx.Err()
	}
	timer := time.NewTimer(time.Until(v.checked.Add(v.tick)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	case <-v.wake:
	}
	timer.Reset(time.Until(v.sentAt.Add(urgentGap)))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
