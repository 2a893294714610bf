package method

import (
	"fmt"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "mla", Family: Latent,
		Summary: "one latent row per token and layer, from which every head reads its keys and values",
		Reduces: "rank",
		Paper:   "DeepSeek-AI 2024, arXiv:2405.04434, section 2.1; conversion: TransMLA, arXiv:2502.07864, MHA2MLA, arXiv:2502.14837, Palu, arXiv:2407.21118",
		Code:    "fxmeng/TransMLA transmla/transformers (decoupled); JT-Ushio/MHA2MLA (partial)",
		Params: []Param{
			{Name: "rank", Min: 1, Max: 1 << 20, Auto: "4.5 head_dim together with what keeps its rotary embedding", Help: "channels of the latent row"},
			{Name: "rope", Kind: Choice, Default: "post", Choices: []string{"post", "pre", "decoupled", "partial"}, Help: "keys in the latent: as cached; before the rotary embedding and rebuilt at each step; or with the embedding kept on rope_dim shared dimensions, or on those of every KV head, and removed from the rest"},
			{Name: "rope_dim", Min: 2, Max: 1 << 20, Auto: "decoupled: head_dim/2; partial: head_dim/8 a KV head", Help: "dimensions that keep the embedding"},
			{Name: "pairs", Kind: Choice, Default: "high", Choices: []string{"high", "low", "uniform", "2-norm"}, Help: "partial: the frequencies that keep it"},
			{Name: "balance", Kind: Real, Default: "1", Help: "weight of values against keys in the basis"},
		},
		Knob: "rank",
		Seed: []string{"mla"},
		New:  newMLA,
	})
}

// mla converts a model by the basis that holds most of the energy of its keys and values side by side,
// fitted on a calibration text: the optimum for that text, not what a model trained with latents would have.
// Queries and outputs absorb the basis, so that a step scores and weighs the latent rows themselves.
type mla struct {
	rank    int // 0: by the head dimension
	rope    string
	ropeDim int // 0: by the head dimension
	pairs   string
	balance float64
}

var (
	_ Method = mla{}
	_ Fitter = mla{}
	_ Tuner  = mla{}
)

func newMLA(a Args) (Method, error) {
	m := mla{rank: a.Int("rank"), rope: a["rope"], ropeDim: a.Int("rope_dim"), pairs: a["pairs"], balance: a.Real("balance")}
	kept := m.rope == "decoupled" || m.rope == "partial"
	switch {
	case a.Given("rope_dim") && !kept:
		return nil, fmt.Errorf("rope_dim=%s: only rope=decoupled and rope=partial keep the embedding on some dimensions", a["rope_dim"])
	case m.ropeDim%2 == 1:
		return nil, fmt.Errorf("rope_dim=%d: want an even number, the embedding turns pairs", m.ropeDim)
	case m.pairs != "high" && m.rope != "partial":
		return nil, fmt.Errorf("pairs=%s: only rope=partial chooses pairs", m.pairs)
	}
	return m, nil
}

// sizes resolves the defaults: 4.5 head dimensions stored per token, as a native model has.
func (m mla) sizes(c Cell) (rank, ropeDim int) {
	d := c.HeadDim
	rank, ropeDim = m.rank, m.ropeDim
	switch m.rope {
	case "decoupled":
		if ropeDim == 0 {
			ropeDim = max(2, d/4*2)
		}
		if rank == 0 {
			rank = 4 * d
		}
	case "partial":
		if ropeDim == 0 {
			ropeDim = max(2, d/16*2)
		}
		if rank == 0 {
			rank = max(d, 4*d+d/2-c.Heads*ropeDim)
		}
	default:
		if rank == 0 {
			rank = 4*d + d/2
		}
	}
	return rank, ropeDim
}

// stored is how many channels a token's row has.
func (m mla) stored(c Cell) int {
	rank, ropeDim := m.sizes(c)
	if m.rope == "partial" {
		return rank + c.Heads*ropeDim
	}
	return rank + ropeDim
}

// Settings are the ranks that save something.
func (m mla) Settings(c Cell) []string {
	rank, _ := m.sizes(c)
	return integers(1, c.Heads*(c.Dim+c.VDim)-(m.stored(c)-rank)-1)
}

// Fit refuses a latent that saves nothing, but for the full rank, which is exact, and forms that undo the
// rotary embedding where there is none to undo.
func (m mla) Fit(c Cell) (Cell, error) {
	rank, ropeDim := m.sizes(c)
	full := c.Heads * (c.Dim + c.VDim)
	stored := m.stored(c)
	switch {
	case m.rope != "post" && !c.HasRope:
		return c, fmt.Errorf("rope=%s needs keys of single heads under a rotary embedding whose frequencies the trace names", m.rope)
	case ropeDim > c.RopeDims:
		return c, fmt.Errorf("rope_dim=%d is more than the %d dimensions that are rotated", ropeDim, c.RopeDims)
	case stored >= full && !(rank == full && ropeDim == 0):
		return c, fmt.Errorf("%d stored values per token are not fewer than %d", stored, full)
	}
	c.Heads, c.Dim, c.VDim, c.Folded, c.HasRope, c.Latent = 1, stored, rank, true, false, true
	c.Rebuilt = m.rope == "pre"
	return c, nil
}

// Decide is not called: the basis is always fitted.
func (m mla) Decide(c Cell, v *cache.View) (cache.Decision, error) { return m.FitMap(c, v) }

// Fits says that the basis is fitted.
func (mla) Fits() bool { return true }

// FitMap fits the basis.
func (m mla) FitMap(c Cell, on *cache.View) (cache.Decision, error) {
	rank, ropeDim := m.sizes(c)
	var d cache.Decision
	switch m.rope {
	case "post":
		d.Map = newAbsorbed(on, on.K, rank, m.balance)
	case "pre":
		d.Map = newRebuilt(on, rank, m.balance)
	case "partial":
		d.Map = newSplitRope(on, partialDims(on, ropeDim, m.pairs), nil, rank, m.balance)
	default:
		mix := mixing(on)
		d.Map = newSplitRope(on, decoupledDims(on, mix, ropeDim), mix, rank, m.balance)
	}
	d.Weights = 2 * int64(rank) * int64(on.Heads()*(on.Dim+on.VDim))
	if on.Rows(0) < rank {
		d.Warnings = []cache.Warning{{
			Code: "underdetermined",
			Text: fmt.Sprintf("the basis of rank %d was fitted on %d tokens: the rest of it is zero", rank, on.Rows(0)),
		}}
	}
	return d, nil
}
