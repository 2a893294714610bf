package trace

import (
	"math"
	"slices"
)

// sameTokens is how many tokens are compared at most.
const sameTokens = 2048

// SameText says whether two traces of a model hold one text: the keys of the first layer that both have differ by less than a
// hundredth over the tokens that both have. What formats round away lies below that.
func SameText(a, b *Trace) (bool, error) {
	i := slices.IndexFunc(a.Layers, func(layer int) bool { return slices.Contains(b.Layers, layer) })
	if i < 0 {
		return false, nil
	}
	n := min(a.Tokens, b.Tokens, sameTokens)
	x, err := a.Read(a.Layers[i], n, n)
	if err != nil {
		return false, err
	}
	y, err := b.Read(a.Layers[i], n, n)
	if err != nil {
		return false, err
	}
	if len(x.K) != len(y.K) {
		return false, nil
	}
	var difference, length float64
	for h, keys := range x.K {
		if len(keys) != len(y.K[h]) {
			return false, nil
		}
		for i, k := range keys {
			d := float64(k - y.K[h][i])
			difference, length = difference+d*d, length+float64(k)*float64(k)
		}
	}
	return math.Sqrt(difference) < 0.01*math.Sqrt(length), nil
}
