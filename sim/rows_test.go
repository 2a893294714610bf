package sim

import (
	"reflect"
	"testing"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// TestHeld: traces keep as many layers as leave room for the dearest cell, the first ones first.
func TestHeld(t *testing.T) {
	first, second := golden(t, "tiny"), golden(t, "gqa")
	o := Options{
		Traces: headers(first, second), Pipelines: parse(t, "full", "mha"), Lengths: []int{64, 96},
		Decode: new(16), Repeats: 5, Threads: 1, MaxMemory: 1 << 40,
	}
	plan := planned(t, o)
	dearest, need := int64(0), map[*trace.Header]int64{}
	for _, c := range plan.Cells {
		dearest = max(dearest, c.Memory)
		tr := c.Trace
		// Of 64 tokens the last quarter of the prompt of 48 tells minor keys; earlier queries are not read.
		need[tr] = 4 * int64(len(tr.Layers)*tr.Attention[0].QKDim*(96*2*tr.Attention[0].KVHeads+(96-36)*tr.Attention[0].QHeads))
	}
	both := need[&first.Header] + need[&second.Header]
	room := collected(need[&first.Header]) + collected(need[&second.Header]) // with the garbage between them
	for _, tt := range []struct{ memory, want int64 }{
		{dearest + room, both},
		{dearest + room - 100, both - need[&second.Header]/int64(len(second.Layers))},
		{dearest + collected(need[&first.Header]), need[&first.Header]},
		{dearest + collected(need[&first.Header]/int64(len(first.Layers))), need[&first.Header] / int64(len(first.Layers))},
		{dearest + collected(min(need[&first.Header]/int64(len(first.Layers)), need[&second.Header]/int64(len(second.Layers)))) - 100, 0},
	} {
		plan.MaxMemory = tt.memory
		if got := plan.RowBytes(); got != tt.want {
			t.Errorf("%d bytes allowed beyond the dearest cell: %d held, want %d", tt.memory-dearest, got, tt.want)
		}
		loaded, err := Load(t.Context(), plan, plan.inputs())
		if err != nil {
			t.Fatal(err)
		}
		var held int64
		for _, r := range loaded.rows {
			for _, l := range r.held {
				for _, heads := range [][][]float32{l.K, l.V, l.Q} {
					for _, rows := range heads {
						held += 4 * int64(len(rows))
					}
				}
			}
		}
		if held != tt.want {
			t.Errorf("%d bytes allowed beyond the dearest cell: Load holds %d, want %d", tt.memory-dearest, held, tt.want)
		}
	}
}

// TestUnreadQueries: a cell reads the queries that its pipeline asks for and no others, and its record is the same as
// where the others are there.
func TestUnreadQueries(t *testing.T) {
	tr := openTrace(t, "synth:layers=3,q_heads=4,kv_heads=2,head_dim=16,tokens=192")
	few, ran := 0, 0
	for _, p := range parse(t, everything...) {
		o := Options{
			Traces: headers(tr), Pipelines: []*method.Pipeline{p}, Lengths: []int{192}, Decode: new(16), Threads: 1,
			MaxMemory: 1 << 40, NoLatency: true, Seed: 1, Kept: true, Page: 16,
		}
		plan, err := NewPlan(o)
		if err != nil {
			continue // does not apply at all
		}
		records := func(first int) (rs []record.Record) {
			loaded, err := Load(t.Context(), plan, plan.inputs())
			if err != nil {
				t.Fatal(err)
			}
			r := loaded.rows[&tr.Header]
			if first >= 0 {
				r = newRows(tr, rowsRange{192, first}, 3)
				loaded.rows[&tr.Header] = r
			}
			s, err := loaded.Size(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Run(t.Context(), nil, func(r record.Record) error { rs = append(rs, r); return nil }); err != nil {
				t.Fatal(err)
			}
			for _, l := range r.held {
				if l.FirstQuery != max(r.first, 0) {
					t.Errorf("%s: queries from token %d on are held, want %d", p.Name, l.FirstQuery, r.first)
				}
			}
			ran++
			if r.first > 0 {
				few++
			}
			return rs
		}
		if got, want := records(-1), records(0); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: with the queries from token %d on\n%+v\nwant, with all,\n%+v", p.Name, plan.ranges()[&tr.Header].first, got, want)
		}
	}
	if few < 50 || ran < 200 {
		t.Errorf("%d of %d runs left queries out: the test says nothing", few, ran)
	}
}
