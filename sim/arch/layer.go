package arch

// Layer is one layer of a cache. What it holds is in Tensors; the fields before them say the same in the words of
// attention, for engines that lay it out in another way. A layer without Tensors caches nothing.
type Layer struct {
	Block int    // the decoder block it belongs to, from 0; layers of a looped model share blocks
	Kind  string // as transformers calls it: full_attention, sliding_attention, linear_attention, ...

	// Attention with keys and values of its own: KVHeads > 0. Elements a token: KVHeads*(QKDim+VDim).
	QHeads, KVHeads, QKDim, VDim int

	// Latent attention: Rank > 0. One row of Rank and one of Rope (rotated) elements a token, for all heads.
	Rank, Rope int

	Index int // width of an indexer's key, one a token, beside keys or latent; 0: none

	Window int // tokens a query sees, itself included; 0: all
	Chunk  int // tokens of a chunk, beyond whose start no query sees; 0: none

	From int // the layer whose keys and values this one reads, having none of its own; -1: none

	Tensors []Tensor // what transformers caches, in its order
}

// Role says what a tensor is for.
type Role string

// The roles. Key, Value, Latent and Rotary rows are what attention reads; states have a size that tokens do not change.
const (
	Key       Role = "key"
	Value     Role = "value"
	Latent    Role = "latent"
	Rotary    Role = "rotary"
	Indexer   Role = "indexer"   // keys, or positions, that choose what attention reads
	Conv      Role = "conv"      // a state: the last inputs of a short convolution
	Recurrent Role = "recurrent" // a state: linear attention's or an SSM's
	Compress  Role = "compress"  // compressed entries, and what waits for compression
	Other     Role = "other"
)

// Type is how a tensor's elements are stored.
type Type string

// ModelType is the type of the model's weights, that --dtype changes; the others stay what they are.
const (
	ModelType Type = "model"
	Float32   Type = "float32"
	Int64     Type = "int64"
)

// Size returns bytes an element, elem for ModelType.
func (t Type) Size(elem int) int {
	switch t {
	case Float32:
		return 4
	case Int64:
		return 8
	}
	return elem
}

// Tensor is one cached tensor: so many rows of Row elements.
type Tensor struct {
	Name string // transformers' own: keys, conv_states[0]
	Role Role
	Row  int64 // elements
	Rows Rows
	Type Type

	Module bool // kept by the model's module, outside of the cache object: a sequence needs it, transformers' cache has it not
}

// Bytes returns the tensor's bytes after a prompt and then steps of one token each.
func (t Tensor) Bytes(prompt, steps, elem int) int64 {
	return t.Row * int64(t.Rows.Count(prompt, steps)) * int64(t.Type.Size(elem))
}

// Rows says how many rows a tensor has after so many tokens.
type Rows struct {
	Grow Grow
	N    int
}

// Grow is the way rows follow tokens t.
type Grow string

// The ways, with N of Rows.
const (
	Once  Grow = "once"  // N, whatever t: states
	All   Grow = "all"   // t, and N rows of a learned prompt before them
	Ring  Grow = "ring"  // min(t, N-1): transformers keeps what the next query of a window of N sees, beside itself
	Each  Grow = "each"  // t/N, rounded down: one row a whole block of N tokens
	Rest  Grow = "rest"  // t%N: tokens that wait for their block
	After Grow = "after" // N where t >= N, else none
	Since Grow = "since" // t where the prompt alone has N tokens, else none
)

// Count returns the rows after a prompt and steps of one token each.
func (r Rows) Count(prompt, steps int) int {
	t := prompt + steps
	switch r.Grow {
	case All:
		return t + r.N
	case Ring:
		if r.N == 1 {
			return t // transformers slices the last N-1 rows with an index of -0, and so keeps all
		}
		return min(t, r.N-1)
	case Each:
		return t / r.N
	case Rest:
		return t % r.N
	case After:
		if t < r.N {
			return 0
		}
	case Since:
		if prompt < r.N {
			return 0
		}
		return t
	}
	return r.N
}
