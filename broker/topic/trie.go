package topic

// Trie maps Topic Filters or Topic Names to values. The zero value is empty and
// ready. It is not safe for concurrent use.
type Trie[T any] struct{ m map[string]T }

func (t *Trie[T]) Get(key string) (T, bool) { v, ok := t.m[key]; return v, ok }
func (t *Trie[T]) Set(key string, v T) {
	if t.m == nil {
		t.m = map[string]T{}
	}
	t.m[key] = v
}
func (t *Trie[T]) Delete(key string) (T, bool) { v, ok := t.m[key]; delete(t.m, key); return v, ok }
func (t *Trie[T]) Len() int                    { return len(t.m) }
func (t *Trie[T]) Match(name string, visit func(T) bool) {
	for k, v := range t.m {
		if Match(k, name) && !visit(v) {
			return
		}
	}
}
func (t *Trie[T]) MatchAppend(dst []T, name string) []T {
	for k, v := range t.m {
		if Match(k, name) {
			dst = append(dst, v)
		}
	}
	return dst
}
func (t *Trie[T]) Select(filter string, visit func(name string, v T) bool) {
	for k, v := range t.m {
		if Match(filter, k) && !visit(k, v) {
			return
		}
	}
}
func (t *Trie[T]) All(visit func(key string, v T) bool) {
	for k, v := range t.m {
		if !visit(k, v) {
			return
		}
	}
}
