package kernel

import (
	"fmt"
	"testing"
)

// TestMeasureRoofline wants figures that a machine may have, however busy, of every path.
func TestMeasureRoofline(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second a path")
	}
	pool := NewPool(2)
	defer pool.Close()
	f := NewCacheFlusher(pool, 1<<20)
	eachPath(t, func(t *testing.T) {
		l := MeasureRoofline(pool, f)
		if l.Kernel != Name || l.Threads != 2 || !(l.ReadGBs > 1e-3 && l.ReadGBs < 1e5) || !(l.GFLOPs > 1e-3 && l.GFLOPs < 1e6) {
			t.Errorf("%+v", l)
		}
	})
}

// TestRead checks that every path takes in every word of a stream.
func TestRead(t *testing.T) {
	p := make([]byte, 4096)
	for i := range p {
		p[i] = byte(i * i >> 3)
	}
	want := readGeneric(p)
	eachPath(t, func(t *testing.T) {
		if got := active.read(p); got != want {
			t.Errorf("%#x, want %#x", got, want)
		}
	})
}

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
			flops = multiplyAdds(pool)
		}
		report(b, flops, "GFLOP/s")
	})
}
