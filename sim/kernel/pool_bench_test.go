package kernel

import (
	"testing"
	"time"
)

// BenchmarkWake is what handing work to the threads costs: parts of 20 us, so that a thread that sleeps
// has to be woken in time to be of use.
func BenchmarkWake(b *testing.B) {
	eachPool(b, func(b *testing.B, pool *Pool) {
		for range b.N {
			pool.Run(8, func(int, int) {
				for start := time.Now(); time.Since(start) < 20*time.Microsecond; {
				}
			})
		}
	})
}
