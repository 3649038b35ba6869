package access

import (
	"context"
	"errors"
	"time"
)

// Errors of a Repository, also returned by Accounts where a caller has to branch.
var (
	// ErrExists: another row has this name.
	ErrExists = errors.New("exists already")
	// ErrNotFound: there is no such row (any more).
	ErrNotFound = errors.New("not found")
	// ErrConflict: somebody else changed the row since it was read (case W26).
	ErrConflict = errors.New("was changed by somebody else in the meantime")
)

// Data is everything a Repository holds about rights.
type Data struct {
	Users    []User
	Roles    []Role
	Learning []Learning // by user, without facts
}

// Repository keeps users, roles and the audit. Every mutation writes its audit row
// in the same transaction: both happen or neither. It is safe for concurrent use.
//
// Rows have a Revision: Insert sets it to 1, Update adds one. Update compares the
// Revision it is given with the stored one first and returns ErrConflict when they
// differ, ErrNotFound when the row is gone. IDs of rows and rules are given by the
// Repository; a Rule's ID on the way in means nothing. Roles of a user are names of
// existing roles, else ErrNotFound. Times are kept to the millisecond at least.
//
// Users FromSettings never reach a Repository: a setting lives in one place.
//
// Package accesstest holds the tests every implementation passes.
type Repository interface {
	// Load returns all users and roles sorted by name in byte order, a user's roles
	// too, and rules in the order in which they were given.
	Load(ctx context.Context) (*Data, error)
	// InsertUser stores u with its roles and own rules. ErrExists when the name is taken.
	InsertUser(ctx context.Context, u User, a AuditEntry) (id int64, err error)
	// UpdateUser replaces the whole row u.ID but Created, with its roles and own rules.
	UpdateUser(ctx context.Context, u User, a AuditEntry) error
	// DeleteUser removes the user with its own rules. ErrNotFound.
	DeleteUser(ctx context.Context, id int64, a AuditEntry) error
	// InsertRole stores r with its rules. ErrExists when the name is taken.
	InsertRole(ctx context.Context, r Role, a AuditEntry) (id int64, err error)
	// UpdateRole replaces the whole row r.ID with its rules.
	UpdateRole(ctx context.Context, r Role, a AuditEntry) error
	// DeleteRole removes the role, its rules, and the role from all users. ErrNotFound.
	DeleteRole(ctx context.Context, id int64, a AuditEntry) error
	// ImportAccounts stores all of it in one transaction with one audit row: roles with
	// an ID are updated, the others and all users are inserted. Errors are those of
	// UpdateRole, InsertRole and InsertUser.
	ImportAccounts(ctx context.Context, users []User, roles []Role, a AuditEntry) error
	// StartLearning stores l without facts, in place of what there was for the user.
	// ErrNotFound when there is no such user.
	StartLearning(ctx context.Context, l Learning, a AuditEntry) error
	// EndLearning removes what there is for the user, its facts too. ErrNotFound.
	EndLearning(ctx context.Context, userID int64, a AuditEntry) error
	// SaveFacts keeps what a user was seen doing since begun. It writes no audit row,
	// and nothing when there is no such Learning any more.
	SaveFacts(ctx context.Context, userID int64, begun time.Time, facts string) error
	// Facts returns what SaveFacts kept, "" when there is nothing.
	Facts(ctx context.Context, userID int64) (string, error)
	// Note writes an audit row for a change that was made elsewhere.
	Note(ctx context.Context, a AuditEntry) error
	// Audit returns what q selects, newest first. q is as Normal returns it, but for
	// its limit.
	Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error)
	// DataVersion returns a number that changes when another process changed the
	// data. It may change after changes of this process too.
	DataVersion(ctx context.Context) (int64, error)
}
