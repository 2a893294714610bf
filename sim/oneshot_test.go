package sim

import (
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// TestOneShotBytes holds the bytes of methods that evict at the end of the prompt against the closed formulas,
// below, at and above the budget.
func TestOneShotBytes(t *testing.T) {
	const budget, decode, row = 24, 16, 4 // bytes of one channel's key and value in f16
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		layers, g, h, d := len(tr.Layers), tr.Attention[0].KVHeads, tr.Attention[0].QHeads, tr.Attention[0].QKDim
		for _, n := range []int{budget + decode - 1, budget + decode, budget + decode + 1, 96} {
			kept := min(n-decode, budget) + decode
			even, ragged := layers*g*kept*d*row, layers*4*(g+1)
			formulas := map[string]int{
				"knorm:budget=24":                                 even,
				"knorm:budget=24,recent=5,skip=0/1":               even + 2*g*(n-kept)*d*row,
				"keydiff:budget=24":                               even,
				"keydiff:block=9,budget=24":                       even,
				"expectedattention:budget=24":                     even,
				"chunkkv:budget=24,chunk=1":                       even, // chunks of 7 hold 21 entries, or with the tail fewer
				"lagkv:budget=24,lag=10":                          even,
				"criticalkv:budget=24":                            even,
				"cur:budget=24":                                   even,
				"adakv:alpha=1,budget=24":                         even + ragged, // any other alpha may lose some to rounding
				"adakv:budget=24,variant=kvpress":                 even + ragged,
				"adakv:alpha=1,budget=24,layout=query":            layers*h*kept*d*row + layers*4*(h+1),
				"adakv:budget=24,variant=kvpress+criticalkv":      even + ragged,
				"snapkv:budget=24+adakv:variant=kvpress":          even + ragged,
				"snapkv:budget=24+criticalkv":                     even,
				"mqa+adakv:budget=24,variant=kvpress":             layers * (kept*d*row + 4*2),
				"cla+adakv:budget=24,variant=kvpress":             layers / 2 * (g*kept*d*row + 4*(g+1)),
				"adakv:budget=24,variant=kvpress+int8":            layers*g*kept*2*(d+2) + ragged,
				"cake:budget=24,window=8":                         layers * g * min(n, budget) * d * row, // held while decoding
				"cla+cake:budget=24,window=8":                     layers / 2 * g * min(n, budget) * d * row,
				"cla+mla:rank=20+adakv:budget=24,variant=kvpress": layers / 2 * (kept*20*2 + 4*2),
			}
			var specs []string
			for s := range formulas {
				specs = append(specs, s)
			}
			for _, r := range runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{n}, Decode: new(decode)}) {
				if r.Status != record.OK {
					t.Errorf("%s %s at %d: %s", name, r.Pipeline, n, r.Reason)
					continue
				}
				if want := int64(formulas[r.Pipeline]); *r.CacheBytes != want {
					t.Errorf("%s %s at %d: cache_bytes %d, want %d", name, r.Pipeline, n, *r.CacheBytes, want)
				}
			}
		}
	}
}

// TestAdaKVLosesLittleToRounding: a layer holds its budget up to half an entry a head, window included.
func TestAdaKVLosesLittleToRounding(t *testing.T) {
	tr := golden(t, "gqa")
	for _, r := range runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "adakv:budget=40", "adakv:alpha=0.5,budget=71", "adakv:budget=90,layout=query"), Lengths: []int{320}, Kept: true, Decode: new(0)}) {
		budget := map[int]int{0: 40, 1: 71, 2: 90}[slices.IndexFunc([]string{"=40", "=71", "=90"}, func(s string) bool { return strings.Contains(r.Pipeline, s) })]
		for l, heads := range r.Kept {
			n, differ := 0, false
			for _, head := range heads {
				n += len(head)
				differ = differ || len(head) != len(heads[0])
			}
			if over := n - budget*len(heads); over > len(heads)/2 || over < -len(heads)-len(heads)/2 {
				t.Errorf("%s layer %d: %d entries for a budget of %d a head", r.Pipeline, l, n, budget)
			}
			if !differ {
				t.Errorf("%s layer %d: all heads hold %d entries", r.Pipeline, l, len(heads[0]))
			}
		}
	}
}

// TestCakeNeedsAllLayers: it must see them all, and the peak is that of a server that holds them until then.
func TestCakeNeedsAllLayers(t *testing.T) {
	tr := golden(t, "tiny") // 4 layers, 4 heads of 16
	o := Options{Traces: headers(tr), Pipelines: parse(t, "full", "cake:budget=24,window=8"), Lengths: []int{96}, Decode: new(16), Kept: true}
	r := runCells(t, o)[1]
	if want := int64(4 * 80 * 4 * 16 * 4); *r.PeakBytes != want {
		t.Errorf("peak_bytes %d, want the whole prompt's %d", *r.PeakBytes, want)
	}
	total := 0
	for l := range r.Kept {
		total += len(r.Kept[l][0])
		for j := range r.Kept[l] {
			if len(r.KeptFinal[l][j]) != len(r.Kept[l][0]) {
				t.Errorf("layer %d head %d holds %d entries in the end, %d after the prompt", l, j, len(r.KeptFinal[l][j]), len(r.Kept[l][0]))
			}
			if final := r.KeptFinal[l][j]; final[len(final)-8] != 88 {
				t.Errorf("layer %d head %d: %v lacks the last 8 tokens", l, j, final)
			}
		}
	}
	if total != 4*24 {
		t.Errorf("layers hold %d entries together, want %d", total, 4*24)
	}
	o.Layers = []int{0, 2}
	if r := runCells(t, o)[1]; r.Status != record.Skipped || r.Reason != "shares one budget out over all layers: want those 4, not 2 of them" {
		t.Errorf("half the layers: %s: %s", r.Status, r.Reason)
	}
}
