package topic_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"hearthmq/broker/topic"
)

// population makes n filters and as many names of which each matches exactly one:
// half plain, a quarter with '+', a quarter with '#', 50 devices a site.
func population(n int) (filters, names []string) {
	for i := range n {
		site, device := i/50, i%50
		at := fmt.Sprintf("site%d/floor%d/device%d", site, device%5, device)
		switch i % 4 {
		case 0:
			filters, names = append(filters, fmt.Sprintf("site%d/+/device%d/state", site, device)), append(names, at+"/state")
		case 1:
			filters, names = append(filters, at+"/#"), append(names, at+"/power/now")
		default:
			filters, names = append(filters, at+"/state"), append(names, at+"/state")
		}
	}
	return filters, names
}

// heap is the live heap and how long a collection of it takes.
func heap() (bytes uint64, gc time.Duration) {
	runtime.GC()
	start := time.Now()
	runtime.GC()
	gc = time.Since(start)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, gc
}

// BenchmarkMatch reports the time for a random name that one subscription matches
// and what the trie takes for each subscription, the filter's own string apart.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000, 500_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			filters, names := population(n)
			rand.New(rand.NewPCG(1, 1)).Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
			before, gcBefore := heap()
			var trie topic.Trie[uint32]
			for i, f := range filters {
				trie.Set(f, uint32(i))
			}
			after, gcAfter := heap()
			dst := make([]uint32, 0, 8)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				if dst = trie.MatchAppend(dst[:0], names[i%n]); len(dst) != 1 {
					b.Fatalf("%d subscriptions match %s", len(dst), names[i%n])
				}
			}
			b.ReportMetric(float64(after-before)/float64(n), "B/sub")
			b.ReportMetric(float64((gcAfter-gcBefore).Microseconds())/1000, "GC-ms")
			runtime.KeepAlive(filters)
		})
	}
}

func BenchmarkSetDelete(b *testing.B) {
	filters, _ := population(100_000)
	var trie topic.Trie[uint32]
	for _, f := range filters {
		trie.Set(f, 1)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f := filters[i*7919%len(filters)]
		trie.Delete(f)
		trie.Set(f, 1)
	}
}

// BenchmarkSelect is a new subscription against 100,000 retained messages.
func BenchmarkSelect(b *testing.B) {
	var trie topic.Trie[uint32]
	_, names := population(100_000)
	for _, n := range names {
		trie.Set(n, 1)
	}
	for _, filter := range []string{"#", "+/+/device7/state", "site77/#", names[5]} {
		b.Run(filter, func(b *testing.B) {
			b.ReportAllocs()
			found := 0
			for b.Loop() {
				found = 0
				trie.Select(filter, func(string, uint32) bool { found++; return true })
			}
			b.ReportMetric(float64(found), "names")
		})
	}
}

func BenchmarkBomb(b *testing.B) { // case R10
	trie := bomb()
	dst := make([]int, 0, 10_000)
	for b.Loop() {
		dst = trie.MatchAppend(dst[:0], "a/a/a/a/a/a/a/a/a/a/a/a/a/a")
	}
}

func BenchmarkRemaining(b *testing.B) {
	allow := []string{"home/+/state", "home/user/#", "zigbee2mqtt/#", "$SYS/#"}
	deny := []string{"home/safe/#", "zigbee2mqtt/bridge/request/#"}
	for _, filter := range []string{"home/kitchen/state", "#"} {
		b.Run(filter, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				topic.Remaining(filter, allow, deny)
				topic.FullyAllowed(filter, allow, deny)
			}
		})
	}
}
