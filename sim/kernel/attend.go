package kernel

import "math"

const (
	// Chunk is how many entries one partial result covers. Results are merged in index order, so that
	// they do not depend on how many threads computed them.
	Chunk = 1024

	// block is how many rows are widened at a time: 64 rows of 64 to 128 floats stay in the L1 cache
	// while every query head of the group reads them.
	block = 64
)

// Partial is the softmax state of one query head over one chunk: the largest logit, the sum of
// exp(logit-Max), and the values weighted by the same.
type Partial struct {
	Max, Sum float32
	Acc      []float32 // [dim]
}

// Scratch is what one thread needs to attend; it is reused from call to call.
type Scratch struct {
	rows   []float32 // [block][dim]
	logits []float32 // [heads][block]
}

// NewScratch makes room for heads query heads on rows of dim values.
func NewScratch(heads, dim int) *Scratch {
	return &Scratch{rows: make([]float32, block*dim), logits: make([]float32, heads*block)}
}

// AttendHalf computes, for each query head of a group, the softmax state over the n rows of one chunk.
//
//	logit[h][i] = q[h] . k[i]
//	Acc[h]      = sum over i of exp(logit[h][i]-Max[h]) * v[i]
//
// q is [heads][dim] and carries the softmax scale already; k and v are [n][dim] in binary16, n at most
// Chunk; out holds one Partial a head. Each key and value row is read once for all heads. turn, where
// not empty, rotates the first rows of the chunk before they are used.
func AttendHalf(q []float32, dim int, k, v []uint16, turn *Turn, s *Scratch, out []Partial) {
	heads := len(q) / dim
	n := len(k) / dim
	for h := range out {
		out[h].Max, out[h].Sum = float32(math.Inf(-1)), 0
		clear(out[h].Acc)
	}
	for lo := 0; lo < n; lo += block {
		hi := min(lo+block, n)
		rows := s.rows[:(hi-lo)*dim]
		Floats(rows, k[lo*dim:hi*dim])
		turn.apply(rows, dim, lo)
		for h := range heads {
			qh := q[h*dim : (h+1)*dim]
			logits := s.logits[h*block : h*block+hi-lo]
			for i := range logits {
				logits[i] = Dot(qh, rows[i*dim:(i+1)*dim])
			}
			out[h].exps(logits)
		}
		Floats(rows, v[lo*dim:hi*dim])
		for h := range heads {
			acc := out[h].Acc
			for i, p := range s.logits[h*block : h*block+hi-lo] {
				Axpy(p, rows[i*dim:(i+1)*dim], acc)
			}
		}
	}
}

// exps turns a block of logits into exp(logit-Max) in place, raising Max and rescaling what was summed
// before where the block holds a larger logit.
func (p *Partial) exps(logits []float32) {
	m := p.Max
	for _, x := range logits {
		m = max(m, x)
	}
	if m > p.Max && p.Sum > 0 {
		c := exp(p.Max - m)
		p.Sum *= c
		for i := range p.Acc {
			p.Acc[i] *= c
		}
	}
	p.Max = m
	for i, x := range logits {
		e := exp(x - m)
		logits[i] = e
		p.Sum += e
	}
}

// Merge combines the states of one query head in the order of their chunks and writes the attention
// output, [dim]. The head's states are parts[first], parts[first+step] and so on.
func Merge(parts []Partial, first, step int, out []float32) {
	m := float32(math.Inf(-1))
	for i := first; i < len(parts); i += step {
		m = max(m, parts[i].Max)
	}
	clear(out)
	var sum float32
	for i := first; i < len(parts); i += step {
		c := exp(parts[i].Max - m)
		sum += c * parts[i].Sum
		Axpy(c, parts[i].Acc, out)
	}
	for i := range out {
		out[i] /= sum
	}
}

// exp returns e^x for x <= 0 with a relative error below 2e-7: 2^n * 2^f with f in [-1/2, 1/2], where 2^f
// is its Taylor polynomial of degree 7. Below -87 it is zero.
func exp(x float32) float32 {
	if x < -87 {
		return 0
	}
	y := float64(x) * math.Log2E // in float64, since float32 would lose the fraction of a large y
	n := math.RoundToEven(y)
	f := float32(y - n)
	// Horner's scheme on the Taylor coefficients ln(2)^i / i!.
	p := 0.0000152527338*f + 0.000154035304
	p = p*f + 0.00133335581
	p = p*f + 0.00961812911
	p = p*f + 0.0555041087
	p = p*f + 0.240226507
	p = p*f + 0.693147181
	p = p*f + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}
