package arch

// Model is what a configuration says of one model's cache, and what engines ask besides.
type Model struct {
	Type      string  // model_type of the part that generates text: gemma3_text where the file says gemma3
	DType     string  // of weights and cache by torch's own name ("bfloat16"); "" where the file names none
	Layers    []Layer // what is cached, in the engine's order; a looped model has more than it has blocks
	QHeads    int     // num_attention_heads; a layer's own are in Layer.QHeads
	Hidden    int     // hidden_size
	Vocab     int     // vocab_size; 0 where the file does not say
	MaxTokens int     // max_position_embeddings; 0 where the file does not say
	Quantised string  // how the weights are stored (quant_method) where not in DType: they take other bytes; "": as DType says
	Params    int64   // weights of a plain decoder of text; 0 where they are not counted
	Uncounted string  // why Params is 0
}

// Bytes returns what transformers 5.24.0 caches for one sequence after a prompt of so many tokens and then so many
// steps of one token each, where an element of the model's own type has elem bytes.
func (m Model) Bytes(prompt, steps, elem int) int64 {
	sum := int64(0)
	for _, l := range m.Layers {
		for _, t := range l.Tensors {
			if !t.Module {
				sum += t.Bytes(prompt, steps, elem)
			}
		}
	}
	return sum
}

// Bounds that Read keeps, so that no sum of bytes overflows.
const (
	MostTokens  = 1 << 28 // that Bytes may be asked for
	maxRow      = 1 << 30 // elements a token, of all layers
	maxElements = 1 << 42 // of one tensor's row, and of all states
)
