package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

// TestPackedBytesFormula holds the bytes of latents of groups, of narrow keys and of shared directions, summed
// from the stores' buffers, against the closed formulas, below, at and above their thresholds.
func TestPackedBytesFormula(t *testing.T) {
	const decode, budget, window = 16, 24, 8
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		layers, g, d := len(tr.Layers), tr.Attention[0].KVHeads, tr.Attention[0].QKDim
		pairs := (layers - layers/2) / 2
		for _, n := range []int{window + decode - 1, window + decode, window + decode + 1, 21 + decode, budget + decode, budget + decode + 1, 96} {
			prompt := n - decode
			// think is the bytes of a KV head, with entries kept of the prompt; each key or value has extra bytes.
			think := func(kept, dropped, bytes, extra int) int {
				narrow := max(0, kept-window)
				k := narrow*((d-dropped)*bytes+extra) + (kept-narrow+decode)*(d*bytes+extra)
				mask := 0
				if narrow > 0 {
					mask = d / 8
				}
				return k + (kept+decode)*(d*bytes+extra) + mask
			}
			// minicache is the bytes of a KV head of two layers.
			minicache := func(kept, apart int) int {
				return kept*(2*d*2+4*2) + apart*(2*2*d*2+2*4) + 2*decode*2*d*2
			}
			alone := (layers - 2*pairs) * g * 2 * d * 2
			kept := min(prompt, budget)
			latent, group := min(prompt, 20)+12, min(4, g)
			formulas := map[string]int{
				"think:window=8":                                         layers * g * think(prompt, d*4/10, 2, 0),
				"think:ratio=0.5,window=8":                               layers * g * think(prompt, d/2, 2, 0),
				"think:ratio=0,window=8":                                 layers * g * n * 2 * d * 2,
				"think:window=8+int8":                                    layers * g * think(prompt, d*4/10, 1, 2),
				"snapkv:budget=24+think:window=8":                        layers * g * think(kept, d*4/10, 2, 0),
				"cla+think:window=8":                                     layers / 2 * g * think(prompt, d*4/10, 2, 0),
				"minicache":                                              n*alone + pairs*g*minicache(prompt, (prompt+19)/20),
				"minicache:retain=0%":                                    n*alone + pairs*g*minicache(prompt, 0),
				"minicache:retain=100%":                                  n*alone + pairs*g*minicache(prompt, prompt),
				"snapkv:budget=24+minicache":                             (kept+decode)*alone + pairs*g*minicache(kept, (kept+19)/20),
				"lowrank:k_rank=20,v_rank=12":                            layers * g / group * n * 32 * 2,
				"lowrank:k_rank=20,rope=post,v_rank=12":                  layers * g / group * n * 32 * 2,
				"lowrank:heads=2,k_rank=20,v_rank=12":                    layers * g / 2 * n * 32 * 2,
				"lowrank:k_rank=20,v_rank=12+int8":                       layers * g / group * n * (32 + 4),
				"cla+lowrank:k_rank=20,v_rank=12":                        layers / 2 * g / group * n * 32 * 2,
				"lowrank:k_rank=20,rope=post,v_rank=12+snapkv:budget=24": layers * g / group * (kept + decode) * 32 * 2,
			}
			if prompt > 20 { // below, latents and bases save nothing
				formulas["lowrank:k_rank=20,kind=xkv,v_rank=12"] = layers / 2 * (prompt*latent*2 + latent*2*g*d*2 + 2*decode*g*2*d*2)
			}
			var specs []string
			for s := range formulas {
				specs = append(specs, s)
			}
			slices.Sort(specs)
			for _, r := range runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{n}, Decode: new(decode)}) {
				if r.Status != record.OK {
					t.Errorf("%s %s at %d: %s", name, r.Pipeline, n, r.Reason)
					continue
				}
				if want := int64(formulas[r.Pipeline]); *r.CacheBytes != want {
					t.Errorf("%s %s at %d: cache_bytes %d, want %d", name, r.Pipeline, n, *r.CacheBytes, want)
				}
				if stores := parse(t, r.Pipeline)[0].Groups(r.Layers, r.NumLayers); len(stores) == layers && *r.TrafficBytes != *r.CacheBytes {
					t.Errorf("%s %s at %d: traffic %d, want the cache's %d", name, r.Pipeline, n, *r.TrafficBytes, *r.CacheBytes)
				}
			}
		}
	}
}

// TestPackedIdentities: nothing pruned, nothing merged and full rank have full's error.
func TestPackedIdentities(t *testing.T) {
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		width := tr.Attention[0].KVHeads * tr.Attention[0].QKDim
		full := fmt.Sprintf("k_rank=%d,v_rank=%d", width, width)
		two := fmt.Sprintf("k_rank=%d,v_rank=%d", 2*width, 2*width)
		specs := []string{
			"full", "think:ratio=0", "think:ratio=0.02", "minicache:retain=100%", "lowrank:" + full, "lowrank:rope=post," + full,
			"lowrank:kind=xkv,layers=1," + full, "lowrank:kind=xkv," + two, "think:ratio=0+int8", "int8",
		}
		recs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{96}, Decode: new(16)})
		for _, r := range recs[:8] {
			if r.Status != record.OK || r.Error.RelL2 > 2e-3 {
				t.Errorf("%s %s: %s %s rel_l2 %+v", name, r.Pipeline, r.Status, r.Reason, r.Error)
			}
		}
		for _, pair := range [][2]int{{1, 0}, {8, 9}} {
			if a, b := recs[pair[0]], recs[pair[1]]; !slices.Equal(a.Error.RelL2Layers, b.Error.RelL2Layers) || *a.CacheBytes != *b.CacheBytes {
				t.Errorf("%s: %s is not %s", name, a.Pipeline, b.Pipeline)
			}
		}
	}
}

// TestErrorFallsWithWhatIsKept on a trace of a trained model: channels, unmerged rows, rank.
func TestErrorFallsWithWhatIsKept(t *testing.T) {
	t.Parallel()
	tr := openTrace(t, "bytelm")
	for _, specs := range [][]string{
		{"think:ratio=0.8", "think:ratio=0.6", "think", "think:ratio=0.2"},
		{"minicache:retain=0%", "minicache:retain=30%", "minicache:retain=80%"},
		{"minicache:start=0", "minicache:start=2", "minicache"},
		{"lowrank:k_rank=32,v_rank=64", "lowrank:k_rank=64,v_rank=64", "lowrank:k_rank=64,v_rank=112", "lowrank:k_rank=127,v_rank=127"},
		{"lowrank:k_rank=32,rope=post,v_rank=64", "lowrank:k_rank=64,rope=post,v_rank=64", "lowrank:k_rank=112,rope=post,v_rank=112"},
		{"lowrank:k_rank=16,kind=xkv,v_rank=16", "lowrank:k_rank=32,kind=xkv,v_rank=64", "lowrank:k_rank=64,kind=xkv,v_rank=128"},
	} {
		recs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{256}, Decode: new(16)})
		for i, r := range recs {
			if r.Status != record.OK || r.Error.RelL2 < 1e-4 || i > 0 && r.Error.RelL2 >= recs[i-1].Error.RelL2 {
				t.Errorf("%s: %s %s %+v", r.Pipeline, r.Status, r.Reason, r.Error)
			}
		}
	}
}

// TestRotationCostsRank: keys in the latent before the rotary embedding lose less than as they are cached.
func TestRotationCostsRank(t *testing.T) {
	tr := openTrace(t, "bytelm")
	recs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, "lowrank", "lowrank:rope=post"), Lengths: []int{256}, Decode: new(16)})
	if recs[0].Error.RelL2 >= recs[1].Error.RelL2 || *recs[0].CacheBytes != *recs[1].CacheBytes || *recs[0].WeightBytes != *recs[1].WeightBytes {
		t.Errorf("before the embedding %g at %d bytes, after it %g at %d", recs[0].Error.RelL2, *recs[0].CacheBytes, recs[1].Error.RelL2, *recs[1].CacheBytes)
	}
}

// TestLowerLayersDoNotMerge: below the first pair the error is full's.
func TestLowerLayersDoNotMerge(t *testing.T) {
	tr := golden(t, "gqa") // 6 layers: 3 stays alone, 4 and 5 merge
	recs := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "full", "minicache", "minicache:start=2"), Lengths: []int{320}, Decode: new(16)})
	for i, alone := range []int{6, 4, 2} {
		for l, e := range recs[i].Error.RelL2Layers {
			if floor := e == recs[0].Error.RelL2Layers[l]; floor != (l < alone) {
				t.Errorf("%s: layer %d has error %g, full %g", recs[i].Pipeline, l, e, recs[0].Error.RelL2Layers[l])
			}
		}
	}
}

// TestBasisOfSequenceIsCharged: xKV's basis is metadata of the cache, and its share per token grows as the
// sequence shrinks.
func TestBasisOfSequenceIsCharged(t *testing.T) {
	tr := openTrace(t, "bytelm")
	recs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, "lowrank:k_rank=16,kind=xkv,v_rank=16"), Lengths: []int{192, 256, 512}, Decode: new(16)})
	basis := int64(3 * 32 * 2 * 8 * 32 * 2) // groups, ranks, layers of a group, heads, channels, bytes
	last := 1.0
	for _, r := range recs {
		share := float64(*r.MetadataBytes) / float64(*r.CacheBytes)
		if *r.MetadataBytes != basis || *r.WeightBytes != 0 || share >= last {
			t.Errorf("at %d: metadata %d, want %d, weights %d, share %g", r.SeqLen, *r.MetadataBytes, basis, *r.WeightBytes, share)
		}
		last = share
	}
}

// TestPackingsThatDoNotCombine have the reason.
func TestPackingsThatDoNotCombine(t *testing.T) {
	for _, spec := range []string{"cla+minicache", "cla+lowrank:kind=xkv", "lowrank:kind=xkv+minicache", "mla+lowrank", "minicache+think"} {
		if _, err := method.Parse([]string{spec}, []method.Entries{{Count: 8}}); err == nil {
			t.Errorf("%s was accepted", spec)
		}
	}
	tr := golden(t, "gqa")
	tests := []struct{ spec, reason string }{
		{"streamingllm+think", "dropped or overwritten"},
		{"corm+minicache", "dropped or overwritten"},
		{"mla:rank=40+think", "key and value at once"},
		{"mla:rank=40,rope=pre+think", "rebuilt at every step"},
		{"lowrank+snapkv", "rebuilds them at every step"},
		{"lowrank:kind=xkv+snapkv", "rebuilds them at every step"},
		{"lowrank+minicache", "rebuilt"},
		{"think+minicache", "lack channels"},
		{"think+kivi", "packed already"},
		{"lowrank:kind=xkv+nvfp4", "packed already"},
		{"minicache+quest", "packed"},
		{"minicache:start=6", "none of them is here"},
		{"lowrank:k_rank=64,v_rank=63", ""},
		{"lowrank:k_rank=65,v_rank=1", "only 64 channels"},
		{"lowrank:kind=xkv,layers=4", ""},
	}
	var specs []string
	for _, tt := range tests {
		specs = append(specs, tt.spec)
	}
	recs := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, append(specs, "full")...), Lengths: []int{320}, Decode: new(16)})
	for i, tt := range tests {
		if r := recs[i]; (r.Status == record.OK) != (tt.reason == "") || !strings.Contains(r.Reason, tt.reason) {
			t.Errorf("%s: %s %q, want %q", r.Pipeline, r.Status, r.Reason, tt.reason)
		}
	}
	recs = runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "minicache,lowrank:kind=xkv,full"), Lengths: []int{320}, Decode: new(16), Layers: []int{0, 1, 4}})
	for i, want := range []string{"layers 4 and 5 share directions; only 4 is here", "layers 4, 5 share a cache; only 4 of them are here"} {
		if recs[i].Status != record.Skipped || recs[i].Reason != want {
			t.Errorf("%s: %s %q, want %q", recs[i].Pipeline, recs[i].Status, recs[i].Reason, want)
		}
	}
}
