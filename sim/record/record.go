package record

// Schema is the version of Record.
const Schema = 1

// Record is the result of one cell. It is the line of records.jsonl, and its field names are a contract:
// what was not measured is null, and only Latency and Version differ from run to run on one machine. A record from elsewhere
// may lack fields; an error has rel_l2 at least, and a latency its samples' median, ratio and threads (see required).
type Record struct {
	Schema int    `json:"schema"`
	Status Status `json:"status"`
	Reason string `json:"reason"` // why the cell was skipped or failed, else empty

	Trace       string `json:"trace"`
	TraceSHA256 string `json:"trace_sha256"`
	Model       string `json:"model"`
	Pipeline    string `json:"pipeline"` // canonical form
	Family      string `json:"family"`   // the methods' families joined by +
	SeqLen      int    `json:"seq_len"`
	Decode      int    `json:"decode"`
	Windows     int    `json:"windows"`
	Layers      []int  `json:"layers"` // the model's own numbers
	NumLayers   int    `json:"num_layers"`
	// Heads and widths are numbers where all layers agree. Shapes has them layer by layer where they do not, or some layer
	// has a window or chunks, or caches latents.
	QHeads  *int    `json:"q_heads"`
	KVHeads *int    `json:"kv_heads"`
	HeadDim *int    `json:"head_dim"` // of queries and keys
	VDim    *int    `json:"v_dim"`
	Shapes  []Shape `json:"shapes,omitempty"`
	// StateBytes is what layers without keys keep, which counts in all bytes of the cache; there is none in other models.
	StateBytes *int64 `json:"state_bytes,omitempty"`
	// ChangedLayers is how many layers the pipeline changed.
	ChangedLayers *int   `json:"changed_layers"`
	Seed          uint64 `json:"seed"`

	CacheBytes     *int64 `json:"cache_bytes"`      // payload and metadata of all layers after the last step
	CacheBytesFull *int64 `json:"cache_bytes_full"` // the f16 store of the trace's own heads
	MetadataBytes  *int64 `json:"metadata_bytes"`   // part of CacheBytes
	PagedBytes     *int64 `json:"paged_bytes"`      // the same entries in whole pages per head and layer
	WeightBytes    *int64 `json:"weight_bytes"`     // maps fitted on another trace of the same model
	PeakBytes      *int64 `json:"peak_bytes"`
	TrafficBytes   *int64 `json:"traffic_bytes"` // read by the last decode step
	// TargetBytes is the size that an equal-bytes run set the cache to; there is none in other runs.
	TargetBytes *int64 `json:"target_bytes,omitempty"`
	// Knob is the parameter that the run set to reach it, method:parameter; empty where the pipeline has none.
	Knob string `json:"knob,omitempty"`

	Error     *ErrorStats `json:"error"`
	Latency   *Latency    `json:"latency"`
	Modelled  *float64    `json:"modelled"`
	Kept      [][][]int32 `json:"kept"`       // [layer][stored head], after prefill; only with --kept
	KeptFinal [][][]int32 `json:"kept_final"` // the same after the last decode step
	Warnings  []Warning   `json:"warnings"`
	Version   string      `json:"version"`
}

// Shape is that of one layer's attention; a window or a chunk of 0 is none.
type Shape struct {
	Layer   int  `json:"layer"`
	QHeads  int  `json:"q_heads"`
	KVHeads int  `json:"kv_heads"`
	QKDim   int  `json:"qk_dim"`
	VDim    int  `json:"v_dim"`
	Window  int  `json:"window"`
	Chunk   int  `json:"chunk"`
	Latent  bool `json:"latent"`
}

// Status says what became of a cell.
type Status string

const (
	OK      Status = "ok"
	Skipped Status = "skipped" // the pipeline does not apply; Reason says why
	Failed  Status = "failed"
)

// ErrorStats compares a pipeline's attention outputs with float64 attention over the unreduced trace.
// A row is the output of one query head for one query of one layer.
type ErrorStats struct {
	RelL2           float64   `json:"rel_l2"` // mean over layers of |O'-O| / |O|
	RelL2Lo         *float64  `json:"rel_l2_lo"`
	RelL2Hi         *float64  `json:"rel_l2_hi"`
	RelL2Windows    []float64 `json:"rel_l2_windows,omitempty"` // of each window, the longest first; none where there is one
	RelL2P95        *float64  `json:"rel_l2_p95"`               // 95th percentile over rows
	RelL2WorstLayer *float64  `json:"rel_l2_worst_layer"`
	RelL2Layers     []float64 `json:"rel_l2_layers"`
	RelL2Quarters   []float64 `json:"rel_l2_quarters"` // by quarter of the decode steps
	Cosine          *float64  `json:"cosine"`          // mean over rows
	MaxAbs          *float64  `json:"max_abs"`
	Mass            *float64  `json:"mass"`      // share of the exact softmax mass that was attended
	LateMass        *float64  `json:"late_mass"` // lost mass on keys that recent prompt queries ignored
	Recall          *float64  `json:"recall"`    // share of needles in the cache when asked for
}

// Latency is the wall time of one decode step's attention over all layers.
type Latency struct {
	StepNS     []int64 `json:"step_ns"`      // samples
	FullStepNS []int64 `json:"full_step_ns"` // those of full, each taken beside the sample of the same index
	MedianNS   int64   `json:"median_ns"`
	MeanNS     *int64  `json:"mean_ns"`
	LoNS       *int64  `json:"lo_ns"` // 95 % interval of the median; null below 6 samples
	HiNS       *int64  `json:"hi_ns"`
	// RatioToFull is the median ratio of a sample to full's beside it, between the ends of its 95 % interval; these are
	// null below 6 samples.
	RatioToFull float64  `json:"ratio_to_full"`
	RatioLo     *float64 `json:"ratio_lo"`
	RatioHi     *float64 `json:"ratio_hi"`
	Noisy       bool     `json:"noisy"`       // the interval reaches more than 20 % from the ratio
	CompressNS  *int64   `json:"compress_ns"` // reducing the prompt's cache, once
	Cold        bool     `json:"cold"`        // each layer of a step found its cache in memory, not in a cache of the processor
	Bound       *string  `json:"bound"`       // memory, compute or overhead; null until it is measured
	Threads     int      `json:"threads"`
	Kernel      string   `json:"kernel"`
}

// Warning says where a method did something other than its name promises.
type Warning struct {
	Code string `json:"code"`
	Text string `json:"text"`
}
