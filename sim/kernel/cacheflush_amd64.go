//go:build amd64 && !purego

package kernel

// Dispatch and assembly: CLFLUSHOPT, or else CLFLUSH.

// flushLinesOpt writes the cache lines of n bytes back to memory and drops them from all caches of the machine, by
// CLFLUSHOPT and a fence.
//
//go:noescape
func flushLinesOpt(p *byte, n int)

// flushLines flushes lines by CLFLUSH, which every amd64 machine has; it is ordered, and on some machines slower.
//
//go:noescape
func flushLines(p *byte, n int)

// cpuidFeatures returns EBX of CPUID leaf 7, 0 where the machine has no such leaf.
func cpuidFeatures() (ebx uint32)

// lineFlush returns the instruction that flushes lines here.
func lineFlush() (name string, flush func(p *byte, n int)) {
	const clflushopt = 1 << 23 // Intel SDM vol. 2A, CPUID: leaf 7, EBX
	if cpuidFeatures()&clflushopt != 0 {
		return "clflushopt", flushLinesOpt
	}
	return "clflush", flushLines
}
