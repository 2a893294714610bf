package sim

import (
	"testing"

	"kvgauge/sim/trace"
)

// TestBytesWithoutDecode: with nothing decoded, what is read once and what is held at the end is the whole cache,
// ragged lengths, ring and maps included, even where it is larger than that of the trace's own heads.
func TestBytesWithoutDecode(t *testing.T) {
	o := Options{
		Traces: []*trace.Trace{golden(t, "gqa")}, Lengths: []int{96}, Decode: 0, Kept: true,
		Pipelines: parse(t, "full", "mha", "adakv", "streamingllm", "int8", "h2o", "adakv+int8"),
	}
	for _, r := range runCells(t, o) {
		if *r.TrafficBytes != *r.CacheBytes {
			t.Errorf("%s: traffic %d, want the cache's %d", r.Pipeline, *r.TrafficBytes, *r.CacheBytes)
		}
		if *r.PeakBytes < *r.CacheBytes {
			t.Errorf("%s: peak %d is below the cache's %d", r.Pipeline, *r.PeakBytes, *r.CacheBytes)
		}
	}
}
