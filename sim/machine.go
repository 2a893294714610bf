package sim

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"
	"github.com/pbnjay/memory"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
)

// fallbackLLC is taken for the last-level cache where the processor names none that can be true, as on some
// virtual machines.
const fallbackLLC = 32 << 20

// llc returns the size of the last-level cache.
func llc() int64 {
	c := cpuid.CPU.Cache
	if n := int64(max(c.L3, c.L2)); n >= 1<<20 && n <= 1<<30 {
		return n
	}
	return fallbackLLC
}

// ThisMachine describes the machine that the program runs on.
func ThisMachine() record.Machine {
	return record.Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuid.CPU.BrandName, Cores: runtime.NumCPU(),
		Memory: memory.TotalMemory(), LLC: llc(), Go: runtime.Version(),
	}
}

// Resident returns the bytes of memory that the process takes now: what the system says, where it is Linux, or else
// what the runtime has got from it.
func Resident() int64 {
	if text, err := os.ReadFile("/proc/self/statm"); err == nil { // proc(5): size and resident, in pages
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}

// Testbed is the machine as steps are timed on it: what it can do at most, and how its caches are emptied.
type Testbed struct {
	Roofline kernel.Roofline
	Flushing kernel.Flushing
	flush    func(*kernel.Pool, [][]byte) // drops memory from the caches
}

// MeasureMachine takes some hundredths of a second to find out what a machine can do with so many threads, and whether
// memory can be dropped from its caches.
func MeasureMachine(m record.Machine, threads int) *Testbed {
	pool := kernel.NewPool(threads)
	defer pool.Close()
	flusher := kernel.NewCacheFlusher(pool, m.LLC)
	return &Testbed{Roofline: kernel.MeasureRoofline(pool, flusher), Flushing: flusher.Flushing, flush: flusher.Flush}
}
