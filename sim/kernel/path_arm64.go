//go:build arm64 && !purego

package kernel

// Dispatch: the paths of arm64.

// available lists the paths of this machine, slowest first. Every arm64 machine has NEON.
//
// The path reads binary32 and binary16 rows in vector registers. Rows of other formats are decoded in portable Go, a
// block at a time for all heads; the exponentials of the softmax and float64 are portable Go too. It was written, and
// is tested, under emulation: its speed has not been measured.
var available = []*path{&generic, neon()}

// neon is the portable path but for what has assembly.
func neon() *path {
	p := generic
	p.name = "neon"
	p.score, p.weightedSum, p.multiply = scoreNEON, weightedSumNEON, multiplyNEON
	p.dot, p.axpy, p.floats = dotNEON, axpyNEON, floatsNEON
	p.fma, p.fmaFlops = fmaNEON, 2*16*4
	return &p
}
