package kernel

import (
	"math"
	"time"
)

// Shared: the measurement of the roofline.

// Roofline is what this machine's memory and arithmetic units can do at best, by the active path: what a
// decode step is held against.
type Roofline struct {
	Kernel  string  `json:"kernel"`
	Threads int     `json:"threads"`
	ReadGBs float64 `json:"read_gb_s"` // streaming read from memory, 1e9 bytes a second
	GFLOPs  float64 `json:"gflop_s"`   // binary32 multiply-adds on registers, two operations each
}

// RooflineBytes is the memory that MeasureRoofline reads.
const RooflineBytes = 32 << 20

const (
	streamPart     = 1 << 20 // bytes that one part of a stream reads
	fmaRounds      = 1 << 12 // of 12 registers, under a millisecond a part
	fmaParts       = 64
	rooflinePasses = 4
)

// MeasureRoofline takes the best of a few short passes, some hundredths of a second in all, with the pool's threads.
// Where the flusher does not work it reads what may lie in a cache.
func MeasureRoofline(pool *Pool, f *CacheFlusher) Roofline {
	l := Roofline{Kernel: Name, Threads: pool.Threads()}
	buf := Written(RooflineBytes)
	read, mul := math.Inf(1), math.Inf(1)
	var flops float64
	for range rooflinePasses {
		f.Flush(pool, [][]byte{buf})
		start := time.Now()
		stream(pool, buf)
		read = min(read, time.Since(start).Seconds())
		start = time.Now()
		flops = multiplyAdds(pool)
		mul = min(mul, time.Since(start).Seconds())
	}
	l.ReadGBs, l.GFLOPs = RooflineBytes/read/1e9, flops/mul/1e9
	return l
}

// stream reads buf once, whole parts.
func stream(pool *Pool, buf []byte) {
	pool.Run(len(buf)/streamPart, func(_, i int) { active.read(buf[i*streamPart : (i+1)*streamPart]) })
}

// multiplyAdds does multiply-adds and returns how many operations they were.
func multiplyAdds(pool *Pool) (flops float64) {
	pool.Run(fmaParts, func(int, int) { active.fma(fmaRounds) })
	return fmaParts * float64(active.fmaFlops) * fmaRounds
}
