package method

import (
	"errors"
	"math"

	"kvgauge/sim/cache"
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
// times the length of its value.
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
	var rotation []complex128
	if m.budget.Of(c.SeqLen) < v.Rows(0) {
		rotation = m.meanRotation(v)
	}
	return keepBest(c, v, m.budget.Of(c.SeqLen), func(j int) []float64 { return m.scores(v, j, rotation) }), nil
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
func (m expectedAttention) scores(v *cache.View, j int, rotation []complex128) []float64 {
	rows, group := v.Rows(j), v.Group()
	scores := make([]float64, rows)
	for _, layer := range v.Q {
		for _, q := range layer[j*group : (j+1)*group] {
			mean, cov := m.queries(v, q, rotation)
			for i, p := range expected(v.K[j][m.sinks*v.Dim:], mean, cov, v.Scale) {
				scores[m.sinks+i] += p / float64(group*len(v.Q))
			}
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

// queries returns the mean [dim] and the covariance [dim][dim] of a query head's queries, sinks apart, as
// the positions to come rotate them. The covariance divides by their number.
func (m expectedAttention) queries(v *cache.View, q []float32, rotation []complex128) (mean []float64, cov [][]float64) {
	dim, n := v.Dim, v.Tokens()-m.sinks
	still := make([]float64, 0, n*dim) // before the rotary embedding
	mean = make([]float64, dim)
	for t := m.sinks; t < v.Tokens(); t++ {
		for _, a := range row(q, dim, t-v.FirstQuery) {
			still = append(still, float64(a))
		}
		x := still[len(still)-dim:]
		for p, w := range v.Rope.InvFreq {
			sin, cos := math.Sincos(-w * float64(t))
			rotate(v.Rope, x, p, complex(cos, sin))
		}
		for d, a := range x {
			mean[d] += a / float64(n)
		}
	}
	cov = make([][]float64, dim)
	for d := range cov {
		cov[d] = make([]float64, dim)
	}
	for ; len(still) > 0; still = still[dim:] {
		x := still[:dim]
		for d := range x {
			x[d] -= mean[d]
		}
		for d, a := range x {
			for e, b := range x[:d+1] {
				cov[d][e] += a * b / float64(n)
			}
		}
	}
	for d := range cov {
		for e := range d {
			cov[e][d] = cov[d][e]
		}
	}
	for p, z := range rotation {
		rotate(v.Rope, mean, p, z)
		for _, x := range cov { // times R transposed
			rotate(v.Rope, x, p, z)
		}
		a, b := v.Rope.Pair(p) // R times
		for e := range dim {
			column := complex(cov[a][e], cov[b][e]) * z
			cov[a][e], cov[b][e] = real(column), imag(column)
		}
	}
	return mean, cov
}

// expected returns the softmax over the keys k [rows][dim] of their expected logits: with queries of that mean
// and covariance, scale*k.mean + scale*scale*k.cov.k/2.
func expected(k []float32, mean []float64, cov [][]float64, scale float64) []float64 {
	dim := len(mean)
	out := make([]float64, len(k)/dim)
	x := make([]float64, dim)
	for i := range out {
		for d, a := range row(k, dim, i) {
			x[d] = float64(a) * scale
		}
		for d, a := range x {
			var s float64
			for e, b := range cov[d] {
				s += b * x[e]
			}
			out[i] += a * (mean[d] + s/2)
		}
	}
	softmax(out)
	return out
}
