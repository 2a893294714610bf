package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
	"unsafe"
)

// Shared: how memory is dropped from the processor's caches.

// Flushing says how a CacheFlusher empties caches, and what a measurement made of it.
type Flushing struct {
	By     string  `json:"by"`     // the instruction, sweep, or nothing
	Ratio  float64 `json:"ratio"`  // time to read memory after it / time to read warm memory; 0 where it was not tried
	Cold   bool    `json:"cold"`   // it was seen to work: what is read after it comes from memory
	Reason string  `json:"reason"` // why not
}

// CacheFlusher drops memory from all caches, so that the next read of it finds it where real decoding does: the weights
// that stream between two layers have driven a layer's cache out by the time that its next step comes.
type CacheFlusher struct {
	Flushing
	lines func(p *byte, n int) // flushes the lines of memory; nil where there is no such instruction
	swept []byte               // read instead, twice as large as the last-level cache

	parts [][]byte // what one call flushes, cut into pieces for the workers
	part  func(worker, i int)
}

const (
	flushPart = 1 << 16 // bytes that a worker flushes at a time
	// mostSweep bounds a sweep, which comes before each layer of each sample.
	mostSweep = 4 * time.Millisecond
	// leastCold is how much longer than warm memory flushed memory must take to read. Chasing pointers it
	// was 17 to 23 times on a Zen 4.
	leastCold = 2
	probeSize = 1 << 18 // bytes that are read, warm and flushed: they fit in the second cache
	probes    = 9
)

// NewCacheFlusher finds out how caches are emptied here, and measures whether that works. It takes a few milliseconds.
// llc is the size of the last-level cache, which matters only where no instruction flushes lines.
func NewCacheFlusher(pool *Pool, llc int64) *CacheFlusher {
	name, lines := lineFlush()
	f := newFlusher(name, lines)
	if lines == nil && !f.sweeps(pool, llc) {
		return f
	}
	f.conclude(f.probe(pool))
	return f
}

// newFlusher is a CacheFlusher by an instruction, of which nothing is known.
func newFlusher(name string, lines func(p *byte, n int)) *CacheFlusher {
	f := &CacheFlusher{Flushing: Flushing{By: name}, lines: lines}
	f.part = func(_, i int) { f.flushPart(f.parts[i]) }
	return f
}

// conclude takes the ratio of a probe for what it means. What does not work is not done again.
func (f *CacheFlusher) conclude(ratio float64) {
	f.Ratio, f.Cold = ratio, ratio >= leastCold
	if !f.Cold {
		f.lines, f.swept = nil, nil
		f.Reason = fmt.Sprintf("memory takes %.2f times as long to read after %s as before, want %d times", ratio, f.By, leastCold)
	}
}

// sweeps reports whether the caches can be swept within the time allowed, and makes the memory for it. A part tells
// how long all of it would take.
func (f *CacheFlusher) sweeps(pool *Pool, llc int64) bool {
	f.By = "sweep"
	size := (2*llc + 511) &^ 511 // whole reads
	f.swept = Written(int(min(size, 64<<20)))
	took := time.Duration(math.MaxInt64)
	for range 3 {
		start := time.Now()
		f.Flush(pool, nil)
		took = min(took, time.Since(start))
	}
	if float64(took)*float64(size)/float64(len(f.swept)) > float64(mostSweep) {
		f.swept = nil
		f.Reason = fmt.Sprintf("no instruction flushes cache lines here, and a sweep over twice the last-level cache of %d MiB takes more than %v", llc>>20, mostSweep)
		return false
	}
	f.swept = Written(int(size))
	return true
}

// Flush drops the buffers from all caches. Where there is no way it does nothing: see Cold.
func (f *CacheFlusher) Flush(pool *Pool, buffers [][]byte) {
	f.parts = f.parts[:0]
	if f.lines == nil {
		buffers = [][]byte{f.swept}
	}
	for _, b := range buffers {
		for ; len(b) > flushPart; b = b[flushPart:] {
			f.parts = append(f.parts, b[:flushPart])
		}
		if len(b) > 0 {
			f.parts = append(f.parts, b)
		}
	}
	pool.Run(len(f.parts), f.part)
}

// flushPart flushes the lines of p, or in a sweep reads it.
func (f *CacheFlusher) flushPart(p []byte) {
	if f.lines == nil {
		active.read(p)
		return
	}
	f.lines(&p[0], len(p))
}

// probe returns how much longer memory takes to read once it is flushed: the ratio of medians. It follows pointers
// from line to line in random order, which no prefetcher foresees.
func (f *CacheFlusher) probe(pool *Pool) float64 {
	const words = 16 // of a line
	next := make([]uint32, probeSize/4)
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(next) / words)
	for i, line := range order {
		next[line*words] = uint32(order[(i+1)%len(order)] * words)
	}
	read := func() float64 {
		start := time.Now()
		at := uint32(0)
		for range order {
			at = next[at]
		}
		took := time.Since(start)
		if at != 0 { // the circle is closed; this keeps the loop
			panic("kernel: a circle of pointers that does not end where it began")
		}
		return float64(max(1, took))
	}
	buffer := [][]byte{Memory(next)}
	var warm, cold []float64
	for range probes {
		read()
		warm = append(warm, read())
		f.Flush(pool, buffer)
		cold = append(cold, read())
	}
	slices.Sort(warm)
	slices.Sort(cold)
	return cold[probes/2] / warm[probes/2]
}

// Memory is the bytes that the elements of s stand in.
func Memory[T any](s []T) []byte {
	var x T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(x)))
}

// Written returns n bytes, each page of which was written: memory that never was may all be one page of zeros.
func Written(n int) []byte {
	buf := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		buf[i] = byte(i)
	}
	return buf
}
