package feed

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"hearthmq/broker"
)

// Bounds of a Trash. What is beyond goes, the oldest first.
const (
	TrashRemovals = 20
	TrashBytes    = 64 << 20
	TrashFor      = 30 * 24 * time.Hour
)

// ErrNoRemoval says that a removal can't be undone (any more).
var ErrNoRemoval = errors.New("this can't be undone any more")

// Removal is a number of retained messages that somebody deleted at once.
type Removal struct {
	ID       int64
	At       time.Time
	Actor    string
	What     string // for people
	Notified bool   // subscribers were told by empty messages
	Topics   int
	Bytes    int64
}

// Trash keeps deleted retained messages, so that a deletion can be undone.
type Trash interface {
	// Put stores a removal with its messages and returns its ID.
	Put(ctx context.Context, r Removal, messages []*broker.Message) (int64, error)
	// Removals returns what can be undone, the newest first.
	Removals(ctx context.Context) ([]Removal, error)
	// Removed returns the messages of a removal, or ErrNoRemoval.
	Removed(ctx context.Context, id int64) (Removal, []*broker.Message, error)
	// Forget deletes a removal for good; one that is gone is no error.
	Forget(ctx context.Context, id int64) error
}

// MemoryTrash is a Trash that lasts as long as the process.
type MemoryTrash struct {
	mu   sync.Mutex
	last int64
	list []removal // oldest first
}

type removal struct {
	Removal
	messages []*broker.Message
}

var _ Trash = (*MemoryTrash)(nil)

// Put implements Trash.
func (t *MemoryTrash) Put(_ context.Context, r Removal, messages []*broker.Message) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	r.ID, r.Topics, r.Bytes = t.last, len(messages), 0
	for _, m := range messages {
		r.Bytes += int64(m.Size())
	}
	t.list = append(t.list, removal{r, messages})
	var bytes int64
	keep := len(t.list)
	for keep > 0 && len(t.list)-keep < TrashRemovals {
		x := &t.list[keep-1]
		if bytes += x.Bytes; keep < len(t.list) && (bytes > TrashBytes || r.At.Sub(x.At) > TrashFor) {
			break
		}
		keep--
	}
	t.list = slices.Delete(t.list, 0, keep)
	return r.ID, nil
}

// Removals implements Trash.
func (t *MemoryTrash) Removals(context.Context) ([]Removal, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Removal
	for _, r := range slices.Backward(t.list) {
		list = append(list, r.Removal)
	}
	return list, nil
}

// Removed implements Trash.
func (t *MemoryTrash) Removed(_ context.Context, id int64) (Removal, []*broker.Message, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.list {
		if r.ID == id {
			return r.Removal, r.messages, nil
		}
	}
	return Removal{}, nil, ErrNoRemoval
}

// Forget implements Trash.
func (t *MemoryTrash) Forget(_ context.Context, id int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(t.list, func(r removal) bool { return r.ID == id })
	return nil
}
