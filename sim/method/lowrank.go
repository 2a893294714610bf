package method

import (
	"errors"
	"fmt"
	"strconv"
)

func init() {
	Register(Info{
		Name: "lowrank", Family: Latent,
		Summary: "keys and values each in a basis of lower rank: of a group of heads, or of all heads of a group of layers",
		Reduces: "rank",
		Paper:   "Chang et al. 2024 (Palu), arXiv:2407.21118, section 3; Chang et al. 2025 (xKV), arXiv:2503.18893, section 3",
		Code:    "shadowpa0327/Palu; abdelfattah-lab/xKV",
		Params: []Param{
			{Name: "kind", Kind: Choice, Default: "palu", Choices: []string{"palu", "xkv"}, Help: "palu: groups of heads, every token; xkv: groups of layers, the prompt, with a basis of its own"},
			{Name: "rope", Kind: Choice, Default: "pre", Choices: []string{"pre", "post"}, Help: "palu: keys in the latent before the rotary embedding and rebuilt at each step, or as cached and absorbed"},
			{Name: "heads", Default: "4", Min: 1, Max: 1 << 16, Help: "palu: KV heads of a group, at most; their largest divisor is taken"},
			{Name: "layers", Default: "2", Min: 1, Max: 1 << 16, Help: "xkv: consecutive layers of a group; where they do not divide the model's the first group is short"},
			{Name: "k_rank", Min: 1, Max: 1 << 20, Auto: "palu: 0.7 of the group's channels in steps of 32; xkv: an eighth", Help: "channels of a latent key"},
			{Name: "v_rank", Min: 1, Max: 1 << 20, Auto: "palu: as k_rank; xkv: three times k_rank; at most the group's channels", Help: "channels of a latent value"},
		},
		Knob: "k_rank",
		New:  newLowRank,
	})
}

// ranks are the channels of latent keys and values; 0 is by default.
type ranks struct{ k, v int }

// of resolves the defaults k and v. Where the key rank alone is given the value rank is in their proportion, up
// to the channels of the group's values.
func (r ranks) of(k, v, vWidth int) ranks {
	k, v = max(1, k), max(1, v)
	switch {
	case r.v == 0 && r.k == 0:
		r.v = v
	case r.v == 0:
		r.v = min(max(1, r.k*v/k), vWidth)
	}
	if r.k == 0 {
		r.k = k
	}
	return r
}

// acceptedRanks are the key ranks up to a width that a method accepts.
func acceptedRanks(width int, accepts func(k int) error) []string {
	var ranks []string
	for k := 1; k <= width; k++ {
		if accepts(k) == nil {
			ranks = append(ranks, strconv.Itoa(k))
		}
	}
	return ranks
}

// beyond is the error of a rank that is wider than what it stands for.
func (r ranks) beyond(width, vWidth int) error {
	if r.k > width || r.v > vWidth {
		return fmt.Errorf("k_rank=%d and v_rank=%d: a group has only %d channels of keys and %d of values", r.k, r.v, width, vWidth)
	}
	return nil
}

// errRope says what undoing the rotary embedding needs.
var errRope = errors.New("needs keys of single heads under a rotary embedding whose frequencies the trace names")

func newLowRank(a Args) (Method, error) {
	r := ranks{a.Int("k_rank"), a.Int("v_rank")}
	if a["kind"] == "xkv" {
		switch {
		case a["rope"] != "pre":
			return nil, fmt.Errorf("rope=%s: only kind=palu stores keys as they are cached", a["rope"])
		case a["heads"] != "4":
			return nil, fmt.Errorf("heads=%s: only kind=palu makes groups of heads", a["heads"])
		}
		return xkv{ranks: r, layers: a.Int("layers")}, nil
	}
	if a["layers"] != "2" {
		return nil, fmt.Errorf("layers=%s: only kind=xkv makes groups of layers", a["layers"])
	}
	return palu{ranks: r, heads: a.Int("heads"), post: a["rope"] == "post"}, nil
}
