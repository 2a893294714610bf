package method

import (
	"math/rand/v2"
	"testing"

	"kvgauge/sim/cache"
)

// gaussian is a view of n rows of heads with dim channels, some of them stronger than others.
func gaussian(r *rand.Rand, n, heads, dim int) *cache.View {
	rows := func() [][]float32 {
		var all [][]float32
		for range heads {
			head := make([]float32, n*dim)
			for i := range head {
				head[i] = float32(r.NormFloat64()) / float32(1+i%dim)
			}
			all = append(all, head)
		}
		return all
	}
	pos := make([]int32, n)
	v := &cache.View{Layers: []int{0}, Dim: dim, VDim: dim, K: rows(), V: rows(), Q: [][][]float32{make([][]float32, heads)}}
	for i := range pos {
		pos[i] = int32(i)
	}
	for range heads {
		v.Pos = append(v.Pos, pos)
	}
	return v
}

// energy is the sum of squares of the rows of two views as a map with an orthonormal basis stores them.
func energy(m cache.Map, views ...*cache.View) float64 {
	var sum float64
	for _, v := range views {
		for _, x := range v.Stored(cache.Decision{Map: m}).K[0] {
			sum += float64(x) * float64(x)
		}
	}
	return sum
}

// TestBestRankHoldsMostEnergy of the whole sequence among bases of one rank, those fitted on the prompt or on
// other rows among them.
func TestBestRankHoldsMostEnergy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		const heads, dim = 3, 4
		prompt, future, other := gaussian(r, 30, heads, dim), gaussian(r, 10, heads, dim), gaussian(r, 40, heads, dim)
		for _, rank := range []int{1, 5, 12, 24} {
			d, err := bestRank{rank}.foresee(Cell{}, prompt, future)
			if err != nil {
				t.Fatal(err)
			}
			best := energy(d.Map, prompt, future)
			for _, on := range []*cache.View{prompt, future, other} {
				if e := energy(newAbsorbed(on, on.K, rank, unbalanced), prompt, future); e > best*(1+1e-5) {
					t.Errorf("rank %d holds %g, another basis %g", rank, best, e)
				}
			}
		}
	}
}
