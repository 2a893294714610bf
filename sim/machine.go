package sim

import (
	"runtime"

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
