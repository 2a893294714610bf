package sim

import (
	"strings"
	"testing"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// unlike are synthetic traces whose layers differ from each other, or from plain causal attention, in every way that a
// layer can say.
var unlike = []string{
	"synth:layers=4,q_heads=4,kv_heads=4,head_dim=32,window=24,full_every=2",
	"synth:layers=4,q_heads=4,kv_heads=2,head_dim=32,chunk=40,full_every=4,nope_full=1",
	"synth:layers=4,q_heads=4,kv_heads=2,head_dim=32,v_dim=16,softcap=20,sinks=1",
	"synth:layers=4,q_heads=4,kv_heads=4,head_dim=32,v_dim=64,alibi=1,rope=0",
	"synth:layers=4,q_heads=4,kv_heads=4,head_dim=64,window=24,full_every=2,window_kv_heads=2,window_head_dim=32,sinks=1",
	"synth:layers=4,q_heads=4,kv_heads=2,head_dim=32,window=200,chunk=48",
	"synth:layers=4,q_heads=4,head_dim=64,v_dim=32,latent=64,latent_rope=64,window=24,full_every=2,sinks=1,softcap=20",
}

// TestUnlikeLayers runs every pipeline on layers of every kind: it applies or says why not, and layers that it leaves
// alone have full's error.
func TestUnlikeLayers(t *testing.T) {
	for _, spec := range unlike {
		t.Run(spec, func(t *testing.T) {
			tr := openTrace(t, spec+",tokens=160")
			pipelines := parse(t, append([]string{"full"}, everything...)...)
			ok := 0
			var full record.Record
			for _, rec := range runCells(t, Options{Traces: headers(tr), Pipelines: pipelines, Lengths: []int{160}, Decode: new(16), Calibrate: itself(tr), Threads: 2}) {
				switch {
				case rec.Pipeline == "full":
					full = rec
				case rec.Status == record.Failed:
					t.Errorf("%s: %s", rec.Pipeline, rec.Reason)
				}
				if rec.Status != record.OK {
					continue
				}
				ok++
				if e := rec.Error.RelL2; !(e >= 0 && e < 10) {
					t.Errorf("%s: error %g", rec.Pipeline, e)
				}
				if m := rec.Error.Mass; m != nil && !(*m >= 0 && *m < 1+1e-9) {
					t.Errorf("%s: mass %g", rec.Pipeline, *m)
				}
				if *rec.ChangedLayers == 0 && (rec.Error.RelL2 != full.Error.RelL2 || *rec.CacheBytes != *full.CacheBytes) {
					t.Errorf("%s changes no layer: error %g of %d bytes, full's %g of %d", rec.Pipeline, rec.Error.RelL2, *rec.CacheBytes, full.Error.RelL2, *full.CacheBytes)
				}
				same := 0
				for i, e := range rec.Error.RelL2Layers {
					if e == full.Error.RelL2Layers[i] {
						same++
					}
				}
				if left := len(tr.Layers) - *rec.ChangedLayers; same < left {
					t.Errorf("%s: %d layers have full's error, %d are said to be unchanged", rec.Pipeline, same, left)
				}
			}
			if ok < 60 {
				t.Errorf("only %d of %d pipelines apply", ok, len(pipelines))
			}
		})
	}
}

// TestAllOnUnlikeLayers: with scope=all and a budget of everything a window holds what full reads.
func TestAllOnUnlikeLayers(t *testing.T) {
	for _, spec := range unlike {
		tr := openTrace(t, spec+",tokens=160")
		recs := runCells(t, Options{
			Traces: headers(tr), Lengths: []int{160}, Decode: new(16),
			Pipelines: parse(t, "full", "streamingllm:budget=100%,scope=all", "snapkv:budget=100%,scope=all", "h2o:budget=100%,scope=all", "random:budget=100%,scope=all"),
		})
		for _, rec := range recs[1:] {
			if rec.Status != record.OK {
				t.Errorf("%s: %s: %s", spec, rec.Pipeline, rec.Reason)
			} else if d := rec.Error.RelL2 - recs[0].Error.RelL2; !(d < 1e-6 && d > -1e-6) {
				t.Errorf("%s: %s: error %g, full's %g", spec, rec.Pipeline, rec.Error.RelL2, recs[0].Error.RelL2)
			}
		}
	}
}

// TestTimedWindows times steps over rings beside those of full's, and sizes a pipeline beside layers that it leaves alone.
func TestTimedWindows(t *testing.T) {
	tr := openTrace(t, unlike[0]+",tokens=160")
	o := Options{Traces: headers(tr), Pipelines: parse(t, "full", "int8", "streamingllm", "snapkv:scope=all"), Lengths: []int{160}, Decode: new(16), Repeats: 20}
	for _, rec := range runCells(t, o) {
		if rec.Status != record.OK || len(rec.Latency.StepNS) != 20 || rec.Latency.RatioToFull <= 0 {
			t.Errorf("%s: %s %s %+v", rec.Pipeline, rec.Status, rec.Reason, rec.Latency)
		}
	}
	o.Repeats, o.Pipelines = 0, parse(t, "streamingllm", "streamingllm:scope=all")
	full := *runCells(t, o)[0].CacheBytesFull
	window := int64(2 * 2 * 24 * 4 * 64) // of two layers
	for _, tt := range []struct {
		target int64
		why    string
	}{{full / 2, ""}, {window, "which scope=full leaves alone, take 24576 bytes"}} {
		rec := sized(t, o, Target{Bytes: tt.target})[0]
		if tt.why == "" && (rec.Status != record.OK || *rec.CacheBytes > tt.target) || tt.why != "" && !strings.Contains(rec.Reason, tt.why) {
			t.Errorf("at %d bytes: %s %q", tt.target, rec.Status, rec.Reason)
		}
	}
}

// TestStates: layers without keys count whole in full and in every pipeline, whichever layers are measured, and schedules
// do not run over them.
func TestStates(t *testing.T) {
	with, without := openTrace(t, "synth:layers=6,q_heads=4,kv_heads=2,head_dim=32,full_every=3,state=5000,tokens=160"), int64(4*5000)
	if got := with.Layers; len(got) != 2 || got[0] != 2 || got[1] != 5 || with.StateBytes() != without {
		t.Fatalf("layers %v, states of %d bytes", got, with.StateBytes())
	}
	rows := int64(2 * 2 * 160 * 2 * 64) // of the two layers in f16
	for _, rec := range runCells(t, Options{
		Traces: headers(with), Lengths: []int{160}, Decode: new(16),
		Pipelines: parse(t, "full", "int8", "streamingllm", "pyramidkv:budget=24", "triattention:budget=40,interval=0,mode=union"),
	}) {
		if rec.Status != record.OK {
			t.Errorf("%s: %s", rec.Pipeline, rec.Reason)
			continue
		}
		if *rec.CacheBytesFull != rows+without || *rec.StateBytes != without {
			t.Errorf("%s: full takes %d bytes with states of %d, want %d", rec.Pipeline, *rec.CacheBytesFull, *rec.StateBytes, rows+without)
		}
		for _, n := range []*int64{rec.CacheBytes, rec.PagedBytes, rec.PeakBytes, rec.TrafficBytes} {
			if *n < without {
				t.Errorf("%s: %d bytes are less than the states", rec.Pipeline, *n)
			}
		}
		if rec.Pipeline == "full" && *rec.CacheBytes != rows+without {
			t.Errorf("full: %d bytes, want %d", *rec.CacheBytes, rows+without)
		}
	}
	one := runCells(t, Options{Traces: headers(with), Lengths: []int{160}, Decode: new(16), Layers: []int{5}, Pipelines: parse(t, "full")})[0]
	if *one.CacheBytes != rows/2+without {
		t.Errorf("one layer: %d bytes, want %d", *one.CacheBytes, rows/2+without)
	}
}

// TestHeadsOfZeros: heads of zeros, as padding leaves them, drop out of the figures of rows, and the cell goes on.
func TestHeadsOfZeros(t *testing.T) {
	zeroed := func(heads ...int) *trace.Trace {
		return broken(t, "mistral_sliding", func(f *safetensors) {
			f.without(t, "window")
			for name, x := range f.tensors {
				s := f.shapes[name]
				switch {
				case strings.HasSuffix(name, ".o"):
					delete(f.tensors, name)
				case strings.HasSuffix(name, ".v"):
					for i := range s[0] {
						for _, h := range heads {
							clear(x[(i*s[1]+h)*4*s[2]:][:4*s[2]])
						}
					}
				}
			}
		})
	}
	for _, heads := range [][]int{{1}, {0, 1}} {
		tr := zeroed(heads...)
		for _, rec := range runCells(t, Options{Traces: headers(tr), Lengths: []int{tr.Tokens}, Decode: new(20), Pipelines: parse(t, "full", "snapkv:budget=30", "int8")}) {
			e := rec.Error
			if rec.Status != record.OK || len(heads) == 1 && !(*e.RelL2P95 > 0 && *e.Cosine > 0.5) || len(heads) == 2 && (e.RelL2P95 != nil || e.Cosine != nil || e.RelL2 != 0) {
				t.Errorf("heads %v: %s: %s %s %+v", heads, rec.Pipeline, rec.Status, rec.Reason, e)
			}
			if m := rec.Error.Mass; m != nil && !(*m > 0 && *m <= 1) {
				t.Errorf("heads %v: %s: mass %g", heads, rec.Pipeline, *m)
			}
		}
	}
}
