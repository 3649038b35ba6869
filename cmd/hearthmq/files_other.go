//go:build !unix

package main

// fileLimit is how many files may be open, 0: it can't be found out.
func fileLimit() int { return 0 }

// spareFiles returns how many connections the limit on open files leaves room for, 0:
// it can't be found out.
func spareFiles() int { return 0 }
