package trace

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

// What each parameter makes of the layers; the other fields are those of synth with layers of 8 heads of 64.
func TestSynthLayers(t *testing.T) {
	rope := func(theta float64, dims int) Rope {
		return Rope{Theta: theta, Style: "neox", Dims: dims, InvFreq: Frequencies(theta, dims)}
	}
	plain := Attention{QHeads: 8, KVHeads: 8, QKDim: 64, VDim: 64, Scale: 0.125, Rope: rope(1e4, 64), RopeFactor: 1}
	slopes := []float64{1. / 2, 1. / 4, 1. / 8, 1. / 16, 1. / 32, 1. / 64, 1. / 128, 1. / 256}
	tests := []struct {
		args string
		want func(layer int, a *Attention)
	}{
		{"layers=4", func(int, *Attention) {}},
		{"window=64", func(_ int, a *Attention) { a.Window = 64 }},
		{"chunk=1k", func(_ int, a *Attention) { a.Chunk = 1024 }},
		{"softcap=30", func(_ int, a *Attention) { a.Softcap = 30 }},
		{"scale=0.3", func(_ int, a *Attention) { a.Scale = 0.3 }},
		{"alibi=1", func(_ int, a *Attention) { a.ALiBi = slopes }},
		{"v_dim=16", func(_ int, a *Attention) { a.VDim = 16 }},
		{"rope=0", func(_ int, a *Attention) { a.Rope = Rope{} }},
		{"window=64,full_every=2", func(l int, a *Attention) { a.Window = 64 * (1 - l%2) }},
		{"chunk=64,full_every=3,nope_full=1", func(l int, a *Attention) {
			if a.Chunk = 64; l == 2 {
				a.Chunk, a.Rope = 0, Rope{}
			}
		}},
		{"window=64,full_every=4,window_kv_heads=2,window_head_dim=16,window_theta=1e6", func(l int, a *Attention) {
			if l < 3 {
				a.Window, a.KVHeads, a.QKDim, a.VDim, a.Scale, a.Rope = 64, 2, 16, 16, 0.25, rope(1e6, 16)
			}
		}},
		{"full_every=4,window_head_dim=16,v_dim=32", func(l int, a *Attention) {
			if a.VDim = 32; l < 3 {
				a.QKDim, a.Scale, a.Rope = 16, 0.25, rope(1e4, 16)
			}
		}},
	}
	for _, tt := range tests {
		tr := open(t, "synth:tokens=70,"+tt.args, Options{})
		for layer := range 4 {
			want := plain
			tt.want(layer, &want)
			if got := tr.Attention[layer]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: layer %d: %+v, want %+v", tt.args, layer, got, want)
			}
			checkLayer(t, tr, layer, 70)
		}
	}
}

// A parameter that is not given leaves everything as it was; what is only said beside the rows leaves these.
func TestSynthRowsStay(t *testing.T) {
	const spec = "synth:layers=2,q_heads=4,kv_heads=2,head_dim=32,tokens=300"
	base, bare := synthLayer(t, spec, Options{}, 1, 300), synthLayer(t, spec+",needles=0", Options{}, 1, 300)
	for _, args := range []string{
		",window=0,v_dim=0,rope=1", ",v_dim=32", ",softcap=30", ",sinks=1", ",alibi=1", ",window_head_dim=32", ",window=300,needles=0", ",chunk=512,needles=0",
	} {
		want := base
		if strings.Contains(args, "needles") {
			want = bare
		}
		if !reflect.DeepEqual(synthLayer(t, spec+args, Options{}, 1, 300), want) {
			t.Errorf("%s changes rows", args)
		}
	}
	for _, args := range []string{",window=16,needles=0", ",chunk=16,needles=0"} { // queries fit the keys that they read
		l := synthLayer(t, spec+args, Options{}, 1, 300)
		if !reflect.DeepEqual([][][]float32{l.K, l.V}, [][][]float32{bare.K, bare.V}) || reflect.DeepEqual(l.Q, bare.Q) {
			t.Errorf("%s changes keys or values, or leaves queries as they were", args)
		}
	}
}

// Products of queries and keys make up for the scale.
func TestSynthScale(t *testing.T) {
	const spec = "synth:layers=2,q_heads=4,kv_heads=2,head_dim=24,tokens=200"
	base, scaled := synthLayer(t, spec, Options{}, 1, 200), synthLayer(t, spec+",scale=0.7", Options{}, 1, 200)
	if !reflect.DeepEqual(base.K, scaled.K) {
		t.Error("keys differ")
	}
	for h := range base.Q {
		for i, x := range base.Q[h] {
			if want, got := float64(x)/math.Sqrt(24), float64(scaled.Q[h][i])*0.7; math.Abs(want-got) > 1e-4 {
				t.Fatalf("head %d, number %d: %g, want %g", h, i, got, want)
			}
		}
	}
}

// Without a rotary embedding the part of the keys that is the same for all tokens stands in all of them.
func TestSynthWithoutRope(t *testing.T) {
	tr := open(t, "synth:layers=1,kv_heads=1,q_heads=1,needles=0,tokens=1024,rope=0", Options{})
	l, err := tr.Read(0, 1024, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := meanUnrotated(tr, l.K[0], 0, 1024, false)
	if n := math.Hypot(norm(m[:16]), norm(m[32:48])); n < 0.95*keyLocal {
		t.Errorf("mean key %.2f long, want %.2f", n, keyLocal)
	}
}

// A sink takes a share of the attention that grows with its strength, neither none nor all.
func TestSynthSinks(t *testing.T) {
	for strength, bounds := range map[string][2]float64{"0.25": {0.1, 0.3}, "1": {0.35, 0.65}, "4": {0.65, 0.9}} {
		tr := open(t, "synth:layers=2,tokens=1024,sinks="+strength, Options{})
		l, err := tr.Read(1, 1024, 1000)
		if err != nil {
			t.Fatal(err)
		}
		a, share := tr.At(1), 0.0
		for h, q := range l.Q {
			q, keys := q[23*a.QKDim:], l.K[h]
			var sum float64
			for i := range 1024 {
				logit := 0.0
				for d, x := range q {
					logit += float64(x) * float64(keys[i*a.QKDim+d])
				}
				sum += math.Exp(a.Scale * logit)
			}
			sink := math.Exp(a.Sinks[h])
			share += sink / (sum + sink) / float64(len(l.Q))
		}
		if share < bounds[0] || share > bounds[1] {
			t.Errorf("sinks=%s: a share of %.4f, want %g to %g", strength, share, bounds[0], bounds[1])
		}
	}
}

// Needles are planted where a query can read them.
func TestSynthNeedlesAreRead(t *testing.T) {
	for spec, full := range map[string]func(layer int) bool{
		"synth:window=64,full_every=2":                   func(l int) bool { return l%2 == 1 },
		"synth:chunk=128,full_every=4":                   func(l int) bool { return l == 3 },
		"synth:window=64,full_every=4,window_kv_heads=2": func(l int) bool { return l == 3 },
		"synth:window=64":                                func(int) bool { return true },
		"synth:chunk=256":                                func(int) bool { return true },
		"synth:full_every=2,window_kv_heads=1":           func(int) bool { return true },
	} {
		tr := open(t, spec, Options{})
		if len(tr.Needles) < 8 {
			t.Errorf("%s: %d needles", spec, len(tr.Needles))
		}
		for _, n := range tr.Needles {
			a := tr.At(n.Layer)
			if !full(n.Layer) || n.KVHead >= a.KVHeads || a.Window > 0 && n.Query-n.Key >= a.Window || a.Chunk > 0 && n.Query/a.Chunk != n.Key/a.Chunk {
				t.Errorf("%s: needle %+v", spec, n)
			}
		}
	}
}

// A longer trace begins with the shorter one where layers differ, too.
func TestSynthLayersPrefix(t *testing.T) {
	spec := "synth:window=40,full_every=2,window_kv_heads=2,window_head_dim=32,v_dim=48,nope_full=1"
	short, long := open(t, spec+",tokens=100", Options{}), open(t, spec, Options{Tokens: 5000})
	for layer := range 4 {
		a, b := checkLayer(t, short, layer, 100), checkLayer(t, long, layer, 600)
		if !reflect.DeepEqual(a, b.Prefix(100, long.At(layer))) {
			t.Errorf("layer %d: 100 tokens are not the beginning of 600", layer)
		}
	}
}

// What the generator makes reads back from a file, in the version that can say it.
func TestSynthWritten(t *testing.T) {
	for args, want := range map[string]string{
		"":        "1",
		",rope=0": "1",
		",window=16,full_every=2,window_kv_heads=2,window_head_dim=24,v_dim=40,sinks=1,softcap=30":   "2",
		",chunk=16,full_every=2,nope_full=1,window_theta=500000,scale=0.3,alibi=1,q_heads=6,v_dim=8": "2",
	} {
		tr := open(t, "synth:tokens=64,layers=3,head_dim=16,kv_heads=2"+args, Options{})
		named := *tr
		named.Name = "out"
		if version := writtenAndRead(t, &named); version != want {
			t.Errorf("%s: version %s, want %s", args, version, want)
		}
	}
}
