package stats

import (
	"context"
	"errors"
	"testing"

	"kvgauge/sim/trace"
)

// silent is a trace in which every query attends evenly to all keys but key 3, for which the query at
// token 100 alone asks.
func silent(queries int) *subject {
	const key, asks = 3, 100
	return handmade(128, queries, func(_ int, kind string, i int) [4]float32 {
		switch {
		case kind == "q" && i == asks:
			return [4]float32{0, 40}
		case kind == "q":
			return [4]float32{40}
		case i == key:
			return [4]float32{0, 1}
		}
		return [4]float32{1}
	})
}

func TestReturnsOfPlantedSilence(t *testing.T) {
	s := statsOf(t, silent(128), Options{Returns: true})
	r := s.Layers[1].Returns
	if r == nil {
		t.Fatal("none")
	}
	// Of each of two heads: every query but that of token 100 finds all earlier keys but one important,
	// one step after they last were; that of token 101 finds those that token 100 passed over after two.
	want := []int{2 * 7806, 2 * 99, 0, 0, 0, 0, 2 * 1}
	if len(r.Octaves) != len(want) {
		t.Fatalf("%d octaves, want %d: %+v", len(r.Octaves), len(want), r.Octaves)
	}
	for i, o := range r.Octaves {
		if o.Events != want[i] || o.From != 1<<i || o.To != 2<<i-1 {
			t.Errorf("octave %d: %+v, want %d events", i, o, want[i])
		}
		near(t, "share", o.Share, float64(want[i])/(2*7906))
	}
	if r.Queries != 256 || r.Events != 2*7906 || r.Unknown != 0 {
		t.Errorf("%d queries, %d events, %d unknown", r.Queries, r.Events, r.Unknown)
	}
	near(t, "keys", r.ImportantKeys, 8032./128)
	near(t, "mass", r.ImportantMass, 1)
	near(t, "events over 64", *r.EventsOver64, 1./7906)
	near(t, "mass over 64", r.MassOver64, 1./128)
	near(t, "mass of the octave", r.Octaves[6].Mass, 1./128)
	if *r.EventsOver256 != 0 || r.MassOver256 != 0 {
		t.Errorf("silences over 256 in 128 tokens: %+v", r)
	}
	if all := s.Mean.Returns; all.Events != 4*7906 || all.Queries != 512 || *all.EventsOver64 != *r.EventsOver64 {
		t.Errorf("of all layers: %+v", all)
	}
}

// TestReturnsOfFewQueries: what happened before the first query held is not taken for silence.
func TestReturnsOfFewQueries(t *testing.T) {
	tr := silent(40)
	r := statsOf(t, tr, Options{Returns: true}).Layers[0].Returns
	if r.Unknown != 2*88 { // 87 keys at token 88, key 3 at token 100
		t.Errorf("%d unknown, want %d", r.Unknown, 2*88)
	}
	if *r.EventsOver64 != 0 {
		t.Errorf("a silence over 64 within 40 queries: %+v", r)
	}
	if s := statsOf(t, tr, Options{Returns: true, Tokens: 50}); s.Mean.Returns != nil || s.Layers[0].Returns != nil {
		t.Error("returns without queries")
	}
	if s := statsOf(t, tr, Options{}); s.Mean.Returns != nil {
		t.Error("returns that nobody asked for")
	}
}

// TestReturnsOfUniformAttention: at exactly 1/t every key is important, rounding or not.
func TestReturnsOfUniformAttention(t *testing.T) {
	tr := handmade(100, 100, func(_ int, kind string, i int) [4]float32 {
		if kind == "q" {
			return [4]float32{}
		}
		return noise(1, i)
	})
	r := statsOf(t, tr, Options{Returns: true}).Mean.Returns
	near(t, "keys", r.ImportantKeys, 50.5)
	near(t, "mass", r.ImportantMass, 1)
	if len(r.Octaves) != 1 || r.Events != 4*100*99/2 {
		t.Errorf("%+v", r)
	}
	r = statsOf(t, tr, Options{Returns: true, Tokens: 1}).Mean.Returns
	if r.Events != 0 || r.EventsOver64 != nil || r.ImportantKeys != 1 {
		t.Errorf("one token: %+v", r)
	}
}

// TestReturnsAreWhole: octaves add up on real attention, and a tail is not more than its octaves.
func TestReturnsAreWhole(t *testing.T) {
	tr := open(t, "stories260k", trace.Options{})
	for _, l := range statsOf(t, tr, Options{Returns: true}).Layers {
		r := l.Returns
		var share, mass, from64 float64
		for i, o := range r.Octaves {
			share += o.Share
			mass += o.Mass
			if i >= 6 {
				from64 += o.Share
			}
		}
		near(t, "shares", share, 1)
		if mass > r.ImportantMass || r.ImportantMass > 1 || r.MassOver256 > r.MassOver64 || *r.EventsOver64 > from64 {
			t.Errorf("layer %d: %+v", l.Layer, r)
		}
	}
}

func TestReturnsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tr := silent(128)
	if _, err := measure(ctx, &tr.Header, tr.read, Options{Returns: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
