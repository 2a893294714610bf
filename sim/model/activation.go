package model

import (
	"math"

	"kvgauge/sim/kernel"
)

// Activation is what an MLP makes of its gate before it multiplies the other half.
type Activation struct {
	kind         activationKind
	alpha, limit float32 // of clampedSwiGLU
}

type activationKind int

const (
	silu activationKind = iota
	geluTanh
	gelu
	clampedSwiGLU
)

// activations by the names of transformers (ACT2FN).
var activations = map[string]activationKind{
	"silu": silu, "swish": silu, "gelu_pytorch_tanh": geluTanh, "gelu_new": geluTanh, "gelu": gelu,
}

// activation reads the field of an activation.
func activation(f *fields, name string) Activation {
	if !f.has(name) {
		f.fail(name, "missing, want silu, gelu or gelu_pytorch_tanh")
	}
	word := f.word(name, "silu", "silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh")
	return Activation{kind: activations[word]}
}

// apply sets gate to the product of its activation with up, of equal length. Three of the activations are x times the
// sigmoid of something:
//
//	silu           x * sigmoid(x)
//	geluTanh       x * sigmoid(2*sqrt(2/pi) * (x + 0.044715 x^3))
//	gelu           x * (1 + erf(x/sqrt(2))) / 2
//	clampedSwiGLU  x * sigmoid(alpha*x), of x up to limit, times 1 + up, of up within limit
func (a Activation) apply(gate, up []float32) {
	var room [256]float32
	for lo := 0; lo < len(gate); lo += len(room) {
		hi := min(lo+len(room), len(gate))
		x, y, s := gate[lo:hi], up[lo:hi], room[:hi-lo]
		switch a.kind {
		case silu:
			kernel.Sigmoid(s, x)
		case geluTanh:
			const twice = 2 * 0.7978845608028654 // 2*sqrt(2/pi)
			for i, v := range x {
				s[i] = twice * (v + 0.044715*v*v*v)
			}
			kernel.Sigmoid(s, s)
		case gelu:
			for i, v := range x {
				s[i] = float32(0.5 * (1 + math.Erf(float64(v)/math.Sqrt2)))
			}
		case clampedSwiGLU:
			for i, v := range x {
				x[i] = min(v, a.limit)
				s[i] = a.alpha * x[i]
				y[i] = 1 + max(-a.limit, min(y[i], a.limit))
			}
			kernel.Sigmoid(s, s)
		}
		for i, v := range x {
			x[i] = v * s[i] * y[i]
		}
	}
}
