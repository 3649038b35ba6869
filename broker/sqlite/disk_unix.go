//go:build linux || darwin

package sqlite

import "syscall"

// freeBytes is what is left for us on the file system of dir, -1 when not known.
func freeBytes(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return -1
	}
	return int64(min(st.Bavail*uint64(st.Bsize), 1<<62))
}

// fileSizeLimit is how large a file of this process may become, 0: no limit.
func fileSizeLimit() int64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil || l.Cur >= 1<<62 {
		return 0
	}
	return int64(l.Cur)
}
