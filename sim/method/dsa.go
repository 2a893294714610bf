package method

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "dsa", Family: Selection,
		Summary: "reads one set of entries for all heads of a layer: a stand-in for a trained index",
		Reduces: "reads",
		Paper:   "DeepSeek-AI 2025, DeepSeek-V3.2-Exp report, section 2",
		Code:    "deepseek-ai/DeepSeek-V3.2-Exp inference/model.py (Indexer), inference/kernel.py",
		Params: []Param{
			{Name: "topk", Default: "2048", Min: 1, Max: 1 << 30, Help: "entries that a step reads"},
			{Name: "index", Kind: Choice, Default: "fit", Choices: []string{"fit", "oracle"}, Help: "a linear index fitted on queries and keys, or the exact probabilities"},
			{Name: "dim", Default: "128", Min: 1, Max: 1 << 20, Help: "index=fit: channels of an index key, at most those of all KV heads"},
		},
		New: newDSA,
	})
}

// dsa stands in for DeepSeek's sparse attention, whose index is computed from hidden states by trained weights
// and so cannot be replayed on a trace.
//
// With index=oracle a step reads the entries with the largest exact probability summed over all query heads: no
// one set for all heads holds more of that mass. Nothing is stored for it. With index=fit each token stores
// an index key of its own, in E4M3 with one power-of-two scale, and a step reads the entries whose index keys
// have the largest product with its index query. That is the best linear image, for the queries that it was
// fitted on, of the sum of all heads' logits. Neither is the accuracy of a model that was trained so.
type dsa struct {
	top, dim int
	oracle   bool
}

var (
	_ Method = dsa{}
	_ Fitter = dsa{}
)

func newDSA(a Args) (Method, error) {
	m := dsa{a.Int("topk"), a.Int("dim"), a["index"] == "oracle"}
	if m.oracle && a["dim"] != "128" {
		return nil, fmt.Errorf("dim=%s: index=oracle has no index keys", a["dim"])
	}
	return m, nil
}

// Fit refuses entries that move, heads that hold different tokens, and a trace without prompt queries to fit on.
func (m dsa) Fit(c Cell) (Cell, error) {
	switch {
	case c.Moving || c.Thinned:
		return c, fmt.Errorf("reads one set of tokens for all heads, which an eviction before it does not leave them")
	case m.Fits() && c.FirstQuery >= c.Prompt():
		return c, fmt.Errorf("needs queries of the prompt; the trace holds those from token %d on", c.FirstQuery)
	}
	return c, still(c)
}

// Fits says that the index is fitted.
func (m dsa) Fits() bool { return !m.oracle }

// Decide is that of the oracle.
func (m dsa) Decide(Cell, *cache.View) (cache.Decision, error) {
	return cache.Decision{Select: oracleSelector{m.top}, Warnings: []cache.Warning{{
		Code: "dsa-oracle", Text: "the entries that a step reads are chosen by their exact probabilities: a bound, not the accuracy of DeepSeek's trained index",
	}}}, nil
}

// FitMap fits the index. With C the second moment of the queries, summed over each KV head's group and put side
// by side, and A its Cholesky factor, the logits summed over all heads are (A^-1 q).(A^T k) with A^-1 q of
// unit second moment, so that the keys' principal directions after A^T are what the index is to keep.
func (m dsa) FitMap(_ Cell, on *cache.View) (cache.Decision, error) {
	width := on.Heads() * on.Dim
	queries := mat.NewDense(on.Queries()*len(on.Q), width, nil)
	for l, layer := range on.Q {
		for i := range on.Queries() {
			row := queries.RawRowView(l*on.Queries() + i)
			for h, q := range layer {
				for d, x := range q[i*on.Dim : (i+1)*on.Dim] {
					row[h/on.Group()*on.Dim+d] += float64(x)
				}
			}
		}
	}
	moment := mat.NewSymDense(width, nil)
	moment.SymOuterK(1, queries.T())
	ridge := damping * mat.Trace(moment) / float64(width)
	if ridge == 0 {
		ridge = 1 // all queries are zero: any index reads as well as another
	}
	for i := range width {
		moment.SetSym(i, i, moment.At(i, i)+ridge)
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(moment) {
		return cache.Decision{}, errFit
	}
	var lower mat.TriDense
	cholesky.LTo(&lower)
	var keys, toKey, toQuery, inverse mat.Dense
	keys.Mul(sideBySide(on.K, on.Dim, 1), &lower)
	axes := principal(&keys, min(m.dim, width))
	toKey.Mul(axes.T(), lower.T())
	if err := inverse.Inverse(&lower); err != nil {
		return cache.Decision{}, errFit
	}
	toQuery.Mul(axes.T(), &inverse)
	s := indexSelector{top: m.top, key: matrix(&toKey), query: matrix(&toQuery)}
	return cache.Decision{
		Select:  s,
		Weights: 2 * int64(len(s.key.Data)+len(s.query.Data)),
		Warnings: []cache.Warning{{
			Code: "dsa-fit", Text: "the entries that a step reads are chosen by a linear index that was fitted: a stand-in, not the accuracy of DeepSeek's trained index",
		}},
	}, nil
}
