package sim

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// TestOnlineBytesFormula holds cache bytes and the traffic of the last step against the closed formulas, below, at
// and above the budget.
func TestOnlineBytesFormula(t *testing.T) {
	const budget, decode, e = 24, 16, 2
	ceil := func(a, b int) int { return (a + b - 1) / b }
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		layers, g, h, d := len(tr.Layers), tr.Attention[0].KVHeads, tr.Attention[0].QHeads, tr.Attention[0].QKDim
		row := 2 * d * e
		for _, n := range []int{budget - 1, budget, budget + 1, budget + decode, budget + decode + 1, 96} {
			prompt := n - decode
			kept, held := min(prompt, budget), min(n, budget)
			last := min(n, budget+1) // entries that the last step attended
			fired := n / 16 * 16     // the last multiple of 16, of which decoding reaches one
			cut := min(kept+fired-prompt, budget) + n - fired
			read := cut
			if fired == n {
				read = (kept + decode) * 3 / 2 // and the keys once more to decide
			}
			want := map[string][2]int{
				"h2o:budget=24":                         {layers * g * held * (row + 4), layers * g * last * (row + 4)},
				"h2o:budget=24,layout=query":            {layers * h * held * (row + 4), layers * h * last * (row + 4)},
				"h2o:budget=24,variant=kvcache-factory": {layers * g * (kept + decode) * row, layers * g * (kept + decode) * row},
				"tova:budget=24":                        {layers * g * held * row, layers * g * last * row},
				"tova:budget=24,variant=kvpress":        {layers * g * (kept + decode) * row, layers * g * (kept + decode) * row},
				"rkv:budget=24":                         {layers*g*(kept+decode)*row + layers*h*8*d*e, layers * g * (kept + decode) * row},
				"triattention:budget=24":                {layers * g * (kept + decode) * row, layers * g * (kept + decode) * row},
				"triattention:budget=24,interval=16":    {layers * g * cut * row, layers * g * read * row},
				"duoattention:recent=10,sinks=3":        {layers * g / 2 * (n + min(n, 13)) * row, layers * g / 2 * (n + min(n, 13)) * row},
				"quest:dense=99":                        {layers * g * (n*row + ceil(n, 16)*row), 0},
				"dsa:dim=8,topk=20":                     {layers * (n*g*row + n*(8+4)), layers * (n*(8+4) + min(n, 20)*g*row)},
				"dsa:index=oracle,topk=20":              {layers * n * g * row, layers * min(n, 20) * g * row},
			}
			specs := slices.Sorted(maps.Keys(want))
			for _, r := range runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{n}, Decode: new(decode)}) {
				if r.Status != record.OK {
					t.Errorf("%s %s at %d: %s", name, r.Pipeline, n, r.Reason)
					continue
				}
				spec := strings.ReplaceAll(r.Pipeline, "budget=25%,", "")
				w := want[spec]
				if *r.CacheBytes != int64(w[0]) {
					t.Errorf("%s %s at %d: cache_bytes %d, want %d", name, r.Pipeline, n, *r.CacheBytes, w[0])
				}
				if w[1] > 0 && *r.TrafficBytes != int64(w[1]) {
					t.Errorf("%s %s at %d: traffic_bytes %d, want %d", name, r.Pipeline, n, *r.TrafficBytes, w[1])
				}
			}
		}
	}
}

// TestQuestTraffic: the bounds of all pages, and the pages read, which the query heads of a group share where they
// agree.
func TestQuestTraffic(t *testing.T) {
	tr := golden(t, "tiny") // 4 layers, 4 heads of 16, no groups
	const n, page, row, bounds = 96, 4, 64, 64
	r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "quest:budget=20,page=4"), Lengths: []int{n}, Decode: new(16)})[0]
	want := int64(2*4*n*row + 2*4*(n/page*bounds+20*row)) // layers 0 and 1 in full
	if *r.TrafficBytes != want {
		t.Errorf("traffic %d, want %d", *r.TrafficBytes, want)
	}
	grouped := golden(t, "gqa")
	for _, r := range runCells(t, Options{Traces: headers(grouped), Pipelines: parse(t, "quest:budget=64,dense=99"), Lengths: []int{320}, Decode: new(16)}) {
		perLayer := func(entries int64) int64 { return 6 * 2 * (20*4*32 + entries*4*32) }
		if *r.TrafficBytes < perLayer(64) || *r.TrafficBytes > perLayer(4*64) || *r.TrafficBytes >= *r.CacheBytes {
			t.Errorf("traffic %d is not between one page set and four a KV head", *r.TrafficBytes)
		}
	}
}

// TestRocketBytes holds the two stages' bytes against the formula.
func TestRocketBytes(t *testing.T) {
	tr := golden(t, "gqa")
	layers, g, d := len(tr.Layers), tr.Attention[0].KVHeads, tr.Attention[0].QKDim
	for _, tt := range []struct{ budget, decode int }{{60, 16}, {100, 16}, {150, 8}, {40, 4}} {
		spec := fmt.Sprintf("rocketkv:budget=%d,window=8", tt.budget)
		r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{320}, Decode: new(tt.decode), Kept: true})[0]
		if r.Status != record.OK {
			t.Errorf("%s: %s", spec, r.Reason)
			continue
		}
		prompt := float64(320 - tt.decode)
		c := prompt / float64(tt.budget)
		capacity := int(prompt / math.Pow(c, min(0.2+0.06*math.Log2(c), 0.8)))
		c2 := max(1, float64(capacity)/float64(tt.budget))
		m := int(math.Ceil(math.Sqrt(c2)))
		if float64(m) > c2 {
			m = 1
		}
		if got := len(r.Kept[0][0]); got != capacity-tt.decode {
			t.Errorf("%s: the prompt keeps %d, want %d", spec, got, capacity-tt.decode)
		}
		chunks, width, bounds := (capacity+m-1)/m, int(float64(d*m)/c2), 2
		if m == 1 {
			bounds = 1
		}
		cacheBytes := layers * g * (capacity*4*d + chunks*bounds*2*d)
		traffic := layers * g * (chunks*width*2 + tt.budget/2*4*d)
		if *r.CacheBytes != int64(cacheBytes) || *r.TrafficBytes != int64(traffic) {
			t.Errorf("%s: cache %d and traffic %d, want %d and %d", spec, *r.CacheBytes, *r.TrafficBytes, cacheBytes, traffic)
		}
	}
}

// TestRocketPageBytes: both bounds of all channels of every page are kept and read, a byte each, whether or not
// pages are left out.
func TestRocketPageBytes(t *testing.T) {
	tr := golden(t, "gqa")
	layers, g, d := len(tr.Layers), tr.Attention[0].KVHeads, tr.Attention[0].QKDim
	for _, tt := range []struct{ budget, page, top, kept, read int }{
		{60, 4, 5, 76, 20}, {60, 4, 19, 76, 76}, {61, 4, 64, 77, 77}, {100, 16, 2, 116, 32}, {304, 8, 3, 320, 24},
	} {
		spec := fmt.Sprintf("rocketkv:budget=%d,page=%d,preset=trtllm,topk=%d,window=8", tt.budget, tt.page, tt.top)
		r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{320}, Decode: new(16), Kept: true})[0]
		if r.Status != record.OK || len(r.Kept[0][0]) != tt.budget {
			t.Fatalf("%s: %s, the prompt keeps %d", spec, r.Reason, len(r.Kept[0][0]))
		}
		bounds := (tt.kept + tt.page - 1) / tt.page * 2 * d
		cacheBytes := int64(layers * g * (tt.kept*4*d + bounds))
		most := int64(layers * g * (tt.read*4*d + bounds)) // a page that is not full yet may be read
		if *r.CacheBytes != cacheBytes || *r.TrafficBytes > most || *r.TrafficBytes < most-int64(layers*g*(tt.page-1)*4*d) {
			t.Errorf("%s: cache %d and traffic %d, want %d and %d", spec, *r.CacheBytes, *r.TrafficBytes, cacheBytes, most)
		}
	}
}

// TestLargerBudgetKeepsMore: of the prompt, and in each head.
func TestLargerBudgetKeepsMore(t *testing.T) {
	t.Parallel()
	tr := golden(t, "gqa")
	tr.Repeat = trace.Span{First: 40, Last: 70}
	counts := map[string]int{} // by pipeline without its budget, layer and head
	var budgets []method.Entries
	for _, n := range []int{33, 40, 80, 81, 200, 319, 400} {
		budgets = append(budgets, method.Entries{Count: n})
	}
	ps := alone(t, budgets, method.Eviction, method.Selection, method.Bound)
	ps = slices.DeleteFunc(ps, func(p *method.Pipeline) bool { return p.Traits()&method.Uneven != 0 })
	budget := regexp.MustCompile(`budget=\d+,?`)
	for _, r := range runCells(t, Options{Traces: headers(tr), Pipelines: ps, Lengths: []int{320}, Decode: new(16), Kept: true}) {
		if r.Status != record.OK {
			t.Errorf("%s: %s", r.Pipeline, r.Reason)
		}
		for l, heads := range r.Kept {
			for j, pos := range heads {
				at := fmt.Sprint(budget.ReplaceAllString(r.Pipeline, ""), l, j)
				if len(pos) < counts[at] {
					t.Errorf("%s: keeps %d entries, a smaller budget %d", r.Pipeline, len(pos), counts[at])
				}
				counts[at] = len(pos)
			}
		}
	}
}

// TestIndexOracleHoldsMostMass: no set that is the same for all heads holds more of it than the oracle's.
func TestIndexOracleHoldsMostMass(t *testing.T) {
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		recs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, "dsa:index=oracle,topk=30", "dsa:topk=30", "dsa:dim=16,topk=30", "tova:budget=29", "streamingllm:budget=30"), Lengths: []int{96}, Decode: new(20)})
		for _, r := range recs[1:] {
			if *r.Error.Mass > *recs[0].Error.Mass+1e-6 {
				t.Errorf("%s holds %g of the mass, the oracle %g", r.Pipeline, *r.Error.Mass, *recs[0].Error.Mass)
			}
		}
	}
}

// TestSelectionAfterMovingEntries: an index of entries needs them to stay.
func TestSelectionAfterMovingEntries(t *testing.T) {
	tr := golden(t, "tiny")
	for _, spec := range []string{"h2o+quest", "tova+quest", "corm+quest", "streamingllm+quest", "duoattention+quest", "snapkv:interval=4+quest", "snapkv+rocketkv", "snapkv+dsa", "rkv+dsa"} {
		_, err := NewPlan(Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{96}, Decode: new(16), MaxMemory: 1 << 30, Threads: 1})
		if err == nil {
			t.Errorf("%s is planned", spec)
		}
	}
	for _, spec := range []string{"snapkv+quest", "pyramidkv+int8+quest", "h2o:variant=kvpress+quest:page=4"} {
		if _, err := NewPlan(Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{96}, Decode: new(16), MaxMemory: 1 << 30, Threads: 1}); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// TestSelectionKnowsWhatMoves: whatever loses an entry while decoding is refused before every selection.
func TestSelectionKnowsWhatMoves(t *testing.T) {
	tr := golden(t, "gqa")
	tr.Repeat = trace.Span{First: 40, Last: 70}
	o := Options{Traces: headers(tr), Pipelines: alone(t, []method.Entries{{Percent: 25}}, method.Eviction), Lengths: []int{320}, Decode: new(32), Kept: true}
	var moving []string
	for _, r := range runCells(t, o) {
		moved := false
		for l := range r.Kept {
			for j, kept := range r.Kept[l] {
				moved = moved || len(r.KeptFinal[l][j]) < len(kept)+32
			}
		}
		if moved {
			moving = append(moving, r.Pipeline)
		}
	}
	o.Pipelines = parse(t, "full")
	for _, index := range parse(t, string(method.Selection)) {
		for _, before := range moving {
			o.Pipelines = append(o.Pipelines, parse(t, before+"+"+index.Name)...)
		}
	}
	o.MaxMemory, o.Threads = 1<<34, 1
	plan, err := NewPlan(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range plan.Cells[1:] {
		if c.Skip == "" {
			t.Errorf("%s: entries are lost while decoding, yet a selection may follow", c.Pipeline.Name)
		}
	}
}

// TestSelectionReadsTurnedKeys: a rotation of what is stored changes neither what an index of plain keys
// chooses nor what the oracle does, but for rounding.
func TestSelectionReadsTurnedKeys(t *testing.T) {
	tr := golden(t, "gqa")
	specs := []string{"q8_0:rotate=off+dsa:dim=16,topk=60", "q8_0:block=32+dsa:dim=16,topk=60", "q8_0:rotate=off+dsa:index=oracle,topk=60", "q8_0:block=32+dsa:index=oracle,topk=60"}
	recs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{320}, Decode: new(16)})
	for i := 0; i < len(recs); i += 2 {
		off, on := recs[i], recs[i+1]
		if off.Status != record.OK || on.Status != record.OK {
			t.Fatalf("%s: %s, %s: %s", off.Pipeline, off.Reason, on.Pipeline, on.Reason)
		}
		if math.Abs(*off.Error.Mass-*on.Error.Mass) > 0.01 {
			t.Errorf("%s reads %g of the mass, %s %g", off.Pipeline, *off.Error.Mass, on.Pipeline, *on.Error.Mass)
		}
	}
}
