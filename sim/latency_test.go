package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
)

func TestBound(t *testing.T) {
	roof := kernel.Roofline{ReadGBs: 10, GFLOPs: 100} // a byte takes as long as ten operations
	tests := []struct {
		step           time.Duration
		traffic, flops int64
		want           string
	}{
		{49 * time.Microsecond, 1000, 1, "overhead"},
		{50 * time.Microsecond, 1000, 9999, "memory"},
		{50 * time.Microsecond, 1000, 10001, "compute"},
	}
	for _, tt := range tests {
		if got := *bound(tt.step, tt.traffic, tt.flops, roof); got != tt.want {
			t.Errorf("%v for %d bytes and %d operations: %s, want %s", tt.step, tt.traffic, tt.flops, got, tt.want)
		}
	}
}

// TestEnough: the number of samples is what was asked for, or depends on how close the ratios lie and on the time.
func TestEnough(t *testing.T) {
	const share = 100 * time.Millisecond
	sampled := func(n int, spread float64) timing {
		var tm timing
		for i := range n {
			tm.full = append(tm.full, time.Millisecond)
			tm.ours = append(tm.ours, time.Duration(float64(time.Millisecond)*(1+spread*float64(i%2))))
		}
		return tm
	}
	tests := []struct {
		name    string
		repeats int
		samples timing
		spent   time.Duration
		want    bool
	}{
		{"none yet", 0, sampled(0, 0), 0, false},
		{"five, whatever they are and take", 0, sampled(5, 0), time.Hour, false},
		{"six that agree", 0, sampled(6, 0), 0, true},
		{"six within 3 %", 0, sampled(6, 0.05), 0, true}, // the median lies between the two values
		{"six beyond 3 %", 0, sampled(6, 0.07), 0, false},
		{"no time left", 0, sampled(6, 0.07), share, true},
		{"49 beyond 3 %", 0, sampled(49, 0.1), share - 1, false},
		{"fifty", 0, sampled(50, 0.1), 0, true},
		{"fewer than asked for", 70, sampled(69, 0), time.Hour, false},
		{"as many as asked for", 70, sampled(70, 1), 0, true},
		{"one, asked for", 1, sampled(1, 0), 0, true},
	}
	for _, tt := range tests {
		tt.samples.repeats = tt.repeats
		if got := tt.samples.enough(tt.spent, share); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestLatencyFigures holds the figures of a record against samples whose medians are known.
func TestLatencyFigures(t *testing.T) {
	const ms = time.Millisecond
	tm := &timing{
		testbed: &Testbed{Roofline: kernel.Roofline{ReadGBs: 1, GFLOPs: 1}, Flushing: kernel.Flushing{Cold: true}},
		ours:    []time.Duration{1 * ms, 2 * ms, 3 * ms, 4 * ms, 5 * ms, 9 * ms}, full: []time.Duration{2 * ms, 4 * ms, 4 * ms, 8 * ms, 10 * ms, 9 * ms},
	}
	l := tm.latency(7*ms, 1, 0) // ratios 0.5 0.5 0.75 0.5 0.5 1
	if l.MedianNS != 3.5e6 || *l.MeanNS != 4e6 || *l.LoNS != 1e6 || *l.HiNS != 9e6 || *l.CompressNS != 7e6 || !l.Cold || *l.Bound != "memory" ||
		l.RatioToFull != 0.5 || *l.RatioLo != 0.5 || *l.RatioHi != 1 || !l.Noisy ||
		!slices.Equal(l.StepNS, []int64{1e6, 2e6, 3e6, 4e6, 5e6, 9e6}) || !slices.Equal(l.FullStepNS, []int64{2e6, 4e6, 4e6, 8e6, 10e6, 9e6}) {
		t.Errorf("%+v", l)
	}
	tm.ours[5], tm.ours[2] = 5*ms, 2*ms // the ratios lie within 0.5 to 0.56
	if l := tm.latency(7*ms, 1, 0); l.Noisy || math.Abs(*l.RatioHi-5.0/9) > 1e-12 {
		t.Errorf("%+v", l)
	}
	tm.ours, tm.full = tm.ours[:5], tm.full[:5]
	if l := tm.latency(7*ms, 1, 0); l.LoNS != nil || l.HiNS != nil || l.RatioLo != nil || l.RatioHi != nil || l.Noisy {
		t.Errorf("an interval of 5 samples: %+v", l)
	}
}

// TestFlushedIsWhatIsHeld: before each layer's part of each sample all keys and values that it reads are dropped from
// the caches, of the pipeline's store and of full's.
func TestFlushedIsWhatIsHeld(t *testing.T) {
	tr := golden(t, "tiny")
	const samples = 16 // the decoded tokens
	sweep := ready(t, Options{
		Traces: headers(tr), Pipelines: parse(t, everything...), Lengths: []int{96}, Decode: new(16), Repeats: samples,
		Calibrate: itself(tr), Threads: 1, MaxMemory: 1 << 34, Page: 16,
	})
	var flushed []int64 // bytes of each flush of the cell
	b := bed(func(buffers [][]byte) {
		n := 0
		for _, b := range buffers {
			n += len(b)
		}
		flushed = append(flushed, int64(n))
	})
	r := &runner{sweep: sweep, testbed: b}
	for _, c := range sweep.plan.Cells {
		flushed = nil
		rec, err := r.cell(t.Context(), c)
		if err != nil || rec.Status == record.Failed {
			t.Fatal(c.Pipeline.Name, rec.Reason, err)
		} else if rec.Status == record.Skipped {
			continue
		}
		l := rec.Latency
		if len(l.StepNS) != samples || len(l.FullStepNS) != samples || l.LoNS == nil || *l.LoNS > l.MedianNS || *l.HiNS < l.MedianNS || !l.Cold || l.Bound == nil || l.RatioToFull <= 0 {
			t.Errorf("%s: %+v", rec.Pipeline, l)
		}
		if len(flushed) != 2*samples*len(c.Layers) {
			t.Errorf("%s: %d flushes, want one for each layer, sample and cache: %d", rec.Pipeline, len(flushed), 2*samples*len(c.Layers))
			continue
		}
		held, full, at := int64(0), int64(0), 0
		for _, group := range c.groups() {
			at += 2 * samples * len(group)
			held += flushed[at-2*len(group)]
			for i := range group {
				full += flushed[at-1-i]
			}
		}
		// The last token is not appended yet when its step's memory is flushed.
		if want := *rec.CacheBytesFull * 95 / 96; full < want || full > want*5/4 {
			t.Errorf("%s: %d bytes of full flushed, want those of 95 of its 96 entries, %d, and positions", rec.Pipeline, full, want)
		}
		if payload := *rec.CacheBytes - *rec.MetadataBytes; held < payload*9/10 {
			t.Errorf("%s: %d bytes flushed, the cache has %d at its end", rec.Pipeline, held, payload)
		}
	}
}

// TestStepsAreTakenAgain: where more samples are wanted than steps are timed, the same steps come again, from stores
// that are what they were.
func TestStepsAreTakenAgain(t *testing.T) {
	tr := golden(t, "tiny")
	sweep := ready(t, Options{
		Traces: headers(tr), Pipelines: parse(t, "full", "h2o", "corm:recent=16,window=16", "kivi:group=8,residual=16", "minicache:start=0", "quest:budget=30"),
		Lengths: []int{96}, Decode: new(18), Repeats: 40, Threads: 1, MaxMemory: 1 << 34, Page: 16, Layers: []int{0, 1},
	})
	for _, c := range sweep.plan.Cells {
		var lengths [][]int // [flush] of the buffers
		b := bed(func(buffers [][]byte) {
			var ns []int
			for _, b := range buffers {
				ns = append(ns, len(b))
			}
			lengths = append(lengths, ns)
		})
		r := &runner{sweep: sweep, testbed: b}
		if rec, err := r.cell(t.Context(), c); err != nil || rec.Status != record.OK {
			t.Fatal(c.Pipeline.Name, rec.Reason, err)
		}
		pass := timedSteps * 2 * len(c.groups()[0]) // flushes until a step comes again
		for i := range lengths[pass : 40*2*len(c.groups()[0])] {
			if !slices.Equal(lengths[i], lengths[i+pass]) {
				t.Errorf("%s: flush %d has buffers of other lengths than flush %d", c.Pipeline.Name, i+pass, i)
				break
			}
		}
	}
}

// TestTimingLeavesErrorsAsTheyAre: bytes and errors are those of a cell that is not timed.
func TestTimingLeavesErrorsAsTheyAre(t *testing.T) {
	tr := golden(t, "tiny")
	o := Options{Traces: headers(tr), Pipelines: parse(t, "full", "corm:recent=16,window=16", "h2o", "cla+int8", "minicache"), Lengths: []int{96}, Decode: new(16), Kept: true}
	plain := runCells(t, o)
	o.Repeats = 7
	for i, r := range runCells(t, o) {
		if r.Latency == nil || *r.CacheBytes != *plain[i].CacheBytes || *r.TrafficBytes != *plain[i].TrafficBytes || r.Error.RelL2 != plain[i].Error.RelL2 ||
			!slices.EqualFunc(slices.Concat(r.KeptFinal...), slices.Concat(plain[i].KeptFinal...), slices.Equal) {
			t.Errorf("%s: differs from the cell without latency", r.Pipeline)
		}
	}
}
