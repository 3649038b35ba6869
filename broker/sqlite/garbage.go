package sqlite

import (
	"maps"
	"slices"
)

// garbage are the rows of message that no delivery refers to any more. They are
// removed many at a time: one acknowledgement then costs no write of its own, and
// neighbours on the disk go together. What a crash leaves behind Load finds.
type garbage struct {
	sizes map[int64]int // message id → bytes
	bytes int
}

// Garbage is collected with the next transaction once there is this much of it.
const (
	garbageRows  = 1000
	garbageBytes = 1 << 20
)

func (g *garbage) due() bool { return len(g.sizes) >= garbageRows || g.bytes >= garbageBytes }

func (g *garbage) add(id int64, size int) {
	if g.sizes == nil {
		g.sizes = map[int64]int{}
	}
	g.sizes[id] = size
	g.bytes += size
}

func (g *garbage) has(id int64) bool { _, ok := g.sizes[id]; return ok }

// take takes a row out, if it is in, that is needed again.
func (g *garbage) take(id int64) {
	g.bytes -= g.sizes[id]
	delete(g.sizes, id)
}

// maxGap bounds the ids that spans looks at between two rows.
const maxGap = 64

// spans returns ranges of ids, both ends included, that cover the garbage but what
// used says is needed. Ids between two rows that are not used belong to no row, so
// a range may run over them: deliveries that were acknowledged at once leave such gaps.
func (g *garbage) spans(used func(id int64) bool) [][2]int64 {
	var out [][2]int64
next:
	for _, id := range slices.Sorted(maps.Keys(g.sizes)) {
		if used(id) {
			continue
		}
		if n := len(out) - 1; n >= 0 && id-out[n][1] <= maxGap {
			for between := out[n][1] + 1; between < id; between++ {
				if used(between) {
					out = append(out, [2]int64{id, id})
					continue next
				}
			}
			out[n][1] = id
			continue
		}
		out = append(out, [2]int64{id, id})
	}
	return out
}
