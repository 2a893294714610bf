//go:build !purego

package kernel

// Dispatch and assembly: DC CIVAC.

// flushLines writes the cache lines of n bytes back to memory and drops them from all caches, by DC CIVAC and DSB:
// Linux lets programs do that, other systems need not.
//
//go:noescape
func flushLines(p *byte, n int)

// lineFlush returns the instruction that flushes lines here.
func lineFlush() (name string, flush func(p *byte, n int)) { return "dc civac", flushLines }
