package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestBalanced: each axis of a group may be scaled at will, the error of a group follows the scales: what comes back is
// within half a step of what was evened out. 13824 bytes hold 128 tokens of 128 channels, keys in 4 bits and values in 2.
func TestBalanced(t *testing.T) {
	const n, dim = 128, 128
	r := rand.New(rand.NewPCG(7, 8))
	rows := make([]float32, n*dim)
	for i := range rows {
		rows[i] = float32(r.NormFloat64() * math.Exp(float64(i%dim%7)/3) * math.Exp(float64(i/dim%5)/3))
	}
	bytes := int64(0)
	for _, alongChannels := range []bool{true, false} {
		bits := 2
		if alongChannels {
			bits = 4
		}
		l := Layout{Format: Blocked, Blocks: Balanced(bits, alongChannels), Tokens: n, Residual: ResidualWindow{Flush: n}}
		got, plain := l.Rows(dim, n), Layout{Format: Blocked, Blocks: Codes(bits), Tokens: n, Residual: ResidualWindow{Flush: n}}
		other := plain.Rows(dim, n)
		for i := range n {
			got.Append(rows[i*dim : (i+1)*dim])
			other.Append(rows[i*dim : (i+1)*dim])
		}
		if !got.Flush(make([]float32, l.Room(dim))) || !other.Flush(make([]float32, plain.Room(dim))) {
			t.Fatal("finite rows were reported as infinite")
		}
		bytes += got.Bytes()
		var sum, sumOther float64
		a, b := make([]float32, dim), make([]float32, dim)
		for i := range n {
			got.Row(i, a)
			other.Row(i, b)
			for c, x := range rows[i*dim : (i+1)*dim] {
				sum += float64(x-a[c]) * float64(x-a[c])
				sumOther += float64(x-b[c]) * float64(x-b[c])
			}
		}
		if sum > 0.8*sumOther {
			t.Errorf("along channels %v: squared error %g, %g where channels alone are scaled", alongChannels, sum, sumOther)
		}
	}
	if bytes != 13824 {
		t.Errorf("%d bytes a group, want 13824", bytes)
	}
}

// TestBalance: factors that were multiplied into the channels and the tokens of noise are found again. No factor is
// below exp(-0.3), so that few tokens are the wider ones.
func TestBalancer(t *testing.T) {
	const n, dim = 256, 256
	r := rand.New(rand.NewPCG(9, 10))
	rows := make([]float32, n*dim)
	for i := range rows {
		rows[i] = float32(r.NormFloat64()) * float32(1+i%dim%4)
		if i/dim%32 == 0 {
			rows[i] *= 2
		}
	}
	b := newBalancer(rows, n, dim, make([]float32, balanceRoom(n, dim)))
	b.balance(true)
	if u := b.uneven(0) + b.uneven(1); u > 2.02 {
		t.Errorf("spreads of tokens and of channels are %g uneven, want 2", u)
	}
	for i, y := range rows {
		if x := b.x[i] * b.tokens[i/dim] * b.channels[i%dim]; math.Abs(float64(x-y)) > 1e-4*math.Abs(float64(y)) {
			t.Fatalf("%g came back as %g", y, x)
		}
	}
	if ratio := b.channels[3] / b.channels[0]; math.Abs(float64(ratio)-4) > 0.8 {
		t.Errorf("a channel four times as wide has %g times the factor", ratio)
	}
}
