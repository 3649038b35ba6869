package brokertest

import (
	"syscall"
	"time"
	"unsafe"
)

// ThreadTime is how long the calling thread has run on a processor, whatever others do
// meanwhile (clock_gettime(2)); it is zero where no Linux says it. The caller holds its
// thread (runtime.LockOSThread).
func ThreadTime() time.Duration {
	const clockThread = 3 // CLOCK_THREAD_CPUTIME_ID
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThread, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return time.Duration(ts.Nano())
}
