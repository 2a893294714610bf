package trace

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"kvgauge/sim/kernel"
)

// synthLayer reads a layer of a spec.
func synthLayer(t testing.TB, spec string, o Options, layer, tokens int) *Layer {
	t.Helper()
	l, err := open(t, spec, o).Read(layer, tokens, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSynthShape checks the rows and metadata of several shapes.
func TestSynthShape(t *testing.T) {
	tests := []struct {
		spec                              string
		layers, q, kv, dim, tokens, asked int
	}{
		{"synth", 4, 8, 8, 64, 4096, 56},
		{"synth:layers=1,kv_heads=1,tokens=100,needles=2", 1, 8, 1, 64, 100, 2},
		{"synth:layers=2,q_heads=6,kv_heads=3,head_dim=16,tokens=1k,needles=0", 2, 6, 3, 16, 1024, 0},
		{"synth:head_dim=24,q_heads=2,kv_heads=2,tokens=1", 4, 2, 2, 24, 1, 0},
		{"synth:head_dim=512,q_heads=1,kv_heads=1,tokens=70,layers=512", 512, 1, 1, 512, 70, 8},
	}
	for _, tt := range tests {
		tr := open(t, tt.spec, Options{})
		got := []int{len(tr.Layers), tr.Attention[0].QHeads, tr.Attention[0].KVHeads, tr.Attention[0].QKDim, tr.Tokens, len(tr.Needles)}
		if want := []int{tt.layers, tt.q, tt.kv, tt.dim, tt.tokens, tt.asked}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", tt.spec, got, want)
		}
		if tr.Queries != tr.Tokens || tr.FirstQuery() != 0 || len(tr.Attention[0].Rope.InvFreq) != tt.dim/2 || tr.Model != "synth-1" {
			t.Errorf("%s: %+v", tt.spec, tr)
		}
		last := tr.Layers[len(tr.Layers)-1]
		l, err := tr.Read(last, min(tr.Tokens, 64), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(l.K) != tt.kv || len(l.V) != tt.kv || len(l.Q) != tt.q {
			t.Errorf("%s: %d K, %d V and %d Q heads", tt.spec, len(l.K), len(l.V), len(l.Q))
		}
		for _, rows := range slices.Concat(l.K, l.V, l.Q) {
			if len(rows) != min(tr.Tokens, 64)*tt.dim {
				t.Errorf("%s: a head has %d numbers", tt.spec, len(rows))
			}
			for _, x := range rows {
				if !(math.Abs(float64(x)) < 1000) { // far from the largest float16
					t.Fatalf("%s: %g", tt.spec, x)
				}
			}
		}
	}
	if _, err := open(t, "synth", Options{}).Read(4, 1, 0); err == nil {
		t.Error("read layer 4 of 0 to 3")
	}
}

// TestSynthPrefix: a longer trace begins with the shorter one, whatever was read before.
func TestSynthPrefix(t *testing.T) {
	spec := "synth:layers=3,q_heads=4,kv_heads=2,head_dim=32"
	short, long := open(t, spec+",tokens=256", Options{Seed: 5}), open(t, spec, Options{Seed: 5, Tokens: 5000})
	if long.Tokens != 5000 || short.Tokens != 256 {
		t.Fatalf("%d and %d tokens", short.Tokens, long.Tokens)
	}
	for _, layer := range []int{2, 0, 1, 2} {
		a, err := short.Read(layer, 256, 0)
		if err != nil {
			t.Fatal(err)
		}
		b, err := long.Read(layer, 1024, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a, b.Prefix(256, &Attention{QKDim: 32, VDim: 32})) {
			t.Errorf("layer %d: 256 tokens are not the beginning of 1024", layer)
		}
	}
	for i, n := range short.Needles {
		if n != long.Needles[i] {
			t.Errorf("needle %d is %v in the short trace and %v in the long one", i, n, long.Needles[i])
		}
	}
	a, _ := short.Hash()
	b, _ := long.Hash()
	if a != b || len(a) != 64 {
		t.Errorf("hash %q of the short trace, %q of the long one", a, b)
	}
}

// TestSynthSeeds: seed and text change the content alone, every other parameter but the length the hash.
func TestSynthSeeds(t *testing.T) {
	spec := "synth:layers=2,q_heads=2,kv_heads=2,head_dim=32,tokens=512,needles=0"
	base, again := synthLayer(t, spec, Options{}, 1, 512), synthLayer(t, spec, Options{Seed: 1}, 1, 512)
	if !reflect.DeepEqual(base, again) {
		t.Error("seed 0 is not 1")
	}
	structure := meanKey(t, spec, Options{})
	tests := []struct {
		spec string
		o    Options
		same bool // the structure
	}{
		{spec, Options{Seed: 2}, true},
		{spec + ",text=1", Options{}, true},
		{synthCompanion(spec), Options{}, true},
		{spec + ",model=2", Options{}, false},
	}
	hashes := map[string]bool{}
	for _, tt := range append(tests, tests[0]) {
		if reflect.DeepEqual(base.V, synthLayer(t, tt.spec, tt.o, 1, 512).V) {
			t.Errorf("%s seed %d has the content of %s", tt.spec, tt.o.Seed, spec)
		}
		cos := cosine(structure, meanKey(t, tt.spec, tt.o))
		if tt.same && cos < 0.95 || !tt.same && cos > 0.7 {
			t.Errorf("%s seed %d: mean keys have a cosine of %.2f with the first", tt.spec, tt.o.Seed, cos)
		}
		h, _ := open(t, tt.spec, tt.o).Hash()
		hashes[h] = true
	}
	if len(hashes) != len(tests)-1 { // the companion is text=1, which joins whatever its length
		t.Errorf("%d hashes of %d traces", len(hashes), len(tests)-1)
	}
}

// meanKey is the mean key of layer 1, KV head 0, before rotation.
func meanKey(t testing.TB, spec string, o Options) []float64 {
	t.Helper()
	tr := open(t, spec, o)
	l, err := tr.Read(1, tr.Tokens, 0)
	if err != nil {
		t.Fatal(err)
	}
	return meanUnrotated(tr, l.K[0], 0, tr.Tokens, true)
}

// meanUnrotated is the mean row of tokens lo to hi-1 of a head, its rotation undone or not.
func meanUnrotated(tr *Trace, rows []float32, lo, hi int, undo bool) []float64 {
	m := make([]float64, tr.Attention[0].QKDim)
	rope := kernel.Rope{InvFreq: tr.Attention[0].Rope.InvFreq}
	for i := lo; i < hi; i++ {
		row := slices.Clone(rows[i*tr.Attention[0].QKDim : (i+1)*tr.Attention[0].QKDim])
		if undo {
			rope.Rotate(row, -float64(i))
		}
		for c, x := range row {
			m[c] += float64(x) / float64(hi-lo)
		}
	}
	return m
}

// TestSynthIsRotated: undoing the rotary embedding leaves the part of the keys that is the same for all
// tokens, wherever they stand; with it the part averages out.
func TestSynthIsRotated(t *testing.T) {
	tr := open(t, "synth:layers=1,kv_heads=1,q_heads=1,needles=0,tokens=1024", Options{})
	l, err := tr.Read(0, 1024, 0)
	if err != nil {
		t.Fatal(err)
	}
	fast := func(lo, hi int, undo bool) []float64 { // the half of the pairs that carries locality
		m := meanUnrotated(tr, l.K[0], lo, hi, undo)
		return slices.Concat(m[:16], m[32:48])
	}
	early, late, rotated := fast(0, 512, true), fast(512, 1024, true), fast(0, 512, false)
	if cos := cosine(early, late); cos < 0.999 {
		t.Errorf("mean keys of the two halves have a cosine of %.4f", cos)
	}
	if norm(early) < 0.95*keyLocal || norm(rotated) > 0.2*keyLocal {
		t.Errorf("mean key %.2f long without rotation, %.2f with it", norm(early), norm(rotated))
	}
}

// norm is the Euclidean length.
func norm(x []float64) float64 { return math.Sqrt(dot(x, x)) }

func dot(x, y []float64) (s float64) {
	for i, v := range x {
		s += v * y[i]
	}
	return s
}

func cosine(x, y []float64) float64 { return dot(x, y) / (norm(x) * norm(y)) }

// TestSynthNormals: the tabulated normal numbers have the moments of the distribution, and streams whose
// keys are neighbours have nothing in common.
func TestSynthNormals(t *testing.T) {
	a, b := make([]float32, 100_003), make([]float32, 100_003)
	normals(a, keyed(1, 2))
	normals(b, keyed(1, 3))
	var sum, squares, fourth, product float64
	for i := range a {
		x := float64(a[i])
		sum, squares, fourth, product = sum+x, squares+x*x, fourth+x*x*x*x, product+x*float64(b[i])
	}
	n := float64(len(a))
	for what, got := range map[string]float64{
		"mean": sum / n, "variance": squares/n - 1, "kurtosis": (fourth/n - 3) / 3, "correlation": product / n,
	} {
		if math.Abs(got) > 0.02 { // six standard errors
			t.Errorf("%s is off by %.4f", what, got)
		}
	}
}

// BenchmarkSynth generates one layer of the default trace.
func BenchmarkSynth(b *testing.B) {
	for _, tokens := range []int{4096, 32768} {
		b.Run(fmt.Sprint(tokens), func(b *testing.B) {
			tr := open(b, "synth", Options{Tokens: tokens})
			for b.Loop() {
				if _, err := tr.Read(1, tokens, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(tokens*(tr.Attention[0].QHeads+2*tr.Attention[0].KVHeads))/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
