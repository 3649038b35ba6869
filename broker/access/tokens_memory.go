package access

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// storedToken is a token with the hash of its secret.
type storedToken struct {
	Token
	hash string
}

var _ TokenRepository = (*MemoryRepository)(nil)

// InsertToken implements TokenRepository.
func (m *MemoryRepository) InsertToken(_ context.Context, t Token, hash []byte, a AuditEntry) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.tokens, func(o storedToken) bool { return o.Label == t.Label }) {
		return 0, ErrExists
	}
	m.lastID++
	t.ID = m.lastID
	m.tokens = append(m.tokens, storedToken{t, string(hash)})
	m.note(a)
	return t.ID, nil
}

// Tokens implements TokenRepository.
func (m *MemoryRepository) Tokens(context.Context) ([]Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Token
	for _, t := range m.tokens {
		list = append(list, t.Token)
	}
	slices.SortFunc(list, func(a, b Token) int { return cmp.Compare(a.Label, b.Label) })
	return list, nil
}

// FindToken implements TokenRepository.
func (m *MemoryRepository) FindToken(_ context.Context, hash []byte) (Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tokens {
		if t.hash == string(hash) {
			return t.Token, nil
		}
	}
	return Token{}, ErrNotFound
}

// TouchToken implements TokenRepository.
func (m *MemoryRepository) TouchToken(_ context.Context, id int64, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.tokens {
		if m.tokens[i].ID == id {
			m.tokens[i].Used = at
		}
	}
	return nil
}

// DeleteToken implements TokenRepository.
func (m *MemoryRepository) DeleteToken(_ context.Context, id int64, a AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.tokens, func(t storedToken) bool { return t.ID == id })
	if i < 0 {
		return ErrNotFound
	}
	m.tokens = slices.Delete(m.tokens, i, i+1)
	m.note(a)
	return nil
}
