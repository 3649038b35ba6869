package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Errors of a Repository.
var (
	ErrNotFound = errors.New("there is no such bridge")
	ErrExists   = errors.New("there is a bridge of this name already")
	// ErrConflict: somebody else changed it since it was read (case W26).
	ErrConflict = errors.New("the bridge was changed by somebody else in the meantime")
)

// Repository keeps bridges. Every change writes a row of the audit, without the
// password, in the same transaction. It is safe for concurrent use.
type Repository interface {
	// Bridges returns all, sorted by name.
	Bridges(ctx context.Context) ([]Settings, error)
	// InsertBridge fails with ErrExists.
	InsertBridge(ctx context.Context, s Settings) error
	// UpdateBridge replaces the one of that name. ErrNotFound, and ErrConflict when its
	// Revision is another one.
	UpdateBridge(ctx context.Context, s Settings) error
	// DeleteBridge fails with ErrNotFound.
	DeleteBridge(ctx context.Context, name string) error
}

// Book is what owners change bridges by: what is stored is what runs.
type Book struct {
	// Repository keeps them; nil: whoever called the Manager's Set has, and here they
	// can only be looked at.
	Repository Repository
	Manager    *Manager // must not be nil

	mu sync.Mutex
}

// Fixed reports whether the bridges can only be looked at. Add, Change, Delete and Test
// must not be called then.
func (b *Book) Fixed() bool { return b.Repository == nil }

// Open starts the bridges that are stored.
func (b *Book) Open(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.apply(ctx)
}

// apply has those run that are stored.
func (b *Book) apply(ctx context.Context) error {
	list, err := b.Repository.Bridges(ctx)
	if err != nil {
		return fmt.Errorf("read bridges: %w", err)
	}
	return b.Manager.Set(list)
}

// List returns all bridges, sorted by name, without their passwords.
func (b *Book) List(ctx context.Context) ([]Settings, error) {
	if b.Fixed() {
		return b.Manager.Settings(), nil
	}
	list, err := b.Repository.Bridges(ctx)
	if err != nil {
		return nil, fmt.Errorf("read bridges: %w", err)
	}
	for i := range list {
		list[i].HasPassword = list[i].Password != ""
		list[i].Password = ""
	}
	return list, nil
}

// Get returns one bridge without its password. It fails with ErrNotFound.
func (b *Book) Get(ctx context.Context, name string) (Settings, error) {
	list, err := b.List(ctx)
	if err != nil {
		return Settings{}, err
	}
	i := slices.IndexFunc(list, func(s Settings) bool { return s.Name == name })
	if i < 0 {
		return Settings{}, ErrNotFound
	}
	return list[i], nil
}

// Add stores a new bridge and starts it. It fails with Problems.
func (b *Book) Add(ctx context.Context, s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.alone(ctx, &s); err != nil {
		return err
	}
	err := b.Repository.InsertBridge(ctx, s)
	if errors.Is(err, ErrExists) {
		return Problems{"name": ErrExists.Error()}
	}
	if err != nil {
		return err
	}
	return b.apply(ctx)
}

// Change stores another version of a bridge and connects it anew. With HasPassword and
// an empty Password the password stays what it is (case W18). It fails with Problems,
// ErrNotFound and ErrConflict.
func (b *Book) Change(ctx context.Context, s Settings) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.keepPassword(ctx, &s); err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	if err := b.alone(ctx, &s); err != nil {
		return err
	}
	if err := b.Repository.UpdateBridge(ctx, s); err != nil {
		return err
	}
	return b.apply(ctx)
}

func (b *Book) keepPassword(ctx context.Context, s *Settings) error {
	if !s.HasPassword || s.Password != "" {
		return nil
	}
	list, err := b.Repository.Bridges(ctx)
	if err != nil {
		return fmt.Errorf("read bridges: %w", err)
	}
	for i := range list {
		if list[i].Name == s.Name {
			s.Password = list[i].Password
		}
	}
	return nil
}

// alone refuses two bridges with one session here: they would take it over from each
// other without end.
func (b *Book) alone(ctx context.Context, s *Settings) error {
	list, err := b.Repository.Bridges(ctx)
	if err != nil {
		return fmt.Errorf("read bridges: %w", err)
	}
	for i := range list {
		if list[i].Name != s.Name && list[i].localID() == s.localID() {
			return Problems{"client_id": fmt.Sprintf("the bridge %s has the same", list[i].Name)}
		}
	}
	return nil
}

// Delete ends a bridge and forgets it and what waits for it. It fails with ErrNotFound.
func (b *Book) Delete(ctx context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.Repository.DeleteBridge(ctx, name); err != nil {
		return err
	}
	return b.apply(ctx)
}

// Test tries a bridge once, see Manager.Test; the password of one that is stored is
// taken from there where s has none.
func (b *Book) Test(ctx context.Context, s Settings) error {
	if err := b.keepPassword(ctx, &s); err != nil {
		return err
	}
	return b.Manager.Test(ctx, s)
}

// Statuses describes all bridges, sorted by name.
func (b *Book) Statuses() []Status { return b.Manager.Statuses() }
