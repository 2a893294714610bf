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
	Go     string `json:"go"`
}

// ThisMachine describes the machine that the program runs on.
func ThisMachine() Machine {
	return Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuid.CPU.BrandName, Cores: runtime.NumCPU(),
		Memory: memory.TotalMemory(), Go: runtime.Version(),
	}
}
