package method

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// TestLargest compares with sorting, many scores equal among them.
func TestLargest(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		scores := make([]float32, 1+rng.IntN(60))
		for i := range scores {
			scores[i] = float32(rng.IntN(12)) / 4
		}
		k := rng.IntN(len(scores)) + 1
		want := span(0, len(scores))
		slices.SortStableFunc(want, func(a, b int32) int { return cmp.Compare(scores[b], scores[a]) })
		want = want[:k]
		slices.Sort(want)
		if got := appendTopK(scores, k, make([]float32, len(scores)), nil); !slices.Equal(got, want) {
			t.Fatalf("%d largest of %v: %v, want %v", k, scores, got, want)
		}
	}
}

// TestQuestBounds: no logit of a page is above its bound, and one channel alone reaches it.
func TestQuestBounds(t *testing.T) {
	for _, dim := range []int{1, 16} {
		rng := rand.New(rand.NewPCG(5, 6))
		x := questSelector{budget: 4, page: 4}.Index(1, 1, dim, 40).(*questIndex)
		keys := make([][]float32, 39)
		for i := range keys {
			for range dim {
				keys[i] = append(keys[i], float32(math.Round(64*rng.NormFloat64())/64))
			}
			x.Append(0, keys[i])
		}
		q := make([]float32, dim)
		for d := range q {
			q[d] = float32(rng.NormFloat64())
		}
		r := &cache.Reading{Layer: 5, Q: q, Selected: [][]int32{nil}}
		x.Select(r)
		for page := range 10 {
			most := math.Inf(-1)
			for _, k := range keys[4*page : min(39, 4*page+4)] {
				most = max(most, kernel.LogitExact(q, k, 1))
			}
			if bound := float64(x.scores[page]); bound < most-1e-4 || dim == 1 && bound > most+1e-4 {
				t.Errorf("dim %d page %d: bound %g, largest logit %g", dim, page, bound, most)
			}
		}
		if len(r.Selected[0]) != 12 && len(r.Selected[0]) != 11 { // three pages, of which the last is short
			t.Errorf("dim %d: reads %d entries", dim, len(r.Selected[0]))
		}
		if r.Bytes != 10*2*2*int64(dim) {
			t.Errorf("dim %d: read %d bytes of bounds", dim, r.Bytes)
		}
	}
}

// TestRocketPlan holds the split against figures worked out from the repository's formulas.
func TestRocketPlan(t *testing.T) {
	tests := []struct{ budget, prompt, capacity, chunk int }{
		{256, 102400, 1381, 3},
		{1024, 4096, 2628, 2},
	}
	for _, tt := range tests {
		p, compress := rocketKV{budget: Entries{Count: tt.budget}, window: 32}.plan(Cell{SeqLen: tt.prompt + 16, Decode: 16, Dim: 128})
		if !compress || p.prompt != tt.capacity-16 || p.chunk != tt.chunk || p.top != tt.budget/2 {
			t.Errorf("budget %d of %d: %+v", tt.budget, tt.prompt, p)
		}
	}
	if _, compress := (rocketKV{budget: Entries{Count: 64}}).plan(Cell{SeqLen: 64, Decode: 4, Dim: 128}); compress {
		t.Error("a prompt within the budget is compressed")
	}
}

// TestRedundancyOfEqualKeys: of n equal keys each row spares its last likeness.
func TestRedundancyOfEqualKeys(t *testing.T) {
	const n, dim = 9, 4
	k := slices.Repeat([]float32{1, 2, 3, 4}, n)
	got := redundancy(k, dim)
	mean := make([]float64, n)
	for j := range mean {
		mean[j] = float64(n-1) / n
	}
	mean[n-2], mean[n-1] = float64(n-2)/n, 0
	lse := logSum(mean)
	for j := range mean {
		if want := math.Exp(mean[j] - lse); math.Abs(got[j]-want) > 1e-6 {
			t.Errorf("key %d: %g, want %g", j, got[j], want)
		}
	}
}

// TestRKVAgainstMatrix compares with a matrix of cosines and a softmax written out.
func TestRKVAgainstMatrix(t *testing.T) {
	const rows, window = 90, 8
	v := head(sequence(2, 3, rows), rows)
	for j := range v.K {
		for i := 10; i < 60; i += 10 { // near copies
			copy(v.K[j][i*v.Dim:(i+1)*v.Dim], v.K[j][:v.Dim])
		}
	}
	m := rkv{budget: Entries{Count: 30}, window: window, kernel: 7, lambda: 0.07, interval: 128}
	d, err := m.Decide(Cell{SeqLen: rows}, v)
	if err != nil {
		t.Fatal(err)
	}
	for j := range v.K {
		key := func(i int) []float32 { return v.K[j][i*v.Dim : (i+1)*v.Dim] }
		cosines := make([][]float64, rows)
		for a := range cosines {
			cosines[a] = make([]float64, rows)
			last := 0
			for b := range rows {
				if a == b {
					continue
				}
				cosines[a][b] = kernel.LogitExact(key(a), key(b), 1) / math.Sqrt(kernel.LogitExact(key(a), key(a), 1)*kernel.LogitExact(key(b), key(b), 1))
				if cosines[a][b] > similar {
					last = b
				}
			}
			cosines[a][last] = 0
		}
		columns := make([]float64, rows)
		for a := range cosines {
			for b, x := range cosines[a] {
				columns[b] += x / rows
			}
		}
		importance := make([]float64, rows-window)
		for s := range window {
			logits, sum := make([]float64, rows-window), 0.0
			for i := range logits {
				logits[i] = math.Inf(-1)
				for h := 3 * j; h < 3*j+3; h++ {
					at := rows - window + s
					logits[i] = max(logits[i], kernel.LogitExact(v.Q[0][h][at*v.Dim:(at+1)*v.Dim], key(i), v.Rules[0][0].Scale))
				}
				sum += math.Exp(logits[i])
			}
			for i, x := range logits {
				importance[i] += math.Exp(x) / sum / window
			}
		}
		importance = pooled(importance, "max", 7)
		lse := logSum(columns)
		for i := range importance {
			importance[i] = 0.07*importance[i] - 0.93*math.Exp(columns[i]-lse)
		}
		want := append(topK(importance, 22), span(rows-window, rows)...)
		if !slices.Equal(d.Keep[j], want) {
			t.Errorf("head %d keeps %v, want %v", j, d.Keep[j], want)
		}
	}
}

// TestIndexWithoutQueries: where all queries are zero they do not tell how to index, and none is refused.
func TestIndexWithoutQueries(t *testing.T) {
	v := head(sequence(2, 2, 80), 80)
	for _, q := range v.Q[0] {
		clear(q)
	}
	if _, err := (dsa{top: 20, dim: 8}).fitMap(Cell{}, v); err != nil {
		t.Error(err)
	}
}

// TestIndexOfEverything: an index of full width ranks by the sum of all heads' logits, up to its 8 bits.
func TestIndexOfEverything(t *testing.T) {
	v := head(sequence(2, 2, 80), 80)
	d, err := dsa{top: 20, dim: 32}.fitMap(Cell{}, v)
	if err != nil {
		t.Fatal(err)
	}
	s := d.Select.(indexSelector)
	if d.Weights != 2*2*32*32 {
		t.Errorf("weights of %d bytes", d.Weights)
	}
	x := s.Index(2, 2, v.Dim, 80).(*keyIndex)
	for i := range 80 {
		for j := range 2 {
			x.Append(j, v.K[j][i*v.Dim:(i+1)*v.Dim])
		}
	}
	var q []float32
	for _, rows := range v.Q[0] {
		q = append(q, rows[79*v.Dim:80*v.Dim]...)
	}
	r := &cache.Reading{Q: q, Selected: [][]int32{nil, nil}}
	x.Select(r)
	var norm, diff float64
	for i := range 80 {
		var sum float64
		for h := range 4 {
			sum += kernel.LogitExact(q[h*v.Dim:(h+1)*v.Dim], v.K[h/2][i*v.Dim:(i+1)*v.Dim], 1)
		}
		norm += sum * sum
		diff += (sum - float64(x.scores[i])) * (sum - float64(x.scores[i]))
	}
	if diff > 0.01*norm {
		t.Errorf("index scores differ by %g of the logits", math.Sqrt(diff/norm))
	}
	if len(r.Selected[0]) != 20 || !slices.Equal(r.Selected[0], r.Selected[1]) || r.Bytes != 80*(32+4) {
		t.Errorf("reads %v, and %d bytes of the index", r.Selected, r.Bytes)
	}
}

// TestE4M3 rounds every value to itself and everything between two to the nearer, ties to even.
func TestE4M3(t *testing.T) {
	value := func(code int) float32 {
		exponent, fraction := code>>3, float64(code&7)
		if exponent == 0 {
			return float32(math.Ldexp(fraction, -9))
		}
		return float32(math.Ldexp(8+fraction, exponent-10))
	}
	codes, halves := make([]byte, 127), make([]byte, 2*127)
	for i := range codes {
		codes[i] = byte(i)
	}
	halvesE4M3(halves, codes)
	for code := range 127 { // 127 is not a number
		x := value(code)
		if got := e4m3Scale * kernel.Float(binary.LittleEndian.Uint16(halves[2*code:])); got != x {
			t.Errorf("%d stands for %g, want %g", code, got, x)
		}
		if got := encodeE4M3(x); int(got) != code {
			t.Errorf("%g is encoded as %d, want %d", x, got, code)
		}
		if code == 126 {
			break
		}
		y := value(code + 1)
		even := code + code&1
		for between, want := range map[float32]int{x + (y-x)*0.49: code, (x + y) / 2: even, x + (y-x)*0.51: code + 1} {
			if got := encodeE4M3(between); int(got) != want {
				t.Errorf("%g between %g and %g is encoded as %d, want %d", between, x, y, got, want)
			}
			if got := encodeE4M3(-between); int(got) != want|0x80 {
				t.Errorf("%g is encoded as %d", -between, got)
			}
		}
	}
}

// TestDuoAttentionKeepsRetrievalHeads: the head that looks far is kept whole.
func TestDuoAttentionKeepsRetrievalHeads(t *testing.T) {
	const n = 200
	v := head(sequence(2, 1, n), n)
	for i := range n { // head 1 looks at tokens 60 to 79, head 0 at noise nearby
		for d := range v.Dim {
			v.Q[0][0][i*v.Dim+d], v.Q[0][1][i*v.Dim+d] = 0, 0
			v.K[1][i*v.Dim+d] = 0
		}
		v.Q[0][1][i*v.Dim] = 8
		if i >= 60 && i < 80 {
			v.K[1][i*v.Dim] = 8
		}
	}
	d, err := duoAttention{full: 0.5, sinks: 4, recent: 40}.Decide(Cell{SeqLen: n + 16, Decode: 16}, v)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Ring.Heads, []bool{true, false}) || len(d.Keep[0]) != 44 || len(d.Keep[1]) != n {
		t.Errorf("streaming heads %v, which keep %d and %d", d.Ring.Heads, len(d.Keep[0]), len(d.Keep[1]))
	}
}

// TestRocketPagesSelect works the choice of TensorRT-LLM out again, number by number. Keys and queries are
// multiples of 1/2 small enough for E5M2 to hold.
func TestRocketPagesSelect(t *testing.T) {
	const dim, group, page, n, top = 16, 2, 4, 31, 3
	values := []float32{-3, -2, -1.5, -1, -0.5, 0.5, 1, 1.5, 2, 3}
	for seed := range uint64(50) {
		for _, channels := range []int{1, 5, 16, 40} {
			rng := rand.New(rand.NewPCG(seed, 8))
			x := rocketPages{page: page, top: top, channels: channels}.Index(1, group, dim, 40)
			keys, q := make([][]float32, n), make([]float32, group*dim)
			for i := range keys {
				for range dim {
					keys[i] = append(keys[i], values[rng.IntN(len(values))])
				}
				x.Append(0, keys[i])
			}
			for i := range q {
				q[i] = values[rng.IntN(len(values))] / 4 // the softmax scale of 16 channels
			}
			order := span(0, dim)
			size := func(d int32) float32 { return abs(q[d]) + abs(q[dim+d]) }
			slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(size(b), size(a)) })
			mean := make([]float64, (n+page-1)/page)
			for g := range group {
				estimates, sum := make([]float64, len(mean)), 0.0
				for p := range estimates {
					for _, d := range order[:min(channels, dim)] {
						high, low := keys[p*page][d], keys[p*page][d]
						for _, k := range keys[p*page : min(n, (p+1)*page)] {
							high, low = max(high, k[d]), min(low, k[d])
						}
						if q[d]+q[dim+d] <= 0 {
							high = low
						}
						estimates[p] += float64(q[g*dim+int(d)] * high)
					}
					estimates[p] = math.Exp(estimates[p])
					sum += estimates[p]
				}
				for p, e := range estimates {
					mean[p] += e / sum / group
				}
			}
			r := &cache.Reading{Q: q, Selected: [][]int32{nil}}
			x.Select(r)
			read := map[int]bool{}
			for _, i := range r.Selected[0] {
				read[int(i)/page] = true
			}
			sorted := slices.Sorted(slices.Values(mean))
			for p := range mean {
				if least := sorted[len(sorted)-top]; read[p] && mean[p] < least-1e-6 || !read[p] && mean[p] > least+1e-6 {
					t.Fatalf("seed %d, %d channels: reads pages %v of %v", seed, channels, r.Selected[0], mean)
				}
			}
			if len(read) != top || r.Bytes != 8*2*dim || x.Bytes() != r.Bytes {
				t.Fatalf("seed %d: reads %d pages and %d bytes of bounds", seed, len(read), r.Bytes)
			}
		}
	}
}
