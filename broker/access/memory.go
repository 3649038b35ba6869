package access

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxMemoryAudit bounds the audit of a MemoryRepository.
const maxMemoryAudit = 1000

// MemoryRepository is a Repository that forgets everything with the process: for
// tests, and for `durability: memory`. Safe for concurrent use.
type MemoryRepository struct {
	mu      sync.Mutex
	users   map[int64]User
	roles   map[int64]Role
	learned map[int64]learned // by user
	tokens  []storedToken
	bans    []Ban
	audit   []AuditEntry // oldest first
	lastID  int64        // of users, roles, rules and audit entries
	version int64
}

var _ Repository = (*MemoryRepository)(nil)

// NewMemoryRepository returns an empty one.
func NewMemoryRepository() *MemoryRepository {
	return &MemoryRepository{users: make(map[int64]User), roles: make(map[int64]Role), learned: make(map[int64]learned)}
}

// Load implements Repository.
func (m *MemoryRepository) Load(context.Context) (*Data, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := new(Data)
	for _, u := range m.users {
		u.Roles, u.Rules = slices.Clone(u.Roles), slices.Clone(u.Rules)
		d.Users = append(d.Users, u)
	}
	for _, r := range m.roles {
		r.Rules = slices.Clone(r.Rules)
		d.Roles = append(d.Roles, r)
	}
	for _, l := range m.learned {
		d.Learning = append(d.Learning, l.Learning)
	}
	slices.SortFunc(d.Learning, func(a, b Learning) int { return cmp.Compare(a.UserID, b.UserID) })
	slices.SortFunc(d.Users, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(d.Roles, func(a, b Role) int { return cmp.Compare(a.Name, b.Name) })
	return d, nil
}

// InsertUser implements Repository.
func (m *MemoryRepository) InsertUser(_ context.Context, u User, a AuditEntry) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.userNamed(u.Name) != 0 {
		return 0, fmt.Errorf("user %q %w", u.Name, ErrExists)
	}
	if err := m.rolesExist(u.Roles); err != nil {
		return 0, err
	}
	u.ID, u.Revision = m.nextID(), 1
	m.putUser(u)
	m.note(a)
	return u.ID, nil
}

// UpdateUser implements Repository.
func (m *MemoryRepository) UpdateUser(_ context.Context, u User, a AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.users[u.ID]
	if !ok {
		return fmt.Errorf("user %q %w", u.Name, ErrNotFound)
	}
	if old.Revision != u.Revision {
		return fmt.Errorf("user %q %w", u.Name, ErrConflict)
	}
	if id := m.userNamed(u.Name); id != 0 && id != u.ID {
		return fmt.Errorf("user %q %w", u.Name, ErrExists)
	}
	if err := m.rolesExist(u.Roles); err != nil {
		return err
	}
	u.Revision++
	u.Created = old.Created
	m.putUser(u)
	m.note(a)
	return nil
}

// DeleteUser implements Repository.
func (m *MemoryRepository) DeleteUser(_ context.Context, id int64, a AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.users[id]; !ok {
		return fmt.Errorf("user %d %w", id, ErrNotFound)
	}
	delete(m.users, id)
	delete(m.learned, id)
	m.note(a)
	return nil
}

// InsertRole implements Repository.
func (m *MemoryRepository) InsertRole(_ context.Context, r Role, a AuditEntry) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.roleNamed(r.Name) != 0 {
		return 0, fmt.Errorf("role %q %w", r.Name, ErrExists)
	}
	r.ID, r.Revision = m.nextID(), 1
	r.Rules = m.number(r.Rules)
	m.roles[r.ID] = r
	m.note(a)
	return r.ID, nil
}

// UpdateRole implements Repository.
func (m *MemoryRepository) UpdateRole(_ context.Context, r Role, a AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.roles[r.ID]
	if !ok {
		return fmt.Errorf("role %q %w", r.Name, ErrNotFound)
	}
	if old.Revision != r.Revision {
		return fmt.Errorf("role %q %w", r.Name, ErrConflict)
	}
	if id := m.roleNamed(r.Name); id != 0 && id != r.ID {
		return fmt.Errorf("role %q %w", r.Name, ErrExists)
	}
	m.rename(old.Name, r.Name)
	r.Revision++
	r.Rules = m.number(r.Rules)
	m.roles[r.ID] = r
	m.note(a)
	return nil
}

// DeleteRole implements Repository.
func (m *MemoryRepository) DeleteRole(_ context.Context, id int64, a AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.roles[id]
	if !ok {
		return fmt.Errorf("role %d %w", id, ErrNotFound)
	}
	for id, u := range m.users {
		u.Roles = slices.DeleteFunc(slices.Clone(u.Roles), func(name string) bool { return name == r.Name })
		m.users[id] = u
	}
	delete(m.roles, id)
	m.note(a)
	return nil
}

// learned is a Learning with its facts.
type learned struct {
	Learning
	facts string
}

// StartLearning implements Repository.
func (m *MemoryRepository) StartLearning(_ context.Context, l Learning, a AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.users[l.UserID]; !ok {
		return fmt.Errorf("user %d %w", l.UserID, ErrNotFound)
	}
	m.learned[l.UserID] = learned{Learning: l}
	m.note(a)
	return nil
}

// EndLearning implements Repository.
func (m *MemoryRepository) EndLearning(_ context.Context, userID int64, a AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.learned[userID]; !ok {
		return fmt.Errorf("learning of user %d %w", userID, ErrNotFound)
	}
	delete(m.learned, userID)
	m.note(a)
	return nil
}

// SaveFacts implements Repository.
func (m *MemoryRepository) SaveFacts(_ context.Context, userID int64, begun time.Time, facts string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l, ok := m.learned[userID]; ok && l.Begun.Equal(begun) {
		l.facts = facts
		m.learned[userID] = l
	}
	return nil
}

// Facts implements Repository.
func (m *MemoryRepository) Facts(_ context.Context, userID int64) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.learned[userID].facts, nil
}

// Note implements Repository.
func (m *MemoryRepository) Note(_ context.Context, a AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(a)
	return nil
}

// Audit implements Repository.
func (m *MemoryRepository) Audit(_ context.Context, q AuditQuery) ([]AuditEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []AuditEntry
	for _, e := range slices.Backward(m.audit) {
		if len(list) < q.Limit && q.Matches(e) {
			list = append(list, e)
		}
	}
	return list, nil
}

// DataVersion implements Repository.
func (m *MemoryRepository) DataVersion(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version, nil
}

func (m *MemoryRepository) nextID() int64 {
	m.lastID++
	return m.lastID
}

// note adds the audit row of a change that has happened.
func (m *MemoryRepository) note(a AuditEntry) {
	a.ID = m.nextID()
	m.audit = append(m.audit, a)
	if len(m.audit) > maxMemoryAudit {
		m.audit = slices.Delete(m.audit, 0, len(m.audit)-maxMemoryAudit)
	}
	m.version++
}

func (m *MemoryRepository) putUser(u User) {
	u.Roles = slices.Sorted(slices.Values(u.Roles))
	u.Rules = m.number(u.Rules)
	m.users[u.ID] = u
}

// number gives rules IDs of their own.
func (m *MemoryRepository) number(rules []Rule) []Rule {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].ID = m.nextID()
	}
	return rules
}

func (m *MemoryRepository) userNamed(name string) int64 {
	for id, u := range m.users {
		if u.Name == name {
			return id
		}
	}
	return 0
}

func (m *MemoryRepository) roleNamed(name string) int64 {
	for id, r := range m.roles {
		if r.Name == name {
			return id
		}
	}
	return 0
}

func (m *MemoryRepository) rolesExist(names []string) error {
	for _, name := range names {
		if m.roleNamed(name) == 0 {
			return fmt.Errorf("role %q %w", name, ErrNotFound)
		}
	}
	return nil
}

func (m *MemoryRepository) rename(from, to string) {
	if from == to {
		return
	}
	for id, u := range m.users {
		if i := slices.Index(u.Roles, from); i >= 0 {
			u.Roles = slices.Clone(u.Roles)
			u.Roles[i] = to
			slices.Sort(u.Roles)
			m.users[id] = u
		}
	}
}
