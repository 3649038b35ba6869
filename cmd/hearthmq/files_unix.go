//go:build unix

package main

import (
	"os"
	"syscall"
)

// reservedFiles are file descriptors for the database, the admin and what else the
// program opens while clients take the others (case R4).
const reservedFiles = 32

// spareFiles returns how many connections the limit on open files leaves room for, 0:
// it can't be found out.
func spareFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	open := reservedFiles / 2
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		open = len(list)
	}
	return max(int(limit.Cur)-open-reservedFiles, 1)
}
