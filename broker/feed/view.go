package feed

import (
	"context"
	"errors"
	"strings"
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
	// MaxVisible bounds the rows that a View sends, with their values.
	MaxVisible = 200
	// MaxOpen bounds the folders that are opened by hand.
	MaxOpen = 5000
	// urgentGap is the least time between two updates; an answer to the browser
	// (it scrolled, selected, filtered) may come this soon, news wait for the tick.
	urgentGap = 50 * time.Millisecond
	// maxAsks bounds the requests that wait for Next; others are passed over.
	maxAsks = 1000
)

// ViewOptions say how a View behaves. The zero value of a field means its default.
type ViewOptions struct {
	Rate int // updates per second at most; 5
}

// View is one browser's window on the Feed: it knows which folders are open and what
// rows follow from that, and sends those that the browser shows. One goroutine calls
// Next, another one may call the other methods meanwhile.
type View struct {
	feed *Feed
	tick time.Duration
	wake chan struct{} // holds a token after a request

	mu     sync.Mutex // guards what follows
	closed bool
	asks   []func(*Update) // requests, in order

	// What follows belongs to the goroutine in Next.
	sentAt   time.Time
	checked  time.Time
	paused   bool
	list     list
	screen   screen
	goal     *goal
	detail   sentDetail
	search   search
	totals   Totals
	totalsAt time.Time
	credit   float64 // bytes of news that may be sent now, see newsRate
	creditAt time.Time
}

// NewView opens a View; Close it. It shows the top level until it is asked for
// something else. The error is ErrTooManyViews or nil.
func (f *Feed) NewView(opt ViewOptions) (*View, error) {
	if opt.Rate <= 0 {
		opt.Rate = 5
	}
	v := &View{
		feed: f, tick: time.Second / time.Duration(opt.Rate),
		wake: make(chan struct{}, 1),
		list: list{open: make(map[*node]struct{}), folded: make(map[*node]struct{}), stale: true},
	}
	v.screen.want(0, MaxVisible/2)
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
	v.closed, v.asks = true, nil
	v.mu.Unlock()
	v.nudge()
}

// ask has Next do something; it may put an answer into the Update.
func (v *View) ask(what func(*Update)) {
	v.mu.Lock()
	if !v.closed && len(v.asks) < maxAsks {
		v.asks = append(v.asks, what)
	}
	v.mu.Unlock()
	v.nudge()
}

// Show names the rows that are on the screen: n of them (MaxVisible at most) from the
// one at an index on.
func (v *View) Show(from, n int) {
	v.ask(func(*Update) { v.screen.want(from, n) })
}

// Fold opens or closes a folder among the rows that were sent.
func (v *View) Fold(id uint32, open bool) {
	v.ask(func(u *Update) {
		if n := v.screen.node(id); n != nil {
			v.list.fold(n, open, u)
		}
	})
}

// FoldAll closes all folders.
func (v *View) FoldAll() {
	v.ask(func(*Update) { v.list.foldAll() })
}

// Reopen opens folders by their topics, as far as they are there.
func (v *View) Reopen(topics []string) {
	v.ask(func(u *Update) {
		for _, name := range topics[:min(len(topics), MaxOpen)] {
			if n := v.feed.node(name); n != nil {
				v.list.fold(n, true, u)
			}
		}
	})
}

// ShowSys says whether the broker's own topics are among the rows.
func (v *View) ShowSys(on bool) {
	v.ask(func(*Update) { v.list.sys, v.list.stale = on, true })
}

// Select names the row whose Detail is wanted, among those that were sent; 0: none.
func (v *View) Select(id uint32) {
	v.ask(func(*Update) { v.choose(v.screen.node(id)) })
}

func (v *View) choose(n *node) { v.detail = sentDetail{node: n, due: n != nil} }

// Go selects a topic by its name; with reveal the folders above it are opened and the
// screen moves there. The answer is Update.At.
func (v *View) Go(topicName string, reveal bool) {
	v.ask(func(u *Update) {
		n := v.feed.node(topicName)
		if n != nil {
			v.choose(n)
			if reveal {
				v.list.reveal(n, u)
			}
		}
		v.goal = &goal{node: n, chosen: true, reveal: reveal}
	})
}

// Reveal is Go for what is selected already.
func (v *View) Reveal() {
	v.ask(func(u *Update) {
		if n := v.detail.node; n != nil {
			v.list.reveal(n, u)
			v.goal = &goal{node: n, chosen: true, reveal: true}
		}
	})
}

// Seek looks for the next row whose name begins with text, in either case, from the
// one at an index on. The answer is Update.At, if there is one.
func (v *View) Seek(text string, from int) {
	v.ask(func(*Update) { v.goal = &goal{text: strings.ToLower(text), from: from} })
}

// Form says how the selection is to be decoded; an unknown form is the best one.
func (v *View) Form(form string) {
	v.ask(func(*Update) {
		v.detail = sentDetail{node: v.detail.node, form: payload.Form(form), due: v.detail.node != nil}
	})
}

// Filter says what to look for: a Topic Filter with a wildcard, else a piece of a
// Topic Name or of a last value in either case. Only what matches is listed then, in
// open folders; "" ends it.
func (v *View) Filter(text string) { v.find(text, newFilter(text), nil) }

// Regexp is Filter with a regular expression (RE2) for names and last values.
func (v *View) Regexp(text string) {
	f, err := newRegexp(text)
	v.find(text, f, err)
}

func (v *View) find(text string, f *filter, err error) {
	v.ask(func(u *Update) {
		v.search = search{filter: f, fresh: f != nil}
		v.list.filter(f != nil)
		if err != nil {
			u.Match = &Match{Filter: text, Problem: err.Error()}
		}
	})
}

// Pause holds back changes. Rows that come into sight still get their value, and
// a selection its Detail.
func (v *View) Pause(on bool) {
	v.ask(func(*Update) { v.paused = on })
}

func (v *View) nudge() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Next blocks until something that the browser shows has changed and returns
// that. There are at most ViewOptions.Rate updates a second, answers to requests
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
	if v.screen.more {
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
