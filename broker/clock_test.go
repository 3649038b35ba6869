package broker_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// case R12: nothing here or in the bridges is measured between two wall times, so a clock
// that is set disconnects nobody and keeps nobody. Only what has lost its monotonic reading
// can be; no test can set the clock of the machine it runs on.
func TestNoWallClock(t *testing.T) {
	files := 0
	for _, dir := range []string{".", "bridge"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			files++
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				x, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				switch x.Sel.Name {
				case "Unix", "UnixNano", "UnixMilli", "UnixMicro", "UTC", "Local":
					t.Errorf("%s: %s of a time drops its monotonic reading", set.Position(x.Pos()), x.Sel.Name)
				}
				return true
			})
		}
	}
	if files < 50 {
		t.Errorf("looked into %d files only", files)
	}
}

// tickets lets everybody in until the same time.
type tickets struct {
	brokertest.Everything
	until time.Time
}

func (a *tickets) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	id, err := a.Everything.Authenticate(ctx, c)
	if err == nil {
		id.Until = a.until
	}
	return id, err
}

// case R12: a login ends when its time comes by the wall clock, which is looked at every
// minute: by a clock that shows 1970, as at a boot, the end is 56 years away.
func TestLoginEndsByTheClock(t *testing.T) {
	door := new(tickets)
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Authenticator = door }, func(w *world) {
		door.until = time.Now().Add(time.Hour)
		c := w.clean(packet.V50, "steady")
		ended := func() bool {
			w.Helper()
			return c.Take(func(p packet.Packet) bool {
				d, ok := p.(*packet.Disconnect)
				return ok && d.Code == packet.MaximumConnectTime
			})
		}
		brokertest.Pass(time.Until(door.until) - time.Second)
		if ended() {
			t.Error("ended before the time")
		}
		brokertest.Pass(2 * time.Second)
		if !ended() {
			t.Error("did not end with the time")
		}
	})
	now := time.Now()
	until := now.Add(time.Hour) // with a monotonic reading, as one that was reckoned here has it
	for _, tt := range []struct {
		until, now time.Time
		want       time.Duration
	}{
		{now.AddDate(56, 0, 0), now, time.Minute},
		{until, now, time.Minute},
		{now.Add(time.Second), now, time.Second},
		{now.Add(-time.Hour), now, -time.Hour},
		{until, now.Round(0).Add(time.Hour + time.Second), -time.Second},
	} {
		if got := broker.UntilNext(tt.until, tt.now); got != tt.want {
			t.Errorf("ends %v from now: looked at again after %v, want %v", tt.until.Sub(tt.now), got, tt.want)
		}
	}
}
