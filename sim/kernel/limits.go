package kernel

import (
	"math"
	"time"
)

// Limits is what this machine's memory and arithmetic units can do at best, by the active path: what a
// decode step is held against.
type Limits struct {
	Kernel  string  `json:"kernel"`
	Threads int     `json:"threads"`
	ReadGBs float64 `json:"read_gb_s"` // streaming read from memory, 1e9 bytes a second
	GFLOPs  float64 `json:"gflop_s"`   // binary32 multiply-adds on registers, two operations each
}

const (
	limitBytes  = 256 << 20 // several times the last-level cache of most machines
	streamPart  = 1 << 20   // bytes that one part of a stream reads
	fmaRounds   = 1 << 12   // of 12 registers, under a millisecond a part
	fmaParts    = 64
	limitPasses = 4
)

// MeasureLimits takes the best of a few short passes, a quarter of a second in all, with the pool's threads.
func MeasureLimits(pool *Pool) Limits {
	l := Limits{Kernel: Name, Threads: pool.Threads()}
	buf := make([]byte, limitBytes)
	for i := 0; i < len(buf); i += 4096 {
		buf[i] = byte(i) // memory that was never written may all be one page of zeros
	}
	read, mul := math.Inf(1), math.Inf(1)
	var flops float64
	for range limitPasses {
		start := time.Now()
		stream(pool, buf)
		read = min(read, time.Since(start).Seconds())
		start = time.Now()
		flops = multiply(pool)
		mul = min(mul, time.Since(start).Seconds())
	}
	l.ReadGBs, l.GFLOPs = limitBytes/read/1e9, flops/mul/1e9
	return l
}

// stream reads buf once, whole parts.
func stream(pool *Pool, buf []byte) {
	pool.Run(len(buf)/streamPart, func(_, i int) { active.read(buf[i*streamPart : (i+1)*streamPart]) })
}

// multiply does multiply-adds and returns how many operations they were.
func multiply(pool *Pool) (flops float64) {
	pool.Run(fmaParts, func(int, int) { active.fma(fmaRounds) })
	return fmaParts * float64(active.fmaFlops) * fmaRounds
}
