package method

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "cla", Family: Sharing,
		Summary: "consecutive layers share the keys and values of the lowest; every layer still reads them",
		Reduces: "layers",
		Paper:   "Brandon et al. 2024, arXiv:2405.12981, section 2.2 and figure 2",
		Params: []Param{
			{Name: "factor", Default: "2", Min: 1, Max: 1 << 16, Help: "layers that share; where it does not divide their number the first group is short"},
			{Name: "pattern", Kind: Choice, Default: "uniform", Choices: []string{"uniform", "keepends", "densefront", "denseback"}, Help: "where the groups lie: everywhere, or not at the ends, or behind or before the middle"},
			{Name: "producers", Kind: List, Max: 1 << 16, Auto: "by factor and pattern", Help: "layers that make keys and values; each serves those up to the next"},
			{Name: "scores", Kind: Choice, Default: "mean", Choices: []string{"mean", "producer"}, Help: "eviction after it scores by the mean over a group's layers, or by the lowest"},
			calibratedParam,
		},
		Knob:     "factor",
		Seed:     []string{"cla", "cla:calibrated=on"},
		Variants: []string{"factor=3", "pattern=keepends", "producers=0/1/4", "calibrated=on"},
		Lossless: []string{"factor=1"},
		Combined: []string{"mqa+cla:factor=3", "mqa:calibrated=on+cla:calibrated=on"},
		Traits:   where("calibrated", "on", Recodes),
		New:      newCLA,
	})
}

// cla is cross-layer attention (Brandon et al. 2024), made of a model whose layers have caches of their own: a layer
// reads its producer's rows with its own queries. That is what sharing costs without training for it; a model trained
// with shared layers is another matter.
type cla struct {
	factor     int
	pattern    string
	producers  []int // explicit; else by factor and pattern
	producer   bool  // scores of the lowest layer alone
	calibrated bool
}

var (
	_ grouper = cla{}
	_ fitter  = cla{}
	_ tuner   = cla{}
)

func newCLA(a Args) (Method, error) {
	m := cla{
		factor: a.Int("factor"), pattern: a["pattern"], producers: a.Ints("producers"),
		producer: a["scores"] == "producer", calibrated: a["calibrated"] == "on",
	}
	if m.producers != nil && (m.producers[0] != 0 || !slices.IsSorted(m.producers) || len(slices.Compact(slices.Clone(m.producers))) != len(m.producers)) {
		return nil, fmt.Errorf("producers=%s: want layers in ascending order, the first 0", a["producers"])
	}
	return m, nil
}

// starts returns the producers of a model of n layers.
func (m cla) starts(n int) []int {
	if m.producers != nil {
		return slices.DeleteFunc(slices.Clone(m.producers), func(l int) bool { return l >= n })
	}
	// The paper's figures of a 20-layer model: keepends leaves the first and the last layer to themselves,
	// densefront shares only from layer 9 on up to the last but one, denseback only layers 2 to 10.
	lo, hi := 0, n // layers outside are their own producers
	switch m.pattern {
	case "keepends":
		lo, hi = 1, n-1
	case "densefront":
		return append(ranged(0, max(1, n/2)), n-1)
	case "denseback":
		return append([]int{0, 1}, ranged(max(2, n-(n/2-1)), n)...)
	}
	starts := ranged(0, lo)
	if hi > lo {
		groups := (hi - lo + m.factor - 1) / m.factor
		starts = append(starts, lo)
		for l := lo + (hi - lo) - m.factor*(groups-1); l < hi; l += m.factor {
			starts = append(starts, l)
		}
	}
	starts = append(starts, ranged(hi, n)...)
	slices.Sort(starts)
	return slices.DeleteFunc(slices.Compact(starts), func(l int) bool { return l >= n })
}

// ranged returns lo, lo+1, ... hi-1.
func ranged(lo, hi int) []int {
	var s []int
	for i := lo; i < hi; i++ {
		s = append(s, i)
	}
	return s
}

// groups splits the layers by their producers. A cell that holds part of a group only cannot be measured.
func (m cla) groups(layers []int, numLayers int) ([][]int, error) {
	starts := m.starts(numLayers)
	var groups [][]int
	for i, first := range starts {
		end := numLayers
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		var held []int
		for l := first; l < end; l++ {
			if slices.Contains(layers, l) {
				held = append(held, l)
			}
		}
		switch {
		case len(held) == 0:
		case len(held) < end-first:
			return nil, fmt.Errorf("layers %s share a cache; only %s of them are here", listed(ranged(first, end)), listed(held))
		default:
			groups = append(groups, held)
		}
	}
	return groups, nil
}

// listed joins layer numbers.
func listed(layers []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(layers), " ", ", "), "[]")
}

// settings are the factors that the cell holds whole groups of, those with the fewest groups first. Where the
// producers do not follow from the factor there are none.
func (m cla) settings(c Cell) []string {
	if m.producers != nil || m.pattern == "densefront" || m.pattern == "denseback" {
		return nil
	}
	groups := map[string]int{}
	var settings []string
	for m.factor = c.NumLayers; m.factor >= 1; m.factor-- {
		if held, err := m.groups(c.Layers, c.NumLayers); err == nil {
			text := strconv.Itoa(m.factor)
			groups[text] = len(held)
			settings = append(settings, text)
		}
	}
	slices.SortStableFunc(settings, func(a, b string) int { return groups[a] - groups[b] })
	return settings
}

// Fit refuses a cell with part of a group, and rows that the stage before made for each layer by fit.
func (m cla) Fit(c Cell) (Cell, error) {
	if _, err := m.groups(c.Layers, c.NumLayers); err != nil {
		return c, err
	}
	if !m.calibrated {
		return c, unfitted(c, "heads were shared with maps fitted for each layer: cla after it needs calibrated=on")
	}
	c.Heads, c.Dim, c.VDim, c.Folded, c.HasRope = 1, c.Heads*c.Dim, c.Heads*c.VDim, true, false
	return c, nil
}

// Decide shares: the rows of the group's lowest layer are the view's already.
func (m cla) Decide(c Cell, _ *cache.View) (cache.Decision, error) {
	return cache.Decision{Merge: true, Producer: m.producer, Warnings: m.alone(c)}, nil
}

// size is that of one layer's rows.
func (m cla) size(_ Cell, layers []int, s *cache.Size) error {
	s.Layers = 1
	if m.producer {
		s.Voters = 1
	}
	return nil
}

// alone is the warning that no layer shares the cache of another.
func (m cla) alone(c Cell) []cache.Warning {
	groups, _ := m.groups(c.Layers, c.NumLayers) // as Fit has checked
	if slices.ContainsFunc(groups, func(g []int) bool { return len(g) > 1 }) {
		return nil
	}
	return nothingChanged("every layer makes its own cache: none is shared")
}

// fits says whether maps between layers are fitted.
func (m cla) fits() bool { return m.calibrated }

// fitMap fits the rows of each layer of the group by maps of the producer's: keys by maps across heads that
// commute with the rotary embedding, values by any. A query head then reads all stored heads at once.
func (m cla) fitMap(c Cell, on *cache.View) (cache.Decision, error) {
	fold := cache.Linear{Encode: cache.Concat{}, Group: on.Group(), Key: map[int][]cache.Matrix{}, Value: map[int][]cache.Matrix{}}
	numbers := 0
	for i, layer := range on.Makers() {
		var keys, values []cache.Matrix
		if i > 0 {
			var err error
			if keys, err = keyMaps(on.Rope, on.K, on.Peers[i-1].K, on.Dim); err != nil {
				return cache.Decision{}, err
			}
			if values, err = valueMaps(on.V, on.Peers[i-1].V, on.VDim); err != nil {
				return cache.Decision{}, err
			}
		}
		reads := make([]read, on.Heads())
		c.Pool.Run(on.Heads(), func(_, j int) {
			own := sharedRows{
				k: on.K, v: on.V,
				plainKey:  selection(on.Heads()*on.Dim, on.Dim, j*on.Dim, 0),
				plainVal:  selection(on.VDim, on.Heads()*on.VDim, 0, j*on.VDim),
				keyNumber: keyNumbers(on.Rope, on.Heads(), on.Dim), valNumber: on.VDim * on.Heads() * on.VDim,
			}
			reads[j] = read{own.plainKey, own.plainVal, 0}
			if i > 0 {
				reads[j] = own.choose(on, on.Q[i][j*on.Group():(j+1)*on.Group()], on.Rules[i][j*on.Group():(j+1)*on.Group()], on.Peers[i-1].K[j], on.Peers[i-1].V[j], keys[j], values[j])
			}
		})
		for _, r := range reads {
			fold.Key[layer], fold.Value[layer] = append(fold.Key[layer], r.key), append(fold.Value[layer], r.value)
			numbers += r.numbers
		}
	}
	readersFold(fold, on)
	return cache.Decision{Map: fold, Merge: true, Producer: m.producer, Weights: 2 * int64(numbers), Warnings: m.alone(c)}, nil
}
