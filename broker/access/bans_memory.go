package access

import (
	"context"
	"slices"
)

var _ BanRepository = (*MemoryRepository)(nil)

// InsertBan implements BanRepository.
func (m *MemoryRepository) InsertBan(_ context.Context, b Ban, a AuditEntry) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.bans, func(o Ban) bool { return o.Kind == b.Kind && o.Value == b.Value }) {
		return 0, ErrExists
	}
	b.ID = m.nextID()
	m.bans = slices.Insert(m.bans, 0, b)
	m.note(a)
	return b.ID, nil
}

// Bans implements BanRepository.
func (m *MemoryRepository) Bans(context.Context) ([]Ban, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.bans), nil
}

// SavedBans implements BanRepository: there is no second place.
func (m *MemoryRepository) SavedBans(context.Context) ([]Ban, error) { return nil, nil }

// DeleteBan implements BanRepository.
func (m *MemoryRepository) DeleteBan(_ context.Context, id int64, a AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.bans, func(b Ban) bool { return b.ID == id })
	if i < 0 {
		return ErrNotFound
	}
	m.bans = slices.Delete(m.bans, i, i+1)
	m.note(a)
	return nil
}
