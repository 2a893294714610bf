package method

import (
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "expectedattention", Family: Eviction,
		Summary: "prompt entries that queries to come are expected to attend to, were they like the prompt's",
		Reduces: "entries",
		Paper:   "Devoto et al. 2025, arXiv:2510.00636",
		Code:    "NVIDIA/kvpress kvpress/presses/expected_attention_press.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head, sinks included"},
			{Name: "future", Default: "512", Min: 1, Max: 1 << 20, Help: "positions after the prompt that the rotary embedding is averaged over"},
			{Name: "sinks", Default: "4", Max: 1 << 20, Help: "first tokens that stay, and whose queries do not count"},
		},
		Variants: []string{"future=3"},
		Combined: []string{"cla+expectedattention"},
		New: func(a Args) (Method, error) {
			return expectedAttention{a.Budget("budget"), a.Int("future"), a.Int("sinks")}, nil
		},
	})
}

// expectedAttention is the attention expected of future queries (Devoto et al. 2025): it takes queries before the
// rotary embedding for normally distributed, and rotates their mean and covariance by the mean rotation of the
// positions to come. The expected attention of a key is then that of a log-normal variable, and its score is this
// times the length of its value. As in the code, the expectation is that of scaled products: a soft cap, ALiBi and sinks
// have no part in it, nor which of the queries to come can read a key.
type expectedAttention struct {
	budget        Entries
	future, sinks int
}

// Fit refuses a budget that the sinks fill, a trace without the prompt's queries, and keys that stages before
// have made into something else.
func (m expectedAttention) Fit(c Cell) (Cell, error) {
	switch err := roomFor(c, m.sinks, "sinks", m.budget); {
	case err != nil || m.budget.Of(c.SeqLen) >= c.Prompt():
		return c, err
	case !c.HasRope:
		return c, errors.New("needs keys under a rotary embedding whose frequencies the trace names")
	}
	return c, queriesFrom(c, m.sinks, "the prompt's queries from token %d on", m.sinks)
}

// Decide keeps the sinks and the best of the rest.
func (m expectedAttention) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget := m.budget.Of(c.SeqLen)
	if budget >= v.Rows(0) {
		return keepBest(c, v, budget, nil), nil
	}
	angles, rotation := newAngles(v, m.sinks), m.meanRotation(v)
	expected := make([][][]float64, v.QHeads()) // [query head][layer][row after the sinks]
	c.Pool.Run(len(expected), func(_, h int) {
		for l, layer := range v.Q {
			mean, cov := angles.queries(v, layer[h], rotation)
			logits := expectedLogits(v.K[h/v.Group()][m.sinks*v.Dim:], mean, cov, v.Rules[l][h].Scale)
			softmax(logits)
			expected[h] = append(expected[h], logits)
		}
	})
	return keepBest(c, v, budget, func(j int) []float64 { return m.scores(v, j, expected) }), nil
}

// size is that of the budget.
func (m expectedAttention) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// meanRotation is the mean rotation of the positions to come, for each pair of channels.
func (m expectedAttention) meanRotation(v *cache.View) []complex128 {
	mean := make([]complex128, len(v.Rope.InvFreq))
	for p, w := range v.Rope.InvFreq {
		for n := range m.future {
			sin, cos := math.Sincos(w * float64(v.Tokens()+n))
			mean[p] += complex(cos, sin) / complex(float64(m.future), 0)
		}
	}
	return mean
}

// scores returns those of a stored head's rows: the mean over the query heads that read them.
func (m expectedAttention) scores(v *cache.View, j int, expected [][][]float64) []float64 {
	group := v.Group()
	scores := make([]float64, v.Rows(j))
	for _, head := range expected[j*group : (j+1)*group] {
		for _, layer := range head {
			floats.AddScaled(scores[m.sinks:], 1/float64(group*len(v.Q)), layer)
		}
	}
	for i := range scores {
		if i < m.sinks {
			scores[i] = math.Inf(1)
		} else {
			scores[i] *= math.Sqrt(square(row(v.V[j], v.VDim, i)))
		}
	}
	return scores
}

// momentTokens is how many tokens are summed in float32, before the sum goes on in float64.
const momentTokens = 512

// angles are the sines and cosines of the prompt's positions, sinks apart, that take the rotary embedding back: one
// table for all heads.
type angles struct {
	first    int       // token
	tokens   int       // from it on
	sin, cos []float32 // [pair][tokens]
}

func newAngles(v *cache.View, sinks int) angles {
	a := angles{first: sinks, tokens: v.Tokens() - sinks}
	a.sin, a.cos = make([]float32, len(v.Rope.InvFreq)*a.tokens), make([]float32, len(v.Rope.InvFreq)*a.tokens)
	const exact = 64 // positions from one sine to the next; between them each is the one before times a rotation
	for p, w := range v.Rope.InvFreq {
		sin1, cos1 := math.Sincos(-w)
		step, at := complex(cos1, sin1), complex128(0)
		for t := range a.tokens {
			if at *= step; t%exact == 0 {
				sin, cos := math.Sincos(-w * float64(a.first+t))
				at = complex(cos, sin)
			}
			a.sin[p*a.tokens+t], a.cos[p*a.tokens+t] = float32(imag(at)), float32(real(at))
		}
	}
	return a
}

// queries returns the mean [dim] and the covariance [dim][dim] of a query head's queries, sinks apart, as
// the positions to come rotate them. The covariance divides by their number.
func (a angles) queries(v *cache.View, q []float32, rotation []complex128) (mean []float64, cov []float64) {
	dim := v.Dim
	still := a.unrotated(v, q) // [part][channel][momentTokens]
	mean, cov = make([]float64, dim), make([]float64, dim*dim)
	for at := 0; at < len(still); at += momentTokens {
		mean[at/momentTokens%dim] += sum(still[at:at+momentTokens]) / float64(a.tokens)
	}
	product, ones := make([]float32, dim*dim), slices.Repeat([]float32{1}, momentTokens)
	for lo := 0; lo < len(still); lo += momentTokens * dim {
		part, tokens := still[lo:lo+momentTokens*dim], min(momentTokens, a.tokens-lo/dim)
		for d := range mean {
			kernel.Axpy(-float32(mean[d]), ones[:tokens], part[d*momentTokens:][:tokens])
		}
		const columns = 32 // that are multiplied together, with the rows below them: the rest is symmetric
		for d := 0; d < dim; d += columns {
			kernel.Multiply(part[d*momentTokens:], part[d*momentTokens:min(d+columns, dim)*momentTokens], momentTokens, product[d*dim+d:], dim)
		}
		for i, x := range product {
			cov[i] += float64(x) / float64(a.tokens)
		}
	}
	for d := range dim {
		for e := range d {
			cov[e*dim+d] = cov[d*dim+e]
		}
	}
	for p, z := range rotation {
		rotate(v.Rope, mean, p, z)
		for e := range dim { // times R transposed
			rotate(v.Rope, cov[e*dim:(e+1)*dim], p, z)
		}
		x, y := v.Rope.Pair(p) // R times
		for e := range dim {
			column := complex(cov[x*dim+e], cov[y*dim+e]) * z
			cov[x*dim+e], cov[y*dim+e] = real(column), imag(column)
		}
	}
	return mean, cov
}

// unrotated returns queries as they were before the rotary embedding, channel by channel in parts of momentTokens
// tokens: [part][channel][momentTokens], zeros after the last token.
func (a angles) unrotated(v *cache.View, q []float32) []float32 {
	dim := v.Dim
	parts := (a.tokens + momentTokens - 1) / momentTokens
	still := make([]float32, parts*dim*momentTokens)
	q = q[(a.first-v.FirstQuery)*dim:]
	rotated := make([]bool, dim)
	for p := range v.Rope.InvFreq {
		x, y := v.Rope.Pair(p)
		rotated[x], rotated[y] = true, true
	}
	columns := make([]float32, dim*kernel.Columns) // of some tokens, channel by channel
	for lo := 0; lo < a.tokens; lo += kernel.Columns {
		n := min(kernel.Columns, a.tokens-lo)
		kernel.Transpose(columns, q[lo*dim:(lo+n)*dim], dim)
		part := still[lo/momentTokens*momentTokens*dim+lo%momentTokens:]
		for d := range dim {
			if !rotated[d] {
				copy(part[d*momentTokens:][:n], columns[d*kernel.Columns:])
			}
		}
		for p := range v.Rope.InvFreq {
			x, y := v.Rope.Pair(p)
			sin, cos := a.sin[p*a.tokens+lo:][:n], a.cos[p*a.tokens+lo:][:n]
			ofX, ofY := columns[x*kernel.Columns:][:n], columns[y*kernel.Columns:][:n]
			toX, toY := part[x*momentTokens:][:n], part[y*momentTokens:][:n]
			for t, qx := range ofX {
				toX[t], toY[t] = float32(qx*cos[t])-float32(ofY[t]*sin[t]), float32(qx*sin[t])+float32(ofY[t]*cos[t])
			}
		}
	}
	return still
}

// expectedLogits returns those of the keys k [rows][dim], with queries of that mean and covariance [dim][dim]:
// scale*k.mean + scale*scale*k.cov.k/2.
func expectedLogits(k []float32, mean, cov []float64, scale float64) []float64 {
	const together = 64 // keys
	dim := len(mean)
	narrow := make([]float32, dim*dim)
	for i, x := range cov {
		narrow[i] = float32(x)
	}
	out := make([]float64, len(k)/dim)
	spread := make([]float32, together*dim) // cov.k of some keys
	for lo := 0; lo < len(out); lo += together {
		n := min(together, len(out)-lo)
		kernel.Multiply(k[lo*dim:(lo+n)*dim], narrow, dim, spread, dim)
		for i := range n {
			key := row(k, dim, lo+i)
			out[lo+i] = scale*dot(key, mean) + scale*scale/2*float64(kernel.Dot(key, row(spread, dim, i)))
		}
	}
	return out
}
