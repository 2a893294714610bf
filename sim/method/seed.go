package method

import "math/rand/v2"

// stream is a source of random numbers of its own for a layer, head and position.
func stream(seed uint64, layer, head, pos int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(layer)<<48|uint64(head)<<32|uint64(pos)))
}
