package kernel

import "math"

// The exponential of every path: x = n*ln 2 + f with |f| <= ln(2)/2, in two steps so that f keeps its bits,
// and e^f from Cephes' polynomial (S. Moshier, expf), whose relative error is below 1e-7.
const (
	expLeast = -87 // below it the result is zero: 2^n would be subnormal
	log2e    = 1.44269504
	ln2Hi    = 0.693359375    // ten bits, so that n*ln2Hi is exact
	ln2Lo    = -2.12194440e-4 // ln 2 - ln2Hi
	expC2    = 5.0000001201e-1
	expC3    = 1.6666665459e-1
	expC4    = 4.1665795894e-2
	expC5    = 8.3334519073e-3
	expC6    = 1.3981999507e-3
	expC7    = 1.9875691500e-4
)

// exp returns e^x for x <= 0 with a relative error below 2e-7, and zero below -87.
func exp(x float32) float32 {
	if !(x >= expLeast) {
		return 0
	}
	n := float32(math.RoundToEven(float64(x * log2e)))
	f := float32(x - n*ln2Hi)
	f -= n * ln2Lo
	p := float32(expC7)*f + expC6
	p = p*f + expC5
	p = p*f + expC4
	p = p*f + expC3
	p = p*f + expC2
	p = p*f*f + f + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}
