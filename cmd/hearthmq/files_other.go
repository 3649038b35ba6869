//go:build !unix

package main

// spareFiles returns how many connections the limit on open files leaves room for, 0:
// it can't be found out.
func spareFiles() int { return 0 }
