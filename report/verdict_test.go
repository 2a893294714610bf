package report

import (
	"testing"

	"kvgauge/sim/record"
)

// measured is a record of a pipeline with a cache of a share of 1000 bytes and an error.
func measured(pipeline, family string, cache int64, err float64) record.Record {
	full := int64(1000)
	return record.Record{
		Schema: 1, Status: record.OK, Trace: "t", Pipeline: pipeline, Family: family, SeqLen: 64, Decode: 8,
		CacheBytes: &cache, CacheBytesFull: &full, TrafficBytes: &cache, Error: &record.ErrorStats{RelL2: err},
	}
}

func TestVerdict(t *testing.T) {
	reference := measured("full", "baseline", 1000, 0)
	for _, c := range []struct {
		name    string
		records []record.Record
		want    string
	}{
		{"nothing measured", []record.Record{{Pipeline: "a", Status: record.Skipped}}, ""},
		{
			"full alone",
			[]record.Record{reference},
			"smallest cache with an error within 1 %: none but full; 5 %: none but full; 10 %: none but full",
		},
		{
			"no full",
			[]record.Record{measured("a", "eviction", 100, 0.5)},
			"smallest cache with an error within 1 %: none; 5 %: none; 10 %: none",
		},
		{
			"smallest at each error, the limit included",
			[]record.Record{reference, measured("a", "eviction", 500, 0.01), measured("b", "sharing", 250, 0.05), measured("c", "latent", 125, 0.06)},
			"smallest cache with an error within 1 %: a (500 B, 50.0 % of full); 5 %: b (250 B, 25.0 % of full); 10 %: c (125 B, 12.5 % of full)",
		},
		{
			"bounds and what is no smaller than full",
			[]record.Record{reference, measured("a", "bound", 10, 0), measured("b", "sharing+bound", 10, 0), measured("c", "sharing", 1000, 0)},
			"smallest cache with an error within 1 %: none but full; 5 %: none but full; 10 %: none but full",
		},
		{
			"less error among equals",
			[]record.Record{measured("a", "eviction", 500, 0.009), measured("b", "eviction", 500, 0.008), measured("c", "eviction", 500, 0.008)},
			"smallest cache with an error within 1 %: b = c (500 B, 50.0 % of full); 5 %: b = c (500 B, 50.0 % of full); 10 %: b = c (500 B, 50.0 % of full)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if lines := verdict(section{c.records}); lines != nil {
				got = lines[0]
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestCompetes lets in a method that reads less than it holds, and only methods that reduce something.
func TestCompetes(t *testing.T) {
	reads := measured("a", "selection", 1010, 0.1)
	traffic := int64(100)
	reads.TrafficBytes = &traffic
	skipped := measured("a", "eviction", 10, 0.1)
	skipped.Status = record.Skipped
	for _, c := range []struct {
		name string
		r    record.Record
		want bool
	}{
		{"smaller", measured("a", "eviction", 999, 0.1), true},
		{"as large", measured("a", "sharing", 1000, 0.1), false},
		{"reads less", reads, true},
		{"reference", measured("a", "baseline", 999, 0.1), false},
		{"bound in a composition", measured("a", "sharing+bound", 10, 0.1), false},
		{"skipped", skipped, false},
	} {
		if got := competes(c.r); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestVerdictLines: the fastest step with those that cannot be told apart, what beats what, and what changes the reading.
func TestVerdictLines(t *testing.T) {
	timed := func(r record.Record, ratio, lo, hi float64, noisy bool) record.Record {
		r.Latency = &record.Latency{RatioToFull: ratio, RatioLo: &lo, RatioHi: &hi, Noisy: noisy}
		return r
	}
	massed := func(r record.Record, mass float64) record.Record {
		e := *r.Error
		e.Mass, r.Error = &mass, &e
		return r
	}
	warned := func(r record.Record, code string) record.Record {
		r.Warnings = append(r.Warnings, record.Warning{Code: code})
		return r
	}
	lines := verdict(section{[]record.Record{
		timed(measured("full", "baseline", 1000, 0), 1, 0.99, 1.01, false),
		timed(measured("fast", "quantisation", 500, 0.04), 0.5, 0.48, 0.52, false),
		timed(warned(measured("near", "sharing", 500, 0.02), "fitted-on-sequence"), 0.51, 0.5, 0.55, false),
		timed(measured("slow", "quantisation", 600, 0.03), 0.9, 0.8, 0.95, false),
		timed(measured("loud", "quantisation", 400, 0.05), 0.1, 0.01, 0.9, true),
		measured("small", "eviction", 100, 0.3),
		massed(warned(measured("knows:budget=1", "bound", 100, 0.4), "unknown-field"), 0.9), massed(measured("chance:budget=1", "bound", 100, 0.35), 0.2),
	}})
	want := []string{
		"smallest cache with an error within 1 %: none but full; 5 %: loud (400 B, 40.0 % of full); 10 %: loud (400 B, 40.0 % of full)",
		"fastest step with an error within 5 %: fast (0.500x ±4 % of full's), not told apart from near, loud",
		"on the front of bytes and error: near, loud, small; in both, near beats fast, slow" +
			"; mind: unknown-field of the trace, the bounds bound nothing: knows:budget=1 has more error than chance:budget=1, 1 of 5 step times are noisy",
	}
	for i, line := range lines {
		if i >= len(want) || line != want[i] {
			t.Errorf("line %d: %s", i, line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d lines, want %d", len(lines), len(want))
	}
	lines = verdict(section{[]record.Record{warned(measured("a", "latent", 100, 0.005), "fitted-on-sequence")}})
	if len(lines) != 2 || lines[1] != "on the front of bytes and error: a; mind: fitted-on-sequence of a" {
		t.Errorf("a winner's warning: %q", lines)
	}
}
