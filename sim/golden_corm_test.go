package sim

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

func init() {
	method.Register(method.Info{
		Name: "f32", Family: method.Quantisation, Summary: "rows in f32, for tests", Reduces: "nothing", Paper: "none",
		New: func(method.Args) (method.Method, error) { return f32{}, nil },
	})
}

// f32 stores rows without rounding: a method of the tests' own, written as any other is.
type f32 struct{}

func (f32) Fit(c method.Cell) (method.Cell, error) { return c, nil }

func (f32) Decide(method.Cell, *cache.View) (cache.Decision, error) {
	return cache.Decision{Codec: &cache.Codec{K: kernel.Plain(kernel.F32), V: kernel.Plain(kernel.F32)}}, nil
}

// TestCORMGoldens compares with the independent float64 reference: the vote at the end of the prompt, the
// vote through 32 decoded tokens, and through every token from an almost empty cache. Rows are stored in
// f32: a probability within the rounding of f16 of 1/t falls on the other side of it now and then.
func TestCORMGoldens(t *testing.T) {
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		var goldens []struct {
			goldenRecord
			Params struct {
				W           int    `json:"w"`
				R           int    `json:"r"`
				Mode        string `json:"mode"`
				Granularity string `json:"granularity"`
			} `json:"params"`
		}
		readJSON(t, filepath.Join("..", "testdata", "goldens", name, "corm.json"), &goldens)
		decode := map[string]int{"prefill": 0, "prefill_decode32": 32, "stepwise": tr.Tokens - 1}
		results := map[string]record.Record{}
		for _, g := range goldens {
			spec := fmt.Sprintf("corm:agg=any,recent=%d,window=%d", g.Params.R, g.Params.W)
			if g.Params.Granularity == "query_head" {
				spec += ",layout=query"
			}
			spec += "+f32"
			key := spec + g.Params.Mode
			rec, ok := results[key]
			if !ok {
				rec = runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{tr.Tokens}, Decode: new(decode[g.Params.Mode]), Kept: true})[0]
				results[key] = rec
			}
			kept := rec.Kept
			if g.Params.Mode != "prefill" {
				kept = rec.KeptFinal
			}
			head := g.KVHead
			if g.QHead != nil {
				head = *g.QHead
			}
			if got := kept[g.Layer][head]; !slices.Equal(got, g.Kept) {
				t.Errorf("%s %s %s layer %d head %d: keeps\n%v, want\n%v", name, spec, g.Params.Mode, g.Layer, head, got, g.Kept)
			}
		}
	}
}
