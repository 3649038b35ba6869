//go:build unix

package main

import (
	"os"
	"syscall"
)

// ownFiles are file descriptors for the database and what else the program opens while
// clients take the others (case R4).
const ownFiles = 20

// fileLimit is how many files may be open, 0: it can't be found out.
func fileLimit() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}

// spareFiles returns how many connections the limit on open files leaves room for beside
// those to the admin, 0: it can't be found out.
func spareFiles() int {
	limit := fileLimit()
	if limit == 0 {
		return 0
	}
	open := 16
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		open = len(list)
	}
	return max(limit-open-ownFiles-adminConnections(limit), 1)
}
