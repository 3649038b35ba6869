package access

// lru is a map of at most max entries; beyond, the entry that was not used for the
// longest time goes. It is not safe for concurrent use.
type lru[K comparable, V any] struct {
	max        int
	entries    map[K]*lruEntry[K, V]
	head, tail *lruEntry[K, V] // head was used last
}

type lruEntry[K comparable, V any] struct {
	key        K
	value      V
	prev, next *lruEntry[K, V]
}

func newLRU[K comparable, V any](most int) *lru[K, V] {
	return &lru[K, V]{max: most, entries: make(map[K]*lruEntry[K, V])}
}

func (l *lru[K, V]) len() int { return len(l.entries) }

// get returns the value and counts as use.
func (l *lru[K, V]) get(key K) (v V, ok bool) {
	e := l.entries[key]
	if e == nil {
		return v, false
	}
	if l.head != e {
		l.unlink(e)
		l.push(e)
	}
	return e.value, true
}

func (l *lru[K, V]) put(key K, v V) {
	e := l.entries[key]
	switch {
	case e != nil:
		l.unlink(e)
		e.value = v
	case len(l.entries) >= l.max:
		e = l.tail
		l.unlink(e)
		delete(l.entries, e.key)
		fallthrough
	default:
		e = &lruEntry[K, V]{key: key, value: v}
		l.entries[key] = e
	}
	l.push(e)
}

// all lists the values, the one used last first.
func (l *lru[K, V]) all() []V {
	list := make([]V, 0, len(l.entries))
	for e := l.head; e != nil; e = e.next {
		list = append(list, e.value)
	}
	return list
}

func (l *lru[K, V]) unlink(e *lruEntry[K, V]) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.tail = e.prev
	}
	e.prev, e.next = nil, nil
}

func (l *lru[K, V]) push(e *lruEntry[K, V]) {
	e.next = l.head
	if l.head != nil {
		l.head.prev = e
	}
	l.head = e
	if l.tail == nil {
		l.tail = e
	}
}
