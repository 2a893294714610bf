package record

// Capacity is what one pipeline's cache takes of one model at one length: a line of what `plan` prints as JSON, whose
// names are a contract. What is not modelled is null. Bytes are those of one rank, where there are several.
type Capacity struct {
	Model    string `json:"model"`
	Engine   string `json:"engine"`
	Pipeline string `json:"pipeline"`
	Family   string `json:"family"`  // the methods' families joined by +
	SeqLen   int    `json:"seq_len"` // tokens of the prompt that is cached
	Batch    int    `json:"batch"`   // sequences

	CacheBytes           *int64   `json:"cache_bytes"`             // of one sequence after the prompt
	GrowingBytesPerToken *float64 `json:"growing_bytes_per_token"` // that each further token of a long prompt adds, in the mean
	ConstantBytes        *int64   `json:"constant_bytes"`          // the rest of a long prompt's: full windows, states
	BatchBytes           *int64   `json:"batch_bytes"`             // of all sequences
	MaxBatch             *int64   `json:"max_batch"`               // most sequences of this length beside the weights; null without a memory
	MaxContext           *int64   `json:"max_context"`             // longest prompt of Batch sequences beside the weights; null without a memory
	StepNS               *float64 `json:"step_ns"`
	TokensPerS           *float64 `json:"tokens_per_s"`
	FullBytes            *int64   `json:"full_bytes"` // of one sequence in the full cache of the same engine

	DType         string `json:"dtype"` // of the full cache
	Ranks         int    `json:"tp"`
	MemoryBytes   *int64 `json:"memory_bytes"` // of a rank's device
	WeightBytes   *int64 `json:"weight_bytes"` // of a rank
	EngineVersion string `json:"engine_version"`
	Source        string `json:"source"` // whose code or formula the figures follow
	Reason        string `json:"reason"` // why figures are null, else empty
	Note          string `json:"note"`   // what a figure rests on besides
}
