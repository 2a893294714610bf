package kernel

import (
	"fmt"
	"os"
	"strings"
)

// Dispatch: the paths, and which of them runs.

// Name says which path of the kernels runs: go, avx2, avx512 or neon. Records carry it.
var Name string

// Variable is the environment variable that forces a path.
const Variable = "KVGAUGE_KERNEL"

// path is one implementation of what the hot loops call, a block of rows at a time.
type path struct {
	name     string
	lanes    int  // floats in a register of the instruction set; 0: portable Go
	rawCodes bool // score and weightedSum leave the scales of Int8 rows to onlineSoftmax

	score            func(q []float32, k *Rows, lo, n int, s *Scratch, out []float32, stride int)
	onlineSoftmax    func(logits []float32, n int, k, v []float32, st softmaxState)
	weightedSum      func(p []float32, v *Rows, lo, n int, s *Scratch, acc, rescale []float32)
	sumProbabilities func(logits []float32, n, queries int, k, max, inverse, sums []float32)
	dot              func(a, b []float32) float32
	squares          func(sums []float64, rows []float32, dim int)
	axpy             func(p float32, x, y []float32)
	maxInto, minInto func(x, y []float32)

	multiply func(x []float32, cols int, m, out []float32, stride int)

	linearRows, linearCols int // of the result, that one call of tileLinear adds to
	tileLinear             func(x []float32, stride int, w []float32, k int, out []float32, outStride int)
	sigmoid                func(dst, x []float32)

	floats func(dst []float32, src []uint16)
	halves func(dst []byte, src []float32) (finite bool)

	halvesOf func(dst []byte, src []float32, dim int, rows []int32) (finite bool)

	transpose func(dst, src []float32, dim int)

	product func(a []float64, n int, b []float32, bStride, cols int, out []float64, outStride int)
	exps64  func(dst, src []float64, shift float64) (sum float64)

	tileRows, tileCols int // of the result, that one call of tileProduct adds to
	tileProduct        func(a, b []float64, k int, out []float64, stride int)
	stripDots          func(rows []float64, stride, n int, x, sums []float64)
	stripAxpys         func(rows []float64, stride, n int, y, weights []float64)
	strip              func(rows []float64, stride, n int, x, sums, y, weights []float64)

	read     func(p []byte) uint64 // whole multiples of 512 bytes
	fma      func(rounds int)
	fmaFlops int // operations in a round
}

// active is the path that runs.
var active *path

// init takes the best path; a path that Variable forces is taken where the machine has it. What is wrong
// with the variable is for Select to report, which a program calls before it starts.
func init() {
	use(best())
	_ = Select(os.Getenv(Variable))
}

// best returns the fastest path that the machine has.
func best() *path { return available[len(available)-1] }

func use(p *path) { active, Name = p, p.name }

// Select makes a path the one that runs; "" is the best of the machine. It must not run beside kernels. An
// unknown name, or one that the machine or the build lacks, is an error and changes nothing.
func Select(name string) error {
	if name == "" {
		use(best())
		return nil
	}
	var names []string
	for _, p := range available {
		if p.name == name {
			use(p)
			return nil
		}
		names = append(names, p.name)
	}
	return fmt.Errorf("%s: %q: not a kernel of this machine and build, want %s", Variable, name, strings.Join(names, ", "))
}
