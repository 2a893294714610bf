package sim

import (
	"reflect"
	"testing"

	"kvgauge/sim/record"
)

// TestTriAttentionWhileDecoding: deciding on what is stored once a token is through is deciding on a prompt of so
// many tokens, and the cache that grew to budget + interval entries shrinks to the budget.
func TestTriAttentionWhileDecoding(t *testing.T) {
	tr := golden(t, "gqa")
	run := func(spec string, decode int) record.Record {
		o := Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, spec), Lengths: []int{96}, Decode: new(decode), Kept: true}
		return runCells(t, o)[0]
	}
	late, once := run("triattention:budget=85,interval=16", 16), run("triattention:budget=85,interval=0", 0)
	if late.Status != record.OK || len(late.Kept[0][0]) != 80 || len(once.Kept[0][0]) != 85 || !reflect.DeepEqual(late.KeptFinal, once.Kept) {
		t.Errorf("%s %s: at token 96 keeps %v, a prompt of 96 keeps %v", late.Status, late.Reason, late.KeptFinal, once.Kept)
	}
	if codes(late) != "decided-again" || codes(once) != "" {
		t.Errorf("warnings %q and %q", codes(late), codes(once))
	}
	row := int64(len(tr.Layers) * tr.Attention[0].KVHeads * tr.Attention[0].QKDim * 4)
	for _, decode := range []int{15, 16} { // from token 81 to 96, the first to be a multiple of 16 after the prompt
		o := Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, "triattention:budget=24,interval=16"), Lengths: []int{80 + decode}, Decode: new(decode)}
		r := runCells(t, o)[0]
		held, read := int64(24+decode)*row, int64(24+decode)*row
		if decode == 16 {
			held, read = 24*row, read+read/2 // the keys are read once more to decide
		}
		if *r.CacheBytes != held || *r.TrafficBytes != read {
			t.Errorf("%d decoded: cache %d, traffic %d, want %d and %d", decode, *r.CacheBytes, *r.TrafficBytes, held, read)
		}
	}
}

// TestTriAttentionSharedSets: union keeps one set for the model, per_head one for each KV head; both need all layers,
// and hold them all until then.
func TestTriAttentionSharedSets(t *testing.T) {
	tr := golden(t, "gqa")
	pipelines := parse(t, "triattention:budget=24,interval=0,mode=union", "triattention:budget=24,interval=0,mode=per_head", "cla+triattention:budget=24,interval=0,mode=union")
	o := Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: pipelines, Lengths: []int{96}, Decode: new(16), Kept: true}
	for i, r := range runCells(t, o) {
		differ := false
		for _, heads := range r.Kept {
			for j, kept := range heads {
				differ = differ || !reflect.DeepEqual(kept, heads[0])
				if len(kept) != 24 || !reflect.DeepEqual(kept, r.Kept[0][j]) {
					t.Errorf("%s: layers keep %v and %v", r.Pipeline, kept, r.Kept[0][j])
				}
			}
		}
		if differ != (i == 1) {
			t.Errorf("%s: heads differ: %t", r.Pipeline, differ)
		}
		if whole := int64(len(tr.Layers) * tr.Attention[0].KVHeads * 80 * tr.Attention[0].QKDim * 4); i < 2 && *r.PeakBytes != whole {
			t.Errorf("%s: peak_bytes %d, want the whole prompt's %d", r.Pipeline, *r.PeakBytes, whole)
		}
	}
	o.Layers, o.Pipelines = tr.Layers[:2], append(parse(t, "full"), pipelines[:2]...)
	for _, r := range runCells(t, o)[1:] {
		if r.Status != record.Skipped || r.Reason != "keeps the same entries in all layers: want those 6, not 2 of them" {
			t.Errorf("%s on two layers: %s: %s", r.Pipeline, r.Status, r.Reason)
		}
	}
}
