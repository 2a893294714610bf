package method

import (
	"fmt"
	"slices"
	"testing"
)

// TestChunkCounts: as many chunks as the share of them, rounded down, the tail counted as one.
func TestChunkCounts(t *testing.T) {
	tests := []struct {
		rows, chunk int
		budget      string
		want        []int // possible counts of entries: with or without the tail
	}{
		{60, 4, "30", []int{28}},                      // 15 chunks, 7.5
		{60, 4, "50%", []int{28}},                     // the same
		{58, 4, "50%", []int{28, 26}},                 // 15 chunks, the last of 2
		{60, 1, "29", []int{29}},                      // entries
		{100, 1, "29%", []int{29}},                    // 0.29*100 is below 29 in floating point
		{200, 20, "9.999999999999998%", []int{20}},    // 1-0.9 in floating point: one chunk would be above
		{91, 10, "19.999999999999996%", []int{10, 1}}, // 10 chunks, just below 2 of them: 1-0.8
		{91, 10, "20%", []int{10, 1}},                 // the same, as kvpress computes it
		{60, 20, "19", []int{20}},                     // never less than one
		{60, 40, "31", []int{40, 20}},                 // 2 chunks, 1.03
	}
	for _, tt := range tests {
		keep := decided(t, fmt.Sprintf("chunkkv:budget=%s,chunk=%d,window=5", tt.budget, tt.chunk), randomView(t, tt.rows)).Keep
		if !slices.Contains(tt.want, len(keep[0])) {
			t.Errorf("%d rows, chunks of %d, budget %s: %d entries, want %v", tt.rows, tt.chunk, tt.budget, len(keep[0]), tt.want)
		}
		if !slices.Equal(keep[0], keep[1]) {
			t.Errorf("heads keep %v and %v", keep[0], keep[1])
		}
		for _, i := range keep[0] {
			if mate := i / int32(tt.chunk) * int32(tt.chunk); !slices.Contains(keep[0], mate) {
				t.Errorf("keeps %d without %d", i, mate)
			}
		}
	}
}

// TestChunksOfTheWindowTie: the last whole chunk and the tail behind it lie within the window and score the same,
// so that the first of them goes first, whatever their scores round to.
func TestChunksOfTheWindowTie(t *testing.T) {
	for chunk := 4; chunk < 20; chunk++ {
		for tail := 1; tail < chunk-3; tail++ {
			window, rows := chunk+tail, 10*chunk+tail
			spec := fmt.Sprintf("chunkkv:budget=%d,chunk=%d,pool=none,window=%d", window+1, chunk, window)
			if got, want := decided(t, spec, randomView(t, rows)).Keep[0], span(9*chunk, 10*chunk); !slices.Equal(got, want) {
				t.Errorf("%s of %d rows: keeps %v, want %v", spec, rows, got, want)
			}
		}
	}
}

// TestPromptBelowAChunk is reduced entry by entry.
func TestPromptBelowAChunk(t *testing.T) {
	v := randomView(t, 60)
	a, b := decided(t, "chunkkv:budget=23,chunk=61", v).Keep, decided(t, "snapkv:budget=23", v).Keep
	if !slices.EqualFunc(a, b, slices.Equal) {
		t.Errorf("keeps %v, snapkv %v", a, b)
	}
}
