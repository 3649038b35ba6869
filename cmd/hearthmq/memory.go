package main

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"hearthmq/addon"
	"hearthmq/broker/feed"
)

// Where Linux says how much memory this container may use, and how much there is.
const (
	cgroupLimit = "/sys/fs/cgroup/memory.max"
	oldLimit    = "/sys/fs/cgroup/memory/memory.limit_in_bytes" // cgroups version 1, as on some network storage
	machineFile = "/proc/meminfo"
)

// limitMemory returns how much memory the process may use, for the broker to keep to,
// and tells the garbage collector: GOMEMLIMIT where somebody set it, else the setting
// memory_limit, else 80 % of the container's limit or half of the machine's memory.
// 0: it can't be found out.
func limitMemory(setting addon.Size, environ []string, log *slog.Logger) int64 {
	for _, e := range environ {
		if strings.HasPrefix(e, "GOMEMLIMIT=") {
			if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
				return limit
			}
			return 0
		}
	}
	limit := int64(setting)
	if limit == 0 {
		cgroup := readText(cgroupLimit)
		if cgroup == "" {
			cgroup = readText(oldLimit)
		}
		limit = memoryShare(cgroup, readText(machineFile))
	}
	if limit == 0 {
		return 0
	}
	debug.SetMemoryLimit(collectorShare(limit))
	log.Debug("memory limit", "bytes", limit)
	return limit
}

// collectorShare is what of the limit Go's own memory may be: the program itself takes
// some, too, and the collector may come late.
func collectorShare(limit int64) int64 { return max(limit-limit/8-16<<20, limit/2) }

// feedLimits keep the picture of all topics, which takes about twice what it counts, to a
// part of the limit: any client can publish to as many topics as it likes.
func feedLimits(limit int64) feed.Limits {
	if limit <= 0 {
		return feed.Limits{}
	}
	return feed.Limits{TotalBytes: min(limit/8, 64<<20), Topics: int(min(limit>>11, 200_000))}
}

func readText(name string) string {
	text, err := os.ReadFile(name)
	if err != nil { // another system
		return ""
	}
	return string(text)
}

// memoryShare is 80 % of a cgroup's limit or half of the machine's memory, whichever is
// less, of those that are known.
func memoryShare(cgroup, machine string) int64 {
	limit := int64(math.MaxInt64)
	if n, err := strconv.ParseInt(strings.TrimSpace(cgroup), 10, 64); err == nil && n > 0 {
		limit = n / 10 * 8
	}
	var kilobytes int64
	if _, err := fmt.Sscanf(machine, "MemTotal: %d kB", &kilobytes); err == nil && kilobytes > 0 {
		limit = min(limit, kilobytes<<10/2)
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}
