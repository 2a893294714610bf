package method

import (
	"fmt"
	"slices"
	"testing"
)

// TestAdaKVBudgets computes budgets from scores whose winners are plain to see: heads of 10 entries before a
// window of 2, each entry of a head above all of the heads after it.
func TestAdaKVBudgets(t *testing.T) {
	scores := make([][]float64, 3)
	for j, top := range []float64{1, 0.1, 0.01} {
		for i := range 10 {
			scores[j] = append(scores[j], top*(1-float64(i)/20))
		}
		scores[j] = append(scores[j], 2, 2)
	}
	o := observation{window: 2}
	for _, tt := range []struct {
		name  string
		alpha float64
		base  int
		want  []int
	}{
		{"winner takes all", 0, 3, []int{9 + 2, 2, 2}},
		{"that it holds", 0, 4, []int{10 + 2, 2 + 2, 2}},
		{"half is shared, the floor truncated, 5.5 is 6", 0.5, 3, []int{6 + 2, 1 + 2, 1 + 2}},
		{"and 4.5 is 4", 0.5, 5, []int{7 + 2, 4 + 2, 2 + 2}},
		{"all is shared", 1, 4, []int{4 + 2, 4 + 2, 4 + 2}},
		{"the whole prompt", 0.2, 10, []int{10 + 2, 10 + 2, 10 + 2}},
	} {
		if got := (adaKV{observation: o, alpha: tt.alpha}).factory(scores, tt.base); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		alpha float64
		keep  int
		want  []int
	}{
		{0, 4, []int{8, 2, 2}},   // the windows, and the six best
		{0.5, 4, []int{8, 2, 2}}, // the window fills what is safe
		{0.8, 4, []int{6, 3, 3}}, // one entry besides the window is safe
		{1, 4, []int{4, 4, 4}},
		{0.2, 12, []int{12, 12, 12}},
	} {
		if got := (adaKV{observation: o, alpha: tt.alpha, kvpress: true}).across(scores, tt.keep); !slices.Equal(got, tt.want) {
			t.Errorf("kvpress, alpha %g, %d: %v, want %v", tt.alpha, tt.keep, got, tt.want)
		}
	}
}

// TestAdaKVNormalizes: a head whose scores are spread loses weight, and order within a head stays.
func TestAdaKVNormalizes(t *testing.T) {
	// The best 2 of each head hold 0.9 and 0.5 of its sum.
	scores := [][]float64{{0.5, 0.4, 0.1, 0}, {0.55, 0.45, 0.5, 0.5}}
	m := adaKV{}
	if got, want := m.factory(scores, 2), []int{1, 3}; !slices.Equal(got, want) {
		t.Errorf("plain: %v, want %v", got, want)
	}
	m.normalize = true // 0.45 0.36 0.09 0 against 0.2888 0.236 0.2625 0.2625
	if got, want := m.factory(scores, 2), []int{2, 2}; !slices.Equal(got, want) {
		t.Errorf("normalised: %v, want %v", got, want)
	}
}

// TestAdaKVAtItsCapacity: as in the published code, a prompt of exactly the budget is still reduced, by what
// rounding loses: 55 entries before the window of 5 make 55*0.8 + 11 = 55, of 56 make 44.8 + 11, rounded 56,
// of 53 make 42.4 + 10, rounded 52.
func TestAdaKVAtItsCapacity(t *testing.T) {
	for rows, want := range map[int]int{60: 60, 61: 61, 58: 57} {
		for _, spec := range []string{"adakv:budget=100%,window=5", "snapkv:budget=100%,window=5+adakv"} {
			for _, keep := range decided(t, spec, randomView(t, rows)).Keep {
				if len(keep) != want {
					t.Errorf("%s of %d rows keeps %d, want %d", spec, rows, len(keep), want)
				}
			}
		}
		if d := decided(t, "adakv:budget=100%,variant=kvpress,window=5", randomView(t, rows)); d.Keep != nil {
			t.Errorf("kvpress reduces %d rows to %v", rows, d.Keep)
		}
	}
}

// TestAdaKVRoundsAsKvpress: a layer holds n*int(rows*(1-ratio)) entries of n heads, in floating point, whose results
// for the ratio 1 - budget these are.
func TestAdaKVRoundsAsKvpress(t *testing.T) {
	for _, tt := range []struct {
		budget     string
		rows, want int
	}{
		{"10%", 100, 9},
		{"9.999999999999998%", 100, 9},
		{"20%", 100, 19},
		{"25%", 100, 25},
		{"70%", 90, 62},
		{"70%", 100, 70},
		{"13", 90, 13},
	} {
		v, held := randomView(t, tt.rows), 0
		for _, head := range decided(t, fmt.Sprintf("adakv:budget=%s,variant=kvpress,window=5", tt.budget), v).Keep {
			held += len(head)
		}
		if held != tt.want*v.Heads() {
			t.Errorf("%s of %d rows: %d entries in %d heads, want %d each", tt.budget, tt.rows, held, v.Heads(), tt.want)
		}
	}
}
