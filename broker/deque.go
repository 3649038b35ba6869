package broker

// deque is a first-in-first-out queue in a ring that grows and shrinks. The zero
// value is empty.
type deque[T any] struct {
	ring []T
	head int
	n    int
}

func (q *deque[T]) len() int { return q.n }

func (q *deque[T]) push(v T) {
	if q.n == len(q.ring) {
		q.resize(max(8, 2*q.n))
	}
	q.ring[(q.head+q.n)%len(q.ring)] = v
	q.n++
}

// front returns the oldest element, which stays. The queue must not be empty.
func (q *deque[T]) front() *T { return &q.ring[q.head] }

func (q *deque[T]) pop() T {
	var zero T
	v := q.ring[q.head]
	q.ring[q.head] = zero
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	if q.n == 0 {
		*q = deque[T]{}
	} else if len(q.ring) > 64 && q.n < len(q.ring)/4 {
		q.resize(len(q.ring) / 2)
	}
	return v
}

// each visits the elements, oldest first.
func (q *deque[T]) each(f func(*T)) {
	for i := range q.n {
		f(&q.ring[(q.head+i)%len(q.ring)])
	}
}

func (q *deque[T]) resize(size int) {
	ring := make([]T, size)
	for i := range q.n {
		ring[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	q.ring, q.head = ring, 0
}
