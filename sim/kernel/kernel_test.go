package kernel

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/x448/float16"
)

// TestHalf holds the conversions against another implementation, for every bit pattern and for the values
// around every one, where rounding decides.
func TestHalf(t *testing.T) {
	same := func(a, b float32) bool {
		return math.Float32bits(a) == math.Float32bits(b) || math.IsNaN(float64(a)) && math.IsNaN(float64(b))
	}
	for u := range 1 << 16 {
		want := float16.Frombits(uint16(u)).Float32()
		if got := Float(uint16(u)); !same(got, want) {
			t.Fatalf("Float(%#04x) = %g, want %g", u, got, want)
		}
		next := float16.Frombits(uint16(u) + 1).Float32()
		for _, f := range []float32{want, math.Nextafter32(want, 9e9), math.Nextafter32(want, -9e9), (want + next) / 2, math.Nextafter32((want+next)/2, 9e9)} {
			got, want := Float(Half(f)), float16.Fromfloat32(f).Float32()
			if !same(got, want) {
				t.Fatalf("Half(%g) = %g, want %g", f, got, want)
			}
		}
	}
}

func TestHalvesReportsOverflow(t *testing.T) {
	dst := make([]byte, 4)
	if !encodeF16(dst, []float32{65504, -65519}) {
		t.Error("values that round to 65504 were reported as infinite")
	}
	if encodeF16(dst, []float32{1, 65520}) {
		t.Error("65520, which rounds beyond the range, was not reported")
	}
}

func TestExp(t *testing.T) {
	for x := float32(0); x > -87; x -= 0.0137 {
		got, want := float64(exp(x)), math.Exp(float64(x))
		if math.Abs(got-want) > 2e-7*want {
			t.Fatalf("exp(%g) = %g, want %g", x, got, want)
		}
	}
	if exp(-88) != 0 || exp(float32(math.Inf(-1))) != 0 || exp(0) != 1 {
		t.Error("exp is wrong at its ends")
	}
}

// TestRope checks that a rotation there and back is none, and that a logit depends on the distance alone.
func TestRope(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, gptj := range []bool{false, true} {
		rope := Rope{InvFreq: []float64{1, 0.3, 0.01}, GPTJ: gptj}
		q, k := make([]float32, 8), make([]float32, 8) // two dimensions are not rotated
		for i := range q {
			q[i], k[i] = float32(r.NormFloat64()), float32(r.NormFloat64())
		}
		turned := append([]float32(nil), k...)
		rope.Rotate(turned, 1234)
		if turned[6] != k[6] || turned[7] != k[7] || turned[0] == k[0] {
			t.Error("a rotation must change the rotated dimensions and no other")
		}
		rope.Rotate(turned, -1234)
		for i := range k {
			if math.Abs(float64(turned[i]-k[i])) > 1e-6 {
				t.Errorf("gptj=%v: there and back gives %g, want %g", gptj, turned[i], k[i])
			}
		}
		at := func(n float64) float64 {
			a, b := append([]float32(nil), q...), append([]float32(nil), k...)
			rope.Rotate(a, 100+n)
			rope.Rotate(b, 60+n)
			return LogitExact(a, b, 1)
		}
		if math.Abs(at(0)-at(777)) > 1e-5 {
			t.Errorf("gptj=%v: the logit depends on the position: %g and %g", gptj, at(0), at(777))
		}
	}
}

// TestTurn checks that the first rows alone are rotated, across blocks.
func TestKeyShift(t *testing.T) {
	const dim = 2
	rope := Rope{InvFreq: []float64{1}}
	k := make([]uint16, 200*dim)
	for i := range k {
		k[i] = Half(1)
	}
	want := append([]float32(nil), make([]float32, len(k))...)
	Floats(want, k)
	for i := range 70 {
		rope.Rotate(want[i*dim:(i+1)*dim], 3)
	}
	got := make([]float32, len(k))
	Floats(got, k)
	shift := KeyShift{Rope: rope, Rows: 70, Delta: 3}
	for lo := 0; lo < 200; lo += block {
		shift.apply(got[lo*dim:min(lo+block, 200)*dim], dim, lo)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("row %d: %g, want %g", i/dim, got[i], want[i])
		}
	}
}

func TestPool(t *testing.T) {
	for _, threads := range []int{1, 2, 5} {
		p := NewPool(threads)
		if p.Threads() != threads {
			t.Errorf("Threads() = %d, want %d", p.Threads(), threads)
		}
		for _, n := range []int{0, 1, 3, 1000} {
			counts := make([]atomic.Int32, n)
			p.Run(n, func(worker, i int) {
				if worker < 0 || worker >= threads {
					t.Errorf("worker %d of %d", worker, threads)
				}
				counts[i].Add(1)
			})
			for i := range counts {
				if c := counts[i].Load(); c != 1 {
					t.Errorf("threads=%d n=%d: part %d ran %d times", threads, n, i, c)
				}
			}
		}
		p.Close()
	}
	var none *Pool
	sum := 0
	none.Run(4, func(_, i int) { sum += i })
	if sum != 6 || none.Threads() != 1 {
		t.Error("a nil pool must run everything on the caller")
	}
}
