package record

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// Kind says what a figure is of.
type Kind string

const (
	Label Kind = ""        // of what was measured, and how: no measurement
	Bytes Kind = "bytes"   // counted, the same in every run
	Error Kind = "error"   // against the reference, the same but for rounding
	Time  Kind = "latency" // measured, different in every run
)

// Unit is what a figure is counted in.
type Unit string

const (
	None       Unit = ""
	Byte       Unit = "B"
	Share      Unit = "share" // of 1; tables show per cent
	Ratio      Unit = "x"
	Nanosecond Unit = "ns"
)

// Direction says which values of a figure are the better ones.
type Direction int

const (
	Neither Direction = 0
	Smaller Direction = -1
	Larger  Direction = 1
)

// Mean says what a figure of several windows of a text is made of.
type Mean int

const (
	Average Mean = iota // of the windows that have it
	Largest
	Apart // MeanOverWindows makes it itself
)

// maxFigure is far above any error or ratio that a run measures, and far below where an axis overflows.
const maxFigure = 1e100

// Figure is one figure of a record.
type Figure struct {
	Name        string // as the record's JSON has it, with a dot before a figure of a part
	Kind        Kind
	Unit        Unit
	Better      Direction
	Least, Most float64 // of the values that a run can measure
	Windows     Mean    // of an Error
	OfStore     bool    // of the store in memory: a result that was made elsewhere has none

	// field returns a pointer to the record's field, nil where the part that it belongs to is null.
	field func(*Record) any
}

// Figures are all figures of a record in the order of its JSON; kept positions, which are no figures, are not
// among them.
var Figures = []Figure{
	label("schema", func(r *Record) any { return &r.Schema }),
	label("status", func(r *Record) any { return (*string)(&r.Status) }),
	label("reason", func(r *Record) any { return &r.Reason }),
	label("trace", func(r *Record) any { return &r.Trace }),
	label("trace_sha256", func(r *Record) any { return &r.TraceSHA256 }),
	label("model", func(r *Record) any { return &r.Model }),
	label("pipeline", func(r *Record) any { return &r.Pipeline }),
	label("family", func(r *Record) any { return &r.Family }),
	label("seq_len", func(r *Record) any { return &r.SeqLen }),
	label("decode", func(r *Record) any { return &r.Decode }),
	label("windows", func(r *Record) any { return &r.Windows }),
	label("layers", func(r *Record) any { return &r.Layers }),
	label("num_layers", func(r *Record) any { return &r.NumLayers }),
	atLeast(1, label("q_heads", func(r *Record) any { return &r.QHeads })),
	atLeast(1, label("kv_heads", func(r *Record) any { return &r.KVHeads })),
	atLeast(1, label("head_dim", func(r *Record) any { return &r.HeadDim })),
	atLeast(1, label("v_dim", func(r *Record) any { return &r.VDim })),
	label("shapes", func(r *Record) any { return &r.Shapes }),
	atLeast(0, label("state_bytes", func(r *Record) any { return &r.StateBytes })),
	atLeast(0, label("changed_layers", func(r *Record) any { return &r.ChangedLayers })),
	label("seed", func(r *Record) any { return &r.Seed }),

	count("cache_bytes", Smaller, func(r *Record) any { return &r.CacheBytes }),
	count("cache_bytes_full", Neither, func(r *Record) any { return &r.CacheBytesFull }),
	stored("metadata_bytes", Smaller, func(r *Record) any { return &r.MetadataBytes }),
	stored("paged_bytes", Smaller, func(r *Record) any { return &r.PagedBytes }),
	stored("weight_bytes", Smaller, func(r *Record) any { return &r.WeightBytes }),
	stored("peak_bytes", Smaller, func(r *Record) any { return &r.PeakBytes }),
	stored("traffic_bytes", Smaller, func(r *Record) any { return &r.TrafficBytes }),
	count("target_bytes", Neither, func(r *Record) any { return &r.TargetBytes }),
	label("knob", func(r *Record) any { return &r.Knob }),

	errorOf("rel_l2", Share, Smaller, Apart, func(e *ErrorStats) any { return &e.RelL2 }),
	errorOf("rel_l2_lo", Share, Neither, Apart, func(e *ErrorStats) any { return &e.RelL2Lo }),
	errorOf("rel_l2_hi", Share, Neither, Apart, func(e *ErrorStats) any { return &e.RelL2Hi }),
	errorOf("rel_l2_windows", Share, Neither, Apart, func(e *ErrorStats) any { return &e.RelL2Windows }),
	errorOf("rel_l2_p95", Share, Smaller, Average, func(e *ErrorStats) any { return &e.RelL2P95 }),
	errorOf("rel_l2_worst_layer", Share, Smaller, Apart, func(e *ErrorStats) any { return &e.RelL2WorstLayer }),
	errorOf("rel_l2_layers", Share, Neither, Average, func(e *ErrorStats) any { return &e.RelL2Layers }),
	errorOf("rel_l2_quarters", Share, Neither, Average, func(e *ErrorStats) any { return &e.RelL2Quarters }),
	signed(errorOf("cosine", Share, Larger, Average, func(e *ErrorStats) any { return &e.Cosine })),
	errorOf("max_abs", None, Smaller, Largest, func(e *ErrorStats) any { return &e.MaxAbs }),
	errorOf("mass", Share, Larger, Average, func(e *ErrorStats) any { return &e.Mass }),
	errorOf("late_mass", Share, Neither, Average, func(e *ErrorStats) any { return &e.LateMass }),
	ofStore(errorOf("recall", Share, Larger, Average, func(e *ErrorStats) any { return &e.Recall })),

	timed("step_ns", Nanosecond, Neither, func(l *Latency) any { return &l.StepNS }),
	timed("full_step_ns", Nanosecond, Neither, func(l *Latency) any { return &l.FullStepNS }),
	timed("median_ns", Nanosecond, Smaller, func(l *Latency) any { return &l.MedianNS }),
	timed("mean_ns", Nanosecond, Smaller, func(l *Latency) any { return &l.MeanNS }),
	timed("lo_ns", Nanosecond, Neither, func(l *Latency) any { return &l.LoNS }),
	timed("hi_ns", Nanosecond, Neither, func(l *Latency) any { return &l.HiNS }),
	timed("ratio_to_full", Ratio, Smaller, func(l *Latency) any { return &l.RatioToFull }),
	timed("ratio_lo", Ratio, Neither, func(l *Latency) any { return &l.RatioLo }),
	timed("ratio_hi", Ratio, Neither, func(l *Latency) any { return &l.RatioHi }),
	timed("noisy", None, Neither, func(l *Latency) any { return &l.Noisy }),
	timed("compress_ns", Nanosecond, Smaller, func(l *Latency) any { return &l.CompressNS }),
	timed("cold", None, Neither, func(l *Latency) any { return &l.Cold }),
	timed("bound", None, Neither, func(l *Latency) any { return &l.Bound }),
	timed("threads", None, Neither, func(l *Latency) any { return &l.Threads }),
	timed("kernel", None, Neither, func(l *Latency) any { return &l.Kernel }),

	label("modelled", func(r *Record) any { return &r.Modelled }),
	label("warnings", func(r *Record) any { return &r.Warnings }),
	label("version", func(r *Record) any { return &r.Version }),
}

func label(name string, field func(*Record) any) Figure {
	return signed(Figure{Name: name, Most: math.Inf(1), field: field})
}

func count(name string, better Direction, field func(*Record) any) Figure {
	return Figure{Name: name, Kind: Bytes, Unit: Byte, Better: better, Most: math.Inf(1), field: field}
}

func stored(name string, better Direction, field func(*Record) any) Figure {
	return ofStore(count(name, better, field))
}

func errorOf(name string, unit Unit, better Direction, windows Mean, field func(*ErrorStats) any) Figure {
	return Figure{Name: "error." + name, Kind: Error, Unit: unit, Better: better, Most: maxFigure, Windows: windows, field: func(r *Record) any {
		if r.Error == nil {
			return nil
		}
		return field(r.Error)
	}}
}

func timed(name string, unit Unit, better Direction, field func(*Latency) any) Figure {
	f := Figure{Name: "latency." + name, Kind: Time, Unit: unit, Better: better, Most: math.Inf(1), field: func(r *Record) any {
		if r.Latency == nil {
			return nil
		}
		return field(r.Latency)
	}}
	if unit == Ratio {
		f.Most = maxFigure
	}
	return f
}

func ofStore(f Figure) Figure { f.OfStore = true; return f }
func signed(f Figure) Figure  { f.Least = -f.Most; return f }

func atLeast(least float64, f Figure) Figure { f.Least = least; return f }

// FigureOf returns the figure of a name, which must be one.
func FigureOf(name string) Figure {
	for _, f := range Figures {
		if f.Name == name {
			return f
		}
	}
	panic("record: no figure " + name)
}

// value is the field of a record, invalid where it is null.
func (f Figure) value(r *Record) reflect.Value {
	field := f.field(r)
	if field == nil {
		return reflect.Value{}
	}
	return reflect.Indirect(reflect.ValueOf(field).Elem())
}

// Value is the figure of a record, nil where it is null or no single number.
func (f Figure) Value(r Record) *float64 {
	if v := f.value(&r); v.CanInt() || v.CanFloat() {
		return &f.Values(r)[0]
	}
	return nil
}

// Values are the numbers of the figure: one, those of a list, or none where it is null.
func (f Figure) Values(r Record) []float64 {
	return numbers(f.value(&r))
}

func numbers(v reflect.Value) (xs []float64) {
	switch {
	case v.CanInt():
		xs = []float64{float64(v.Int())}
	case v.CanFloat():
		xs = []float64{v.Float()}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			xs = append(xs, numbers(v.Index(i))...)
		}
	}
	return xs
}

// Text is the figure as raw text: null is empty, a list is joined by a slash, a warning is its code.
func (f Figure) Text(r Record) string { return text(f.value(&r)) }

func text(v reflect.Value) string {
	switch {
	case !v.IsValid():
		return ""
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case v.Kind() == reflect.Slice:
		texts := make([]string, v.Len())
		for i := range texts {
			texts[i] = text(v.Index(i))
		}
		return strings.Join(texts, "/")
	case v.Type() == reflect.TypeFor[Warning]():
		return v.Field(0).String()
	case v.Type() == reflect.TypeFor[Shape]():
		return v.Interface().(Shape).String()
	}
	return fmt.Sprint(v)
}

// ClearStore makes the figures of the store null, for a result that was made elsewhere.
func (r *Record) ClearStore() {
	for _, f := range Figures {
		if field := f.field(r); f.OfStore && field != nil {
			reflect.ValueOf(field).Elem().SetZero()
		}
	}
	r.Kept, r.KeptFinal = nil, nil
}
