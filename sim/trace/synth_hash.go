package trace

import (
	"math"
	"sync"
)

// Purposes of a hash, so that no two draws share their numbers by accident.
const (
	forText    uint64 = iota // what Options.Seed and the parameter text make of each other
	forHeads                 // strengths of a head; structure
	forBias                  // directions that a head keeps for every token; structure
	forPairs                 // pairs of dimensions that carry a head's content; structure
	forValues                // basis of a head's values; structure
	forContent               // what a token says
	forTopic                 // what the text around it is about
	forSearch                // what a query head is looking for
	forHeavy                 // which tokens most queries attend to
	forNoiseK
	forNoiseV
	forNoiseQ
	forNeedles
	forUpK // weights of a head that make keys of latents
	forUpV // and values
	forNoiseNope
)

// golden is 2^64 divided by the golden ratio, the increment of splitmix64.
const golden = 0x9e3779b97f4a7c15

// mix64 is the finalizer of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
// generators, OOPSLA 2014; constants of Stafford's variant 13).
func mix64(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// keyed hashes words, whose order matters, into the key of a stream of numbers.
func keyed(words ...uint64) uint64 {
	var h uint64
	for _, w := range words {
		h = mix64(h + golden ^ w)
	}
	return h
}

// uniform returns the number in [0, 1) that belongs to a key.
func uniform(key uint64) float64 { return float64(mix64(key+golden)>>11) * 0x1p-53 }

// between returns the number in [lo, hi) that belongs to a key.
func between(key uint64, lo, hi float64) float64 { return lo + (hi-lo)*uniform(key) }

// quantileBits says how finely the normal distribution is tabulated: its values are those of 4096 equally
// likely steps, between -3.7 and 3.7.
const quantileBits = 12

// quantiles is the table of the standard normal distribution, 16 KiB.
var quantiles = sync.OnceValue(func() *[1 << quantileBits]float32 {
	var t [1 << quantileBits]float32
	for i := range t {
		p := (float64(i) + 0.5) / (1 << quantileBits)
		t[i] = float32(math.Sqrt2 * math.Erfinv(2*p-1))
	}
	return &t
})

// normals fills dst with the first standard normal numbers of a key's stream: splitmix64 steps, five
// numbers a step.
func normals(dst []float32, key uint64) {
	const last = 1<<quantileBits - 1
	table := quantiles()
	for ; len(dst) >= 5; dst = dst[5:] {
		key += golden
		u := mix64(key)
		dst[0] = table[u&last]
		dst[1] = table[u>>quantileBits&last]
		dst[2] = table[u>>(2*quantileBits)&last]
		dst[3] = table[u>>(3*quantileBits)&last]
		dst[4] = table[u>>(4*quantileBits)&last]
	}
	u := mix64(key + golden)
	for i := range dst {
		dst[i] = table[u&last]
		u >>= quantileBits
	}
}
