package main

import (
	"testing"

	"hearthmq/broker/feed"
)

// Any client can publish to as many topics as it likes; the picture of them stays a part of
// the limit.
func TestFeedLimits(t *testing.T) {
	for _, tt := range []struct {
		limit int64
		want  feed.Limits
	}{
		{0, feed.Limits{}},
		{64 << 20, feed.Limits{TotalBytes: 8 << 20, Topics: 32768}},
		{256 << 20, feed.Limits{TotalBytes: 32 << 20, Topics: 131072}},
		{512 << 20, feed.Limits{TotalBytes: 64 << 20, Topics: 200_000}},
		{8 << 30, feed.Limits{TotalBytes: 64 << 20, Topics: 200_000}},
	} {
		if got := feedLimits(tt.limit); got != tt.want {
			t.Errorf("%d: %+v, want %+v", tt.limit, got, tt.want)
		}
	}
}
