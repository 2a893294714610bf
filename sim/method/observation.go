package method

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// observation scores the prompt by the attention of its last queries, the observation window: the common
// part of SnapKV, PyramidKV and the methods after them.
type observation struct {
	budget  Entries // window included
	window  int     // queries
	kernel  int     // pooling width, odd
	pooling string  // max, avg or none
	agg     string  // how the query heads of a group become one score: mean, max or sum
	query   bool    // decide and store per query head, as the official code does
	before  bool    // the window's own keys take no part of its queries' probabilities

	interval int // tokens after which it decides again; 0: once, at the end of the prompt
}

// observationParams declares the parameters of every method that embeds an observation. The defaults 8, 7
// and max are those of KVCache-Factory's benchmark scripts.
func observationParams() []Param {
	return []Param{
		{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head, window included"},
		{Name: "window", Default: "8", Min: 1, Max: 1 << 20, Help: "last prompt queries that score, and keys always kept"},
		{Name: "kernel", Default: "7", Min: 1, Max: 1<<20 - 1, Odd: true, Help: "width of the pooling over positions"},
		{Name: "pool", Kind: Choice, Default: "max", Choices: []string{"max", "avg", "none"}, Help: "pooling of scores over positions"},
		{Name: "agg", Kind: Choice, Default: "mean", Choices: []string{"mean", "max", "sum"}, Help: "scores of a group's query heads to one"},
		{Name: "layout", Kind: Choice, Default: "kv", Choices: []string{"kv", "query"}, Help: "one kept set per KV head, or per query head with K and V repeated"},
	}
}

// newObservation reads the parameters of observationParams.
func newObservation(a Args) observation {
	return observation{
		budget: a.Budget("budget"), window: a.Int("window"), kernel: a.Int("kernel"),
		pooling: a["pool"], agg: a["agg"], query: a["layout"] == "query", interval: a.Int("interval"),
	}
}

// observed returns itself, from the methods that embed it.
func (o observation) observed() observation { return o }

var _ repeater = observation{}

// every makes a repeater of the methods that declare an interval.
func (o observation) every() (tokens, queries int) { return o.interval, o.window }

// Fit refuses a cell whose budget leaves nothing to choose, or whose window queries the trace lacks.
func (o observation) Fit(c Cell) (Cell, error) {
	if o.interval > 0 {
		return o.fit(c, c.SeqLen) // decides on decoded entries too, by the last prompt queries where they are recent
	}
	return o.fit(c, c.Prompt())
}

// fit is Fit where prompts are scored whose budget is below whole.
func (o observation) fit(c Cell, whole int) (Cell, error) {
	err := roomFor(c, o.window, "window", o.budget)
	if err == nil && o.budget.Of(c.SeqLen) < whole {
		err = lastQueries(c, o.window)
	}
	if o.query {
		c.Heads = c.QHeads
	}
	return c, err
}

// decide keeps, for each stored head, the best entries before the window and the window itself: keep
// entries in all. Where that is everything nothing is scored.
func (o observation) decide(c Cell, v *cache.View, keep int) cache.Decision {
	d := o.stored(v)
	rows := v.Rows(0)
	if keep >= rows {
		return d
	}
	prefix := rows - o.window
	for _, scores := range o.scores(c, v) {
		top := topK(scores, max(0, keep-o.window))
		d.Keep = append(d.Keep, append(top, span(max(prefix, rows-keep), rows)...))
	}
	return d
}

// stored is the decision that only lays heads out.
func (o observation) stored(v *cache.View) cache.Decision {
	d, _, _ := laidOut(v, o.query)
	return d
}

// laidOut is the decision that stores heads as they are, or repeated for the query heads, with their number and how
// many query heads read each.
func laidOut(v *cache.View, query bool) (d cache.Decision, heads, group int) {
	if !query {
		return d, v.Heads(), v.Group()
	}
	if v.Group() > 1 {
		d.Map = repeat(v.Heads(), v.Group())
	}
	return d, v.QHeads(), 1
}

// scores returns the pooled scores of the rows before the window: [stored head][rows - window].
//
// Each window query's softmax runs over all keys up to itself, the window's own among them; the score of
// a key is the sum of its probabilities over the window's queries. Sums are in float64.
func (o observation) scores(c Cell, v *cache.View) [][]float64 {
	group := v.Group()
	perQuery := make([][]float64, v.QHeads())
	c.Pool.Run(v.QHeads(), func(_, h int) { perQuery[h] = o.queryHead(v, h) })
	if o.query {
		group = 1
	}
	out := make([][]float64, v.QHeads()/group)
	for j := range out {
		out[j] = pooled(aggregate(perQuery[j*group:(j+1)*group], o.agg), o.pooling, o.kernel)
	}
	return out
}

// queryHead sums a query head's probabilities over the window's queries, as the mean over the layers that
// share the store.
func (o observation) queryHead(v *cache.View, h int) []float64 {
	rows := v.Rows(0)
	prefix := rows - o.window
	j := h / v.Group()
	sees := lastSights(v, j, o.window)
	for i := range sees {
		if o.before {
			sees[i].Rows = prefix
		}
	}
	sum := make([]float64, prefix)
	for l, layer := range v.Q {
		q := layer[h][len(layer[h])-o.window*v.Dim:]
		logits, lse := kernel.LogitsExact(q, v.Dim, v.Rules[l][h], v.K[j], v.Pos[j], sees)
		for s := range sees {
			seen := logits[s*rows:][:prefix]
			kernel.Exps(seen, seen, lse[s])
			floats.Add(sum, seen)
		}
	}
	floats.Scale(1/float64(len(v.Q)), sum)
	return sum
}

// aggregate reduces the scores of a group's query heads to one.
func aggregate(heads [][]float64, agg string) []float64 {
	out := append([]float64(nil), heads[0]...)
	for _, s := range heads[1:] {
		for i, x := range s {
			if agg == "max" {
				out[i] = max(out[i], x)
			} else {
				out[i] += x
			}
		}
	}
	if agg == "mean" {
		for i := range out {
			out[i] /= float64(len(heads))
		}
	}
	return out
}

// pooled smooths scores over positions, stride 1. Average pooling divides by the full width at the edges,
// where zeros are padded; maximum pooling pads with minus infinity.
func pooled(scores []float64, pooling string, width int) []float64 {
	if pooling == "none" || width == 1 {
		return scores
	}
	half := width / 2
	out := make([]float64, len(scores))
	for i := range out {
		lo, hi := max(0, i-half), min(len(scores), i+half+1)
		if pooling == "max" {
			m := math.Inf(-1)
			for _, x := range scores[lo:hi] {
				m = max(m, x)
			}
			out[i] = m
			continue
		}
		var sum float64
		for _, x := range scores[lo:hi] {
			sum += x
		}
		out[i] = sum / float64(width)
	}
	return out
}

// repeat is the map that copies each head for every query head of its group.
func repeat(heads, group int) cache.MeanHeads {
	var p cache.MeanHeads
	for j := range heads {
		for range group {
			p.Of = append(p.Of, []int{j})
		}
	}
	return p
}

// padded returns scores as kvpress's SnapKV gives them, [stored head][rows]: the mean probability over the
// window's queries, pooled; and for each of the window's own rows one more than the largest of any head, so
// that the window is kept, but as rows with a score and not beside them.
func (o observation) padded(c Cell, v *cache.View) [][]float64 {
	scores := o.scores(c, v)
	var largest float64
	for _, head := range scores {
		for i := range head {
			head[i] /= float64(o.window)
			largest = max(largest, head[i])
		}
	}
	for j := range scores {
		for range o.window {
			scores[j] = append(scores[j], largest+1)
		}
	}
	return scores
}
