package main

import (
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"hearthmq/addon"
)

// cgroupLimit is where Linux says how much memory this container may use.
const cgroupLimit = "/sys/fs/cgroup/memory.max"

// limitMemory tells the garbage collector what to keep to: the setting
// memory_limit, else 80 % of the container's limit. GOMEMLIMIT, where somebody set
// it, stays.
func limitMemory(setting addon.Size, environ []string, log *slog.Logger) {
	for _, e := range environ {
		if strings.HasPrefix(e, "GOMEMLIMIT=") {
			return
		}
	}
	limit := int64(setting)
	if limit == 0 {
		text, err := os.ReadFile(cgroupLimit)
		if err != nil { // no container
			return
		}
		if limit = containerShare(string(text)); limit == 0 {
			return
		}
	}
	debug.SetMemoryLimit(limit)
	log.Debug("memory limit", "bytes", limit)
}

// containerShare returns 80 % of a cgroup's limit, 0 where there is none.
func containerShare(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n <= 0 {
		return 0
	}
	return n / 10 * 8
}
