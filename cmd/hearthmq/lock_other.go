//go:build !unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockFolder makes the data folder; elsewhere than on Unix it locks nothing.
func lockFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	return os.OpenFile(filepath.Join(dir, "hearthmq.lock"), os.O_CREATE|os.O_RDWR, 0o600)
}
