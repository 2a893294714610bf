package kernel

import (
	"fmt"
	"testing"
)

func BenchmarkRead(b *testing.B) {
	const size = 1 << 30
	buf := make([]byte, size)
	for i := range buf {
		buf[i] = byte(i)
	}
	b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
		eachPool(b, func(b *testing.B, pool *Pool) {
			for range b.N {
				stream(pool, buf)
			}
			report(b, size, "GB/s")
		})
	})
}

func BenchmarkFMA(b *testing.B) {
	eachPool(b, func(b *testing.B, pool *Pool) {
		var flops float64
		for range b.N {
			flops = multiply(pool)
		}
		report(b, flops, "GFLOP/s")
	})
}
