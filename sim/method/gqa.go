package method

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"kvgauge/sim/cache"
	"kvgauge/sim/record"
)

// initParam declares how a shared head is made from the heads of its group.
var initParam = Param{
	Name: "init", Kind: Choice, Default: "mean", Choices: []string{"mean", "first", "random"},
	Help: "a shared head is its group's mean, its first head, or noise of the group's mean and variance",
}

// calibratedParam declares whether maps are fitted to what sharing takes away.
var calibratedParam = Param{
	Name: "calibrated", Kind: Choice, Default: "off", Choices: []string{"off", "on"},
	Help: "fit maps that heads read the shared rows by, on --calibrate or else on the prompt",
}

func init() {
	Register(Info{
		Name: "gqa", Family: Sharing,
		Summary: "fewer KV heads, each shared by a group of query heads, converted from the trace's by pooling",
		Reduces: "heads",
		Paper:   "Ainslie et al. 2023, arXiv:2305.13245, section 2.1 (before uptraining)",
		Params: []Param{
			{Name: "heads", Min: 1, Max: 1 << 16, Auto: "largest proper divisor of the trace's KV heads", Help: "KV heads to keep"},
			initParam, calibratedParam,
		},
		Knob:     "heads",
		Seed:     []string{"gqa"},
		Variants: []string{"heads=1", "init=random", "calibrated=on,heads=1"},
		Lossless: []string{"heads=4"},
		Traits:   where("heads", "", Large),
		New: func(a Args) (Method, error) {
			return gqa{heads: a.Int("heads"), init: a["init"], calibrated: a["calibrated"] == "on"}, nil
		},
	})
}

// gqa is grouped-query attention (Ainslie et al. 2023): it stores heads KV heads; head c stands for consecutive heads
// of the trace, c*(G/heads) and those after it. Pooling rows after the rotary embedding equals pooling the projection
// weights, since the embedding rotates all heads of a position alike.
type gqa struct {
	heads int // 0: the largest proper divisor of the trace's
	init  string
	// calibrated lets each head of a group read the shared rows by maps of its own: keys by a complex number
	// for each frequency pair, which commutes with the rotary embedding, values by any matrix.
	calibrated bool
}

var (
	_ fitter = gqa{}
	_ tuner  = gqa{}
)

// Fit refuses a number of heads that does not divide the trace's, and the default where it would be mqa.
func (m gqa) Fit(c Cell) (Cell, error) {
	heads := m.target(c.Heads)
	switch {
	case m.heads == 0 && heads <= 1:
		return c, fmt.Errorf("gqa would be mqa: %d KV heads have no divisor between 1 and themselves", c.Heads)
	case heads > c.Heads || c.Heads%heads != 0:
		return c, fmt.Errorf("heads=%d does not divide %s", heads, record.Count(c.Heads, "KV head", ""))
	}
	c.Folded = c.Folded || m.calibrated && heads < c.Heads
	c.Heads = heads
	return c, nil
}

// settings are the divisors of the KV heads.
func (gqa) settings(c Cell) []string {
	return slices.DeleteFunc(integers(1, c.Heads), func(text string) bool {
		n, _ := strconv.Atoi(text)
		return c.Heads%n != 0
	})
}

// target is the number of heads that are stored for a trace of kvHeads.
func (m gqa) target(kvHeads int) int {
	if m.heads > 0 {
		return m.heads
	}
	n := kvHeads - 1
	for n > 1 && kvHeads%n != 0 {
		n--
	}
	return n
}

// Decide pools each group of consecutive heads.
func (m gqa) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	if m.target(v.Heads()) == v.Heads() {
		return m.unchanged(v), nil
	}
	return cache.Decision{Map: m.headMap(c, v)}, nil
}

// size is that of the shape.
func (gqa) size(Cell, []int, *cache.Size) error { return nil }

// unchanged is the decision for a layer that has as many KV heads as are asked for.
func (gqa) unchanged(v *cache.View) cache.Decision {
	return cache.Decision{Warnings: nothingChanged("KV heads: %d already, as many as are asked for; none is pooled", v.Heads())}
}

// fits says whether maps are fitted.
func (m gqa) fits() bool { return m.calibrated }

// fitMap fits each head's maps on the pooled rows, for every layer that the view holds.
func (m gqa) fitMap(cell Cell, on *cache.View) (cache.Decision, error) {
	if m.target(on.Heads()) == on.Heads() {
		return m.unchanged(on), nil
	}
	shared := m.headMap(cell, on)
	pooled := on.Apply(cache.Decision{Map: shared})
	fold := cache.Linear{Encode: shared, Group: on.Group(), Key: map[int][]cache.Matrix{}, Value: map[int][]cache.Matrix{}}
	numbers := 0
	for i, layer := range on.Makers() {
		k, v, sharedK, sharedV := on.K, on.V, pooled.K, pooled.V
		if i > 0 {
			k, v, sharedK, sharedV = on.Peers[i-1].K, on.Peers[i-1].V, pooled.Peers[i-1].K, pooled.Peers[i-1].V
		}
		size := len(k) / len(sharedK)
		for c := range sharedK {
			group := sharedRows{
				k: sharedK[c : c+1], v: sharedV[c : c+1],
				plainKey: selection(on.Dim, on.Dim, 0, 0), plainVal: selection(on.VDim, on.VDim, 0, 0),
				keyNumber: keyNumbers(on.Rope, 1, on.Dim), valNumber: on.VDim * on.VDim,
			}
			keys, err := keyMaps(on.Rope, group.k, k[c*size:(c+1)*size], on.Dim)
			if err != nil {
				return cache.Decision{}, err
			}
			values, err := valueMaps(group.v, v[c*size:(c+1)*size], on.VDim)
			if err != nil {
				return cache.Decision{}, err
			}
			reads := make([]read, size)
			cell.Pool.Run(size, func(_, g int) {
				j := c*size + g
				reads[g] = group.choose(on, on.Q[i][j*on.Group():(j+1)*on.Group()], on.Rules[i][j*on.Group():(j+1)*on.Group()], k[j], v[j], keys[g], values[g])
			})
			for _, r := range reads {
				fold.Key[layer], fold.Value[layer] = append(fold.Key[layer], r.key), append(fold.Value[layer], r.value)
				numbers += r.numbers
			}
		}
	}
	readersFold(fold, on)
	return cache.Decision{Map: fold, Weights: 2 * int64(numbers)}, nil
}

// headMap returns the map that makes the shared heads.
func (m gqa) headMap(c Cell, v *cache.View) cache.Map {
	heads := m.target(v.Heads())
	size := v.Heads() / heads
	var of [][]int
	for c := range heads {
		group := []int{c * size}
		for j := 1; j < size && m.init != "first"; j++ {
			group = append(group, c*size+j)
		}
		of = append(of, group)
	}
	if m.init == "random" {
		return newNoise(c.Seed, v, of)
	}
	return cache.MeanHeads{Of: of}
}

// noise is the map of init=random. The paper initialises a new head from scratch; on a trace the nearest
// is a row of independent Gaussians with the mean and variance that the group's rows have in each
// dimension. A position's row is the same in every run. It is only a floor for the other choices.
type noise struct {
	seed  uint64
	layer int
	k, v  []moments // [stored head]
}

// moments are the mean and standard deviation of each dimension.
type moments struct{ mean, std []float64 }

// newNoise measures the moments of each group's rows in the prompt.
func newNoise(seed uint64, v *cache.View, of [][]int) noise {
	n := noise{seed: seed, layer: v.Layers[0]}
	for _, group := range of {
		n.k = append(n.k, measure(v.K, group, v.Dim))
		n.v = append(n.v, measure(v.V, group, v.VDim))
	}
	return n
}

// measure returns the moments over all rows of a group of heads.
func measure(heads [][]float32, group []int, dim int) moments {
	m := moments{make([]float64, dim), make([]float64, dim)}
	count := 0.0
	for _, j := range group {
		for i, x := range heads[j] {
			m.mean[i%dim] += float64(x)
			m.std[i%dim] += float64(x) * float64(x)
		}
		count += float64(len(heads[j]) / dim)
	}
	for c := range dim {
		m.mean[c] /= count
		m.std[c] = math.Sqrt(max(0, m.std[c]/count-m.mean[c]*m.mean[c]))
	}
	return m
}

// Shape has a head for each group.
func (n noise) Shape(before cache.Shape) cache.Shape {
	before.Heads = len(n.k)
	return before
}

// Row draws the rows of a position.
func (n noise) Row(pos int, _, _, dstK, dstV [][]float32) {
	for h := range n.k {
		r := stream(n.seed, n.layer, h, pos)
		n.k[h].draw(r, dstK[h])
		n.v[h].draw(r, dstV[h])
	}
}

// Buffers is none: moments are a few numbers a head.
func (noise) Buffers(dst [][]byte) [][]byte { return dst }

// draw fills a row.
func (m moments) draw(r *rand.Rand, row []float32) {
	for c := range row {
		row[c] = float32(m.mean[c] + m.std[c]*r.NormFloat64())
	}
}
