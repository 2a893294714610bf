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
			"smallest cache with an error within 1 %: b (500 B, 50.0 % of full); 5 %: b (500 B, 50.0 % of full); 10 %: b (500 B, 50.0 % of full)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := verdict(section{c.records}); got != c.want {
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
