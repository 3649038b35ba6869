//go:build !linux && !darwin

package sqlite

// freeBytes is not known here: no space is kept in reserve.
func freeBytes(string) int64 { return -1 }

// fileSizeLimit is not known here.
func fileSizeLimit() int64 { return 0 }
