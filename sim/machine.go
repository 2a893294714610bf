package sim

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"
	"github.com/pbnjay/memory"
)

// Machine is where a run was measured.
type Machine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory uint64 `json:"memory_bytes"`
	LLC    int64  `json:"llc_bytes"` // last-level cache
	Go     string `json:"go"`
}

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
func ThisMachine() Machine {
	return Machine{
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
