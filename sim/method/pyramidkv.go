package method

import (
	"fmt"
	"math"
	"slices"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "pyramidkv", Family: Eviction,
		Summary: "as snapkv, with more entries in low layers than in high ones",
		Reduces: "entries",
		Paper:   "Cai et al. 2024, arXiv:2406.02069, section 4",
		Code:    "Zefan-Cai/KVCache-Factory pyramidkv/pyramidkv_utils.py (PyramidKVCluster); NVIDIA/kvpress kvpress/presses/pyramidkv_press.py",
		Params: append(observationParams(),
			Param{Name: "beta", Default: "20", Min: 1, Max: 1 << 20, Help: "steepness: the top layer gets 1/beta of the mean"},
			Param{Name: "shape", Kind: Choice, Default: "pyramid", Choices: []string{"pyramid", "flat", "inverted"}, Help: "the schedule, the same total spread evenly, or the schedule reversed"},
			Param{Name: "rounding", Kind: Choice, Default: "code", Choices: []string{"code", "exact"}, Help: "the code's floored step, which exceeds the budget, or a total that meets it"},
			Param{Name: "variant", Kind: Choice, Default: "kvcache-factory", Choices: []string{"kvcache-factory", "kvpress"}, Help: "whose schedule"},
			intervalParam,
		),
		Seed: []string{"pyramidkv"},
		Variants: []string{
			"shape=flat", "shape=inverted", "rounding=exact", "rounding=exact,shape=flat", "variant=kvpress", "window=5",
			"interval=8,layout=query",
		},
		Traits: always(Uneven),
		New: func(a Args) (Method, error) {
			return pyramidKV{newObservation(a), a.Int("beta"), a["shape"], a["rounding"], a["variant"]}, nil
		},
	})
}

// pyramidKV is pyramidal budgets (Cai et al. 2024): SnapKV with a budget that falls arithmetically from the first to
// the last layer of the model. Layers are counted by the model's own numbers, so that a trace that holds some of them
// gets the budgets that they have in the whole model.
//
// Differs from the paper, as the code does: the step is floored, so that the total exceeds the budget.
type pyramidKV struct {
	observation
	beta                     int
	shape, rounding, variant string
}

var _ tuner = pyramidKV{}

// settings are the budgets by the entries that their schedules keep in the cell's layers: where the floored
// step rises by one, a larger budget keeps fewer.
func (m pyramidKV) settings(c Cell) []string {
	total := map[string]int{}
	settings := integers(m.window+1, c.Prompt())
	for i, text := range settings {
		m.budget = Entries{Count: m.window + 1 + i}
		keep := slices.Repeat([]int{c.Prompt()}, c.scheduled())
		if m.budget.Count < c.Prompt() {
			keep, _ = m.schedule(c, c.Prompt())
		}
		for _, l := range c.Layers {
			total[text] += min(keep[c.place(l)], c.Prompt())
		}
	}
	slices.SortStableFunc(settings, func(a, b string) int { return total[a] - total[b] })
	return settings
}

// Decide keeps the layer's share of the budget.
func (m pyramidKV) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	keep, warnings := m.entries(c, v)
	d := m.decide(c, v, keep)
	d.Warnings = warnings
	return d, nil
}

// size is that of the layer's share.
func (m pyramidKV) size(c Cell, layers []int, s *cache.Size) error {
	if m.budget.Of(c.SeqLen) < c.Prompt() {
		keep, _ := m.schedule(c, c.Prompt())
		s.Keep(keep[c.place(layers[0])])
	}
	return nil
}

// entries is the layer's share.
func (m pyramidKV) entries(c Cell, v *cache.View) (int, []cache.Warning) {
	budget, rows := m.budget.Of(c.SeqLen), c.Prompt()
	if budget >= rows {
		return v.Rows(0), aboveLength(budget, rows, "prompt")
	}
	keep, warnings := m.schedule(c, rows)
	return keep[c.place(v.Layers[0])], warnings
}

// schedule returns the entries that each layer of the model keeps of a prompt of rows tokens, window
// included.
func (m pyramidKV) schedule(c Cell, rows int) (keep []int, warnings []cache.Warning) {
	if m.variant == "kvpress" {
		keep, warnings = m.kvpress(c, rows)
	} else {
		keep, warnings = m.factory(c, rows)
	}
	switch m.shape {
	case "inverted":
		slices.Reverse(keep)
	case "flat":
		total := 0
		for _, n := range keep {
			total += n
		}
		for l := range keep {
			keep[l] = total / len(keep)
			if l < total%len(keep) {
				keep[l]++
			}
		}
	}
	return keep, warnings
}

// factory is KVCache-Factory's schedule: integers throughout, and no pyramid for a prompt shorter than
// twice the budget.
func (m pyramidKV) factory(c Cell, rows int) ([]int, []cache.Warning) {
	layers, prefix := c.scheduled(), rows-m.window
	base := m.budget.Of(c.SeqLen) - m.window
	if rows < 2*base || layers == 1 {
		return slices.Repeat([]int{base + m.window}, layers), []cache.Warning{{
			Code: "schedule-uniform",
			Text: fmt.Sprintf("prompt of %d tokens is below twice the budget before the window, %d: every layer keeps the same", rows, 2*base),
		}}
	}
	low := base / m.beta
	high := 2*base - low
	var warnings []cache.Warning
	if high >= prefix {
		warnings = clampedWarning(high, prefix)
		high = prefix
		low = 2*base - high
	}
	keep := make([]int, layers)
	for l := range keep {
		keep[l] = high - l*((high-low)/(layers-1)) + m.window
	}
	if m.rounding == "exact" {
		keep = m.exact(base, prefix, layers)
	}
	return keep, warnings
}

// exact is the paper's schedule with a total of exactly base*layers: real-valued budgets, floored, and the
// remainder given to the lowest layers that have room.
func (m pyramidKV) exact(base, prefix, layers int) []int {
	low := float64(base) / float64(m.beta)
	high := 2*float64(base) - low
	if high >= float64(prefix) {
		high = float64(prefix)
		low = 2*float64(base) - high
	}
	keep := make([]int, layers)
	rest := base * layers
	for l := range keep {
		keep[l] = int(math.Floor(high - float64(l)*(high-low)/float64(layers-1)))
		rest -= keep[l]
	}
	for l := 0; rest > 0; l = (l + 1) % layers {
		if keep[l] < prefix {
			keep[l]++
			rest--
		}
	}
	for l := range keep {
		keep[l] += m.window
	}
	return keep
}

// kvpress is the schedule of NVIDIA's library: real-valued, rounded at the end, the window inside the
// budget, and the same number everywhere where the pyramid does not fit. Sums and quotients are taken in the
// library's order: where a layer's share lies halfway between two numbers their rounding decides.
func (m pyramidKV) kvpress(c Cell, rows int) ([]int, []cache.Warning) {
	layers, prefix, window := c.scheduled(), float64(rows-m.window), float64(m.window)
	even := m.budget.kvpress(c.SeqLen, 1, 1)
	base := window + even - window
	low := base / float64(m.beta)
	high := 2*base - low
	var warnings []cache.Warning
	if high >= prefix {
		warnings = clampedWarning(int(high), rows-m.window)
		high = prefix
		low = 2*base - high
	}
	if !(float64(rows) >= high && high >= low && low >= window) || layers == 1 {
		return slices.Repeat([]int{int(math.RoundToEven(even))}, layers), []cache.Warning{{
			Code: "schedule-uniform",
			Text: fmt.Sprintf("the smallest layer would keep %.0f entries, below the window of %d: every layer keeps the same", low, m.window),
		}}
	}
	step := (high - low) / float64(layers-1)
	keep := make([]int, layers)
	for l := range keep {
		keep[l] = int(math.RoundToEven(high - float64(float64(l)*step)))
	}
	return keep, warnings
}

func clampedWarning(high, prefix int) []cache.Warning {
	return []cache.Warning{{
		Code: "clamped",
		Text: fmt.Sprintf("the lowest layer's share of %d exceeds the %d entries before the window: the pyramid is flatter", high, prefix),
	}}
}
