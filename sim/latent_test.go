package sim

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// TestFullRankIsExact: a latent as wide as all keys and values loses nothing but rounding.
func TestFullRankIsExact(t *testing.T) {
	for name, rank := range map[string]string{"tiny": "128", "gqa": "128"} {
		tr := golden(t, name)
		recs := runCells(t, Options{
			Traces: headers(tr), Calibrate: itself(tr), Lengths: []int{96}, Decode: new(16),
			Pipelines: parse(t, "mla:rank="+rank, "mla:rank="+rank+",rope=pre", "cla:factor=1+mla:rank="+rank),
		})
		for _, r := range recs {
			if r.Status != record.OK || r.Error.RelL2 > 2e-3 {
				t.Errorf("%s %s: %s %s rel_l2 %+v", name, r.Pipeline, r.Status, r.Reason, r.Error)
			}
		}
	}
}

// TestErrorOfLatentFallsWithRank where the rotary embedding is kept, and never below that of full. (Where it
// is removed from most dimensions that costs more than any rank gains.)
func TestErrorOfLatentFallsWithRank(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("long")
	}
	tr := openTrace(t, "bytelm")
	layers := tr.Layers[3:4]
	if long() {
		layers = nil // all
	}
	for _, rope := range []string{"post", "pre"} {
		var specs []string
		for _, rank := range []string{"32", "96", "256"} {
			specs = append(specs, "mla:rank="+rank+",rope="+rope)
		}
		recs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{256}, Decode: new(16), Layers: layers})
		for i, r := range recs {
			if r.Status != record.OK || r.Error.RelL2 < 1e-4 || i > 0 && r.Error.RelL2 >= recs[i-1].Error.RelL2 {
				t.Errorf("%s: %s %s %+v", r.Pipeline, r.Status, r.Reason, r.Error)
			}
		}
	}
}

// TestProducersReadTheirOwnRows: with shared layers the error of those that make the rows is the floor's.
func TestProducersReadTheirOwnRows(t *testing.T) {
	tr := golden(t, "gqa")
	recs := runCells(t, Options{
		Traces: headers(tr), Calibrate: itself(tr), Lengths: []int{320}, Decode: new(32),
		Pipelines: parse(t, "full", "cla", "cla:calibrated=on", "cla:factor=3"),
	})
	producers := map[string][]int{"cla": {0, 2, 4}, "cla:calibrated=on": {0, 2, 4}, "cla:factor=3": {0, 3}}
	for _, r := range recs[1:] {
		for l, e := range r.Error.RelL2Layers {
			floor := slices.Contains(producers[r.Pipeline], l)
			if floor != (e < 2*recs[0].Error.RelL2Layers[l]) {
				t.Errorf("%s: layer %d has error %g, full %g", r.Pipeline, l, e, recs[0].Error.RelL2Layers[l])
			}
		}
	}
}

// TestCalibratedIsNotWorse on the text that it was fitted on.
func TestCalibratedIsNotWorse(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("long")
	}
	for _, name := range []string{"bytelm", "stories260k"} {
		tr := openTrace(t, name)
		o := Options{Traces: headers(tr), Calibrate: itself(tr), Lengths: []int{tr.Tokens}, Decode: new(64)}
		for _, spec := range []string{"mqa", "gqa", "cla", "cla:factor=3"} {
			with := spec + ":calibrated=on"
			if spec == "cla:factor=3" {
				with = spec + ",calibrated=on"
			}
			o.Pipelines = parse(t, spec, with)
			recs := runCells(t, o)
			if recs[1].Error.RelL2 > recs[0].Error.RelL2 {
				t.Errorf("%s: %s has error %g, %s %g", name, recs[1].Pipeline, recs[1].Error.RelL2, spec, recs[0].Error.RelL2)
			}
			if *recs[0].WeightBytes != 0 || *recs[1].WeightBytes == 0 || *recs[1].MetadataBytes != 0 || *recs[1].CacheBytes != *recs[0].CacheBytes {
				t.Errorf("%s: %s: weights %d, metadata %d, cache %d", name, recs[1].Pipeline, *recs[1].WeightBytes, *recs[1].MetadataBytes, *recs[1].CacheBytes)
			}
		}
	}
}

// TestFittedOnSequence charges maps that were fitted on the prompt to the cache, and says so.
func TestFittedOnSequence(t *testing.T) {
	tr := golden(t, "gqa")
	rec := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "mla:rank=40"), Lengths: []int{48}, Decode: new(16)})[0]
	maps := int64(6 * 40 * 2 * 2 * 32 * 2) // layers, rank, keys and values, heads, channels, bytes
	rows := int64(6 * 48 * 40 * 2)
	if *rec.CacheBytes != maps+rows || *rec.MetadataBytes != maps || *rec.WeightBytes != 0 {
		t.Errorf("cache %d, metadata %d, weights %d", *rec.CacheBytes, *rec.MetadataBytes, *rec.WeightBytes)
	}
	if got := codes(rec); got != "underdetermined,fitted-on-sequence" {
		t.Errorf("warnings %s", got)
	}
}

// TestAbsorbedEqualsExpanded attends to latent rows and to the keys and values that they stand for.
func TestAbsorbedEqualsExpanded(t *testing.T) {
	tr := golden(t, "gqa")
	l, err := tr.Read(2, 200, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := Cell{Trace: &tr.Header, SeqLen: 200, Decode: 1, Layers: []int{2}, Pipeline: parse(t, "mla:rank=40")[0]}
	layers := []*trace.Layer{l}
	prompt, future := promptView(c, c.Layers, layers, l.FirstQuery, nil), futureView(c, c.Layers, layers, nil)
	ds, reduced, err := c.Pipeline.Decide(c.forMethod(1, nil, 2), prompt, future, nil)
	if err != nil {
		t.Fatal(err)
	}
	store, err := cache.Build(cache.Spec{View: reduced, Before: prompt.Shape(), Decisions: ds, Decode: 1})
	if err != nil {
		t.Fatal(err)
	}
	tok := step(c, 2, l, 0)
	if err := store.Append(2, tok.pos, tok.k, tok.v); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, tr.Attention[0].QHeads*tr.Attention[0].QKDim)
	store.Attend(2, tok.pos, tok.q, got)

	m := ds[0].Map.(cache.Linear)
	row := make([]float32, 40)
	for h := range tr.Attention[0].QHeads {
		j := h / m.Group
		q := tok.q[h*tr.Attention[0].QKDim : (h+1)*tr.Attention[0].QKDim]
		out, sum := make([]float64, tr.Attention[0].QKDim), 0.0
		for i := range 200 {
			k, v := make([][]float32, tr.Attention[0].KVHeads), make([][]float32, tr.Attention[0].KVHeads)
			for g := range k {
				k[g], v[g] = l.K[g][i*tr.Attention[0].QKDim:(i+1)*tr.Attention[0].QKDim], l.V[g][i*tr.Attention[0].QKDim:(i+1)*tr.Attention[0].QKDim]
			}
			m.Row(i, k, v, [][]float32{row}, [][]float32{row})
			var logit float64
			for ch := range q { // the key is Key^T row
				var key float64
				for r := range row {
					key += float64(m.Key[2][j].Row(r)[ch]) * float64(row[r])
				}
				logit += tr.Attention[0].Scale * float64(q[ch]) * key
			}
			p := math.Exp(logit)
			sum += p
			for ch := range out {
				for r := range row {
					out[ch] += p * float64(m.Value[2][j].Row(ch)[r]) * float64(row[r])
				}
			}
		}
		for ch := range out {
			if want := out[ch] / sum; math.Abs(want-float64(got[h*tr.Attention[0].QKDim+ch])) > 2e-3 {
				t.Errorf("head %d channel %d: %g, expanded %g", h, ch, got[h*tr.Attention[0].QKDim+ch], want)
			}
		}
	}
}

// TestSplitGroupIsSkipped: a cell with part of a group of layers has the reason.
func TestSplitGroupIsSkipped(t *testing.T) {
	tr := golden(t, "gqa")
	recs := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "full,cla,cla:factor=3"), Lengths: []int{96}, Decode: new(16), Layers: []int{0, 1, 2, 3}})
	if recs[1].Status != record.OK || recs[2].Status != record.Skipped || recs[2].Reason != "layers 3, 4, 5 share a cache; only 3 of them are here" {
		t.Errorf("%s %q, %s %q", recs[1].Status, recs[1].Reason, recs[2].Status, recs[2].Reason)
	}
}

// TestGroups lists the layers that share in the paper's figures.
func TestGroups(t *testing.T) {
	tests := []struct {
		spec   string
		layers int
		want   []int // producers
	}{
		{"cla", 4, []int{0, 2}},
		{"cla", 5, []int{0, 1, 3}},
		{"cla:factor=3", 10, []int{0, 1, 4, 7}},
		{"cla:pattern=keepends", 10, []int{0, 1, 3, 5, 7, 9}},
		{"cla:pattern=densefront", 20, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 19}},
		{"cla:pattern=denseback", 20, []int{0, 1, 11, 12, 13, 14, 15, 16, 17, 18, 19}},
		{"cla:producers=0/1/4", 6, []int{0, 1, 4}},
		{"snapkv", 3, []int{0, 1, 2}},
	}
	for _, tt := range tests {
		var layers, got []int
		for l := range tt.layers {
			layers = append(layers, l)
		}
		for _, g := range parse(t, tt.spec)[0].Groups(layers, tt.layers) {
			got = append(got, g[0])
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s of %d layers: producers %v, want %v", tt.spec, tt.layers, got, tt.want)
		}
	}
	if _, err := method.Parse([]string{"cla:producers=1/2"}, []method.Entries{{Count: 8}}); err == nil {
		t.Error("producers that do not begin with layer 0 were accepted")
	}
}

// TestProducersDecide: where the lowest layer of a group decides alone, it does so while decoding, too: what is kept is what it
// keeps without the others.
func TestProducersDecide(t *testing.T) {
	tr := openTrace(t, "synth:layers=2,q_heads=4,kv_heads=2,head_dim=32,tokens=160")
	for _, policy := range []string{"h2o:budget=40", "rkv:budget=64", "tova:budget=40"} {
		o := Options{Traces: headers(tr), Pipelines: parse(t, "cla:scores=producer+"+policy), Lengths: []int{160}, Decode: new(16), Kept: true}
		shared := runCells(t, o)[0]
		o.Pipelines = parse(t, policy)
		alone := runCells(t, o)[0]
		if shared.Status != record.OK || !reflect.DeepEqual(shared.KeptFinal[0], alone.KeptFinal[0]) {
			t.Errorf("%s: %s %s: the group keeps something else than its lowest layer", policy, shared.Status, shared.Reason)
		}
	}
}
