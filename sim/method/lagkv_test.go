package method

import (
	"math"
	"slices"
	"testing"
)

// TestLagKVShortPrompt: below two parts after the sinks, the sinks and the most recent stay; from there on the
// first part is ranked.
func TestLagKVShortPrompt(t *testing.T) {
	v := randomView(t, 60)
	for _, spec := range []string{"lagkv:budget=20,lag=29", "lagkv:budget=20"} {
		for _, keep := range decided(t, spec, v).Keep {
			if want := append(span(0, 4), span(44, 60)...); !slices.Equal(keep, want) {
				t.Errorf("%s keeps %v, want %v", spec, keep, want)
			}
		}
	}
	keep := decided(t, "lagkv:budget=40,lag=28", v).Keep[0] // sinks, 28 ranked, 28 that stay
	if !slices.Equal(keep[len(keep)-28:], span(32, 60)) || !slices.Equal(keep[:4], span(0, 4)) {
		t.Errorf("keeps %v, want the sinks and the last part among them", keep)
	}
}

// TestLagKVRanks: a part of two tokens against the next, by hand. Channels of the reference range from 0 to 1,
// so that scaled rows are the rows; their spread decides.
func TestLagKVRanks(t *testing.T) {
	k := [][]float32{{9, 9}, {0, 0.5}, {0, 1}, {0, 0}, {1, 1}, {5, 5}}
	v := rowsView(k, k)
	m := lagKV{sinks: 1, lag: 2}
	if got, want := m.scores(v, 0), []float64{1, 0, 0.5, 1, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("scores %v, want %v", got, want)
	}
	// The sample's deviation: 0.5/sqrt(2) and 1/sqrt(2) apart.
	p := m.spread(v.K[0], 2, 1)
	if want := 1 / (1 + math.Exp(0.5/math.Sqrt2)); math.Abs(p[0]-want) > 1e-12 || math.Abs(p[0]+p[1]-1) > 1e-12 {
		t.Errorf("softmax %v, want %g first", p, want)
	}
}

// TestLagKVFlatChannel: a channel without range in the reference says nothing of the part; the later of its
// tokens rank higher, as those of equal scores do.
func TestLagKVFlatChannel(t *testing.T) {
	v := randomView(t, 60)
	for i := range 60 {
		v.K[0][i*8] = 1
	}
	scores := lagKV{sinks: 0, lag: 20}.scores(v, 0)
	for i := range 40 {
		if scores[i] != float64(i%20)/20 {
			t.Fatalf("scores %v, want ranks by position in the first parts", scores)
		}
	}
}

// TestLagKVBelowItsParts warns where what scores highest exceeds the budget.
func TestLagKVBelowItsParts(t *testing.T) {
	v := randomView(t, 60)
	d := decided(t, "lagkv:budget=20,lag=28", v)
	if len(d.Warnings) != 1 || d.Warnings[0].Code != "clamped" {
		t.Errorf("warnings %v", d.Warnings)
	}
	if want := append(span(0, 4), span(32, 48)...); !slices.Equal(d.Keep[0], want) {
		t.Errorf("keeps %v, want %v", d.Keep[0], want)
	}
}
