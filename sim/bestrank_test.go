package sim

import (
	"fmt"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// TestBestRank costs the bytes of a latent of its rank and nothing beside, loses less with every rank, and
// nothing but rounding at the full one.
func TestBestRank(t *testing.T) {
	tr := openTrace(t, "stories260k")
	full := 2 * tr.Attention[0].KVHeads * tr.Attention[0].QKDim
	var specs []string
	for _, rank := range []int{full / 8, full / 4, full / 2, full} {
		specs = append(specs, fmt.Sprintf("bestrank:rank=%d", rank), fmt.Sprintf("mla:rank=%d", rank))
	}
	recs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{256}, Decode: new(32)})
	for i := 0; i < len(recs); i += 2 {
		b, m := recs[i], recs[i+1]
		if b.Status != record.OK || *b.CacheBytes != *m.CacheBytes || *b.WeightBytes != 0 || codes(b) != "" || b.Error.Mass != nil {
			t.Errorf("%s: %s %s: %d bytes, %s %d; warnings %q", b.Pipeline, b.Status, b.Reason, *b.CacheBytes, m.Pipeline, *m.CacheBytes, codes(b))
		}
		if i > 0 && b.Error.RelL2 >= recs[i-2].Error.RelL2 {
			t.Errorf("%s has error %g, %s %g", b.Pipeline, b.Error.RelL2, recs[i-2].Pipeline, recs[i-2].Error.RelL2)
		}
	}
	if e := recs[len(recs)-2].Error.RelL2; e > 4e-3 {
		t.Errorf("at full rank: error %g", e)
	}
}

// TestBestRankInPipelines: it takes the place of a latent.
func TestBestRankInPipelines(t *testing.T) {
	for spec, want := range map[string]string{
		"mla+bestrank": "both decide the same thing", "bestrank+mla": "both decide the same thing", "snapkv+bestrank": "cannot come after",
	} {
		if err := parseError(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
	tr := golden(t, "tiny")
	recs := runCells(t, Options{
		Traces: headers(tr), Lengths: []int{96}, Decode: new(16),
		Pipelines: parse(t, "bestrank:rank=20+snapkv:budget=24+int8", "cla+bestrank:rank=20", "gqa:heads=2+bestrank", "bestrank:rank=129", "cla:calibrated=on+bestrank"),
	})
	for i, want := range []int64{4 * (24 + 16) * (20 + 2), 2 * 96 * 20 * 2, 4 * 96 * 16 * 2} {
		if recs[i].Status != record.OK || *recs[i].CacheBytes != want {
			t.Errorf("%s: %s %s, want %d bytes", recs[i].Pipeline, recs[i].Status, recs[i].Reason, want)
		}
	}
	for i, want := range []string{"rank=129 is more than the 128 channels", "not rows that maps were fitted to"} {
		if r := recs[3+i]; r.Status != record.Skipped || !strings.Contains(r.Reason, want) {
			t.Errorf("%s: %s %q, want %q", r.Pipeline, r.Status, r.Reason, want)
		}
	}
}
