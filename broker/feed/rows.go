package feed

import "strings"

// list is what of the tree a View lists: the rows that follow from which folders are
// open and what the filter left. The goroutine in Next owns it.
type list struct {
	open      map[*node]struct{} // by hand
	folded    map[*node]struct{} // closed by hand while a filter is on, which opens all others
	filtering bool
	sys       bool // the broker's own topics are listed

	stale bool   // something above has changed
	shape uint64 // tree.shape that rows are of
	rows  []row
	all   int // topics in the tree
}

// row is a node in the list.
type row struct {
	node      *node
	up        int32 // index of the folder's row, -1: none
	pos, size int32 // which one it is in its folder
	count     int32 // topics inside
	folder    bool
	open      bool
}

func (l *list) isOpen(n *node) bool {
	if l.filtering {
		_, folded := l.folded[n]
		return !folded
	}
	_, open := l.open[n]
	return open
}

func (l *list) fold(n *node, open bool, u *Update) {
	l.stale = true
	switch {
	case l.filtering && open:
		delete(l.folded, n)
	case l.filtering:
		if len(l.folded) < MaxOpen {
			l.folded[n] = struct{}{}
		}
	case !open:
		delete(l.open, n)
	case len(l.open) < MaxOpen:
		l.open[n] = struct{}{}
		u.Opened = append(u.Opened, Opened{n.id, n.path()})
	}
}

func (l *list) foldAll() {
	l.stale = true
	if !l.filtering {
		clear(l.open)
		return
	}
	for _, r := range l.rows {
		if r.folder && len(l.folded) < MaxOpen {
			l.folded[r.node] = struct{}{}
		}
	}
}

// reveal opens what is above n.
func (l *list) reveal(n *node, u *Update) {
	for p := n.parent; p != nil; p = p.parent {
		if !l.isOpen(p) {
			l.fold(p, true, u)
		}
	}
}

func (l *list) filter(on bool) {
	l.filtering, l.stale = on, true
	clear(l.folded)
}

// makeList lists the rows again when the tree or what is wanted of it has changed,
// and finds the goal among them.
func (v *View) makeList(u *Update) {
	l, t := &v.list, &v.feed.tree
	v.feed.mu.RLock()
	if l.stale || !v.paused && l.shape != t.shape {
		t.sorting.Lock()
		l.make(t, &v.search)
		t.sorting.Unlock()
		v.screen.stale = true
	}
	if n := v.detail.node; n != nil && n.gone {
		v.choose(nil)
		u.Gone = true
	}
	v.feed.mu.RUnlock()
	if v.goal != nil {
		u.At = v.reach(v.goal)
		v.goal = nil
	}
}

// make lists the rows; Feed.mu and tree.sorting are held. With everything open it
// takes some milliseconds for 100,000 topics.
func (l *list) make(t *tree, s *search) {
	for _, set := range []map[*node]struct{}{l.open, l.folded} {
		for n := range set {
			if n.gone {
				delete(set, n)
			}
		}
	}
	l.stale, l.shape, l.all = false, t.shape, t.top.topics
	if !l.sys { // what can't be seen is not counted
		for _, n := range t.top.sorted() {
			if n.name == "$SYS" && n.inside != nil {
				l.all -= n.inside.topics
			}
		}
	}
	l.rows = l.rows[:0]
	var below []int32
	if l.filtering {
		below = s.counts(len(t.nodes))
	}
	l.add(&t.top, -1, below, s)
}

// add lists what is in a folder. below is nil without a filter.
func (l *list) add(f *folder, up int32, below []int32, s *search) {
	kids := f.sorted()
	listed := func(n *node) bool {
		return (below == nil || below[n.at] > 0) && (up >= 0 || l.sys || n.name != "$SYS")
	}
	var size, pos int32
	for _, n := range kids {
		if listed(n) {
			size++
		}
	}
	for _, n := range kids {
		if !listed(n) {
			continue
		}
		pos++
		r := row{node: n, up: up, pos: pos, size: size, folder: n.isFolder()}
		switch {
		case below != nil:
			r.count = below[n.at]
			if _, itself := s.matched[n]; itself {
				r.count--
			}
			r.folder = r.count > 0
		case r.folder:
			r.count = int32(n.inside.topics)
		}
		r.open = r.folder && l.isOpen(n)
		l.rows = append(l.rows, r)
		if r.open {
			l.add(n.inside, int32(len(l.rows)-1), below, s)
		}
	}
}

// goal is a row that the browser asked for.
type goal struct {
	node           *node
	chosen, reveal bool
	text           string // instead of node: what the row's name begins with
	from           int    // where to begin to look for text
}

// reach finds the goal in the list; the screen goes there.
func (v *View) reach(g *goal) *At {
	rows := v.list.rows
	at := &At{Index: -1, Chosen: g.chosen, Reveal: g.reveal}
	if g.node != nil {
		at.ID = g.node.id
		for i := range rows {
			if rows[i].node == g.node {
				at.Index = i
				break
			}
		}
	} else if g.text != "" {
		for i := range rows {
			j := (max(0, g.from) + i) % len(rows)
			if strings.HasPrefix(strings.ToLower(cutName(rows[j].node.name)), g.text) {
				at.Index, at.ID, at.Reveal = j, rows[j].node.id, true
				break
			}
		}
		if at.Index < 0 {
			return nil
		}
	}
	if at.Reveal && at.Index >= 0 {
		v.screen.want(at.Index-v.screen.n/2, v.screen.n)
	}
	return at
}

// cutName is as much of a name as one types.
func cutName(name string) string { return name[:min(len(name), 128)] }

// screen is the part of the rows that the browser shows, and what it has of it.
type screen struct {
	from, n int // as it was asked for
	stale   bool
	more    bool // a frame was full
	told    bool // something was sent
	sent    List // without its rows
	slots   []slot
}

// slot is a row on the screen.
type slot struct {
	node    *node
	row     Row
	sent    bool
	version uint64 // of the value that was sent; 0: none
}

func (s *screen) want(from, n int) {
	s.from, s.n, s.stale = max(0, from), max(1, min(n, MaxVisible)), true
}

// node is the one with this id on the screen, or nil.
func (s *screen) node(id uint32) *node {
	for i := range s.slots {
		if n := s.slots[i].node; n.id == id {
			return n
		}
	}
	return nil
}

// takeRows adds the rows on the screen that the browser has not like this.
func (v *View) takeRows(u *Update, room int) int {
	s, rows := &v.screen, v.list.rows
	if !s.stale && !s.more {
		return room
	}
	from := min(s.from, len(rows))
	next := List{From: from, To: min(from+s.n, len(rows)), All: len(rows), Topics: v.list.all}
	versions := make(map[*node]uint64, len(s.slots))
	for i := range s.slots {
		if s.slots[i].sent {
			versions[s.slots[i].node] = s.slots[i].version
		}
	}
	slots := make([]slot, next.To-next.From)
	more := false
	for i := range slots {
		x := slot{node: rows[from+i].node, row: rowAt(rows, from+i)}
		if j := from + i - s.sent.From; j >= 0 && j < len(s.slots) && s.slots[j].sent && s.slots[j].row == x.row {
			x.sent = true
		} else if used := 48 + quotedLen([]byte(x.row.Name)); used <= room {
			x.sent = true
			room -= used
			next.Rows = append(next.Rows, x.row)
		}
		if x.sent {
			x.version = versions[x.node]
		} else {
			more = true
		}
		slots[i] = x
	}
	s.slots, s.stale, s.more = slots, false, more
	if same := next.From == s.sent.From && next.To == s.sent.To && next.All == s.sent.All && next.Topics == s.sent.Topics; same && len(next.Rows) == 0 && s.told {
		return room
	}
	s.told = true
	u.List = &next
	s.sent = next
	s.sent.Rows = nil
	return room
}

func rowAt(rows []row, i int) Row {
	r := &rows[i]
	return Row{
		Index: i, ID: r.node.id, Level: r.node.depth + 1, Up: int(r.up), Pos: int(r.pos), Size: int(r.size),
		Name: shortName(r.node.name), Topic: r.node.entry.Load() != nil, Folder: r.folder, Open: r.open, Count: int(r.count),
	}
}
