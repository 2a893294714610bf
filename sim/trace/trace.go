// Package trace holds attention traces: the queries, keys and values that the layers of a transformer
// produced for one text, with the metadata that attention needs.
//
// A Trace knows its Header at once and reads rows only when asked for a layer, so that a trace larger
// than memory can be replayed from its beginning. Two sources stand behind it:
//
//   - a container of tensors (container.go): a safetensors file (safetensors.go, safetensors_header.go), an
//     npz archive or a folder of npy files (npz.go, npy.go, npy_metadata.go), whose elements convert.go puts in order and
//     widths that the others know; latent.go reads layers that cache latents; kind.go names what is none of these. vocabulary.go knows the names that it may hold, layout.go,
//     metadata.go, fields.go and attention.go check what these say;
//   - the synthetic generator (synth.go).
//
// Open (open.go) chooses among them and the embedded real traces (builtin.go), and says of what is a model how a trace is
// made of it (model_name.go). Write (write.go) writes any of them into a container. Cut (cut.go) sees a part of one from a
// container, whose tensors take.go reads in part, and Export (export.go, export_npy.go) writes it into another container.
// Package stats measures the same properties of any of them.
package trace

import (
	"fmt"
	"slices"

	"kvgauge/sim/record"
)

// Header is the shape and metadata of a trace: a plain value, which can be made and printed without a
// trace being open. What is laid out before rows are read, such as a plan, needs no more than headers.
type Header struct {
	Name   string // how tables call it: the built-in's name or the file's base name
	Model  string
	Source string // free text: what was recorded, and how

	Layers    []int       // the model's own numbers of the layers that are held, ascending
	Attention []Attention // of each of Layers
	States    []State     // of layers that hold no keys, ascending: linear attention, SSM, convolution
	NumLayers int         // layers of the whole model
	Tokens    int         // rows of K and V
	Queries   int         // query rows held, those of the last tokens

	PositionOffset int // position of token 0 in the rotary embedding
	Needles        []Needle
	Repeat         Span // tokens that repeat the context before them; zero where none do

	Unknown []string // a line for each metadata field and tensor of the file that was ignored, sorted; of very many, their number

	Embedded int64 // bytes of the program itself that the trace lies in, which are in memory once they have been read
}

// State is what a layer without keys keeps of a sequence, whatever its length.
type State struct {
	Layer int
	Bytes int64
}

// StateBytes is what the layers without keys keep, together.
func (h *Header) StateBytes() (n int64) {
	for _, s := range h.States {
		n += s.Bytes
	}
	return n
}

// Attention is the shape of one layer's attention and what it makes of the products of queries and keys:
//
//	logit = softcap * tanh(scale*q.k / softcap) + alibi*(key - query)
//
// Tokens are counted from the first, without PositionOffset.
type Attention struct {
	QHeads  int
	KVHeads int // query head h reads KV head h / (QHeads/KVHeads)
	QKDim   int // channels of a query and of a key
	VDim    int // channels of a value

	Rank      int // channels of the latent that a layer caches for all heads (latent.go); 0: it caches keys and values
	SharedDim int // of a latent layer: channels of a key that all heads share, the last of QKDim

	Window     int       // a query at token t reads keys t-Window+1 to t; 0: all up to t
	Chunk      int       // a query reads the keys of its own chunk of so many tokens; 0: all up to its own
	Scale      float64   // of the logits, usually 1/sqrt(QKDim)
	Softcap    float64   // 0: none
	Sinks      []float64 // [q_head] a logit in the softmax denominator that has no value; nil: none
	ALiBi      []float64 // [q_head] slopes; nil: none
	Rope       Rope
	RopeFactor float64 // length factor of the rotated channels of q and k, usually 1

	Outputs bool // the trace holds what the model's attention put out

	Borrows bool // it reads the keys and values of layer KVFrom, and has none
	KVFrom  int  // the model's own number
}

// Ring is how many tokens a window or a chunk spans, the smaller where there are both; 0: there is neither.
func (a *Attention) Ring() int {
	switch {
	case a.Window == 0:
		return a.Chunk
	case a.Chunk == 0:
		return a.Window
	}
	return min(a.Window, a.Chunk)
}

// RowNumbers is how many numbers the cached rows of a token take that the layer reads, its own or another's.
func (a *Attention) RowNumbers() int {
	if a.Latent() {
		return a.KeyDim()
	}
	return a.KVHeads * (a.QKDim + a.VDim)
}

// Same says whether two layers have the same heads and widths, so that their rows can be stored together.
func (a *Attention) Same(b *Attention) bool {
	return a.QHeads == b.QHeads && a.KVHeads == b.KVHeads && a.QKDim == b.QKDim && a.VDim == b.VDim &&
		a.Rank == b.Rank && a.SharedDim == b.SharedDim
}

// HasRope says whether any layer's queries and keys have been through a rotary embedding.
func (h *Header) HasRope() bool {
	return slices.ContainsFunc(h.Attention, func(a Attention) bool { return len(a.Rope.InvFreq) > 0 })
}

// At is the attention of a layer that is held, by the model's own number.
func (h *Header) At(layer int) *Attention {
	i, _ := slices.BinarySearch(h.Layers, layer)
	return &h.Attention[i]
}

// Owner is the layer whose keys and values a layer reads: its own, but for one that borrows.
func (h *Header) Owner(layer int) int {
	if a := h.At(layer); a.Borrows {
		return a.KVFrom
	}
	return layer
}

// FirstQuery is the first token whose query the trace holds.
func (h *Header) FirstQuery() int { return h.Tokens - h.Queries }

// Trace is an open trace: Read fetches the rows that its Header describes.
type Trace struct {
	Header
	src source
}

// Rope is the rotary embedding that q and k have already been through. The zero value means none.
type Rope struct {
	Theta   float64
	Style   string    // "neox": dimension i pairs with i+Dims/2; "gptj": 2i with 2i+1
	Dims    int       // dimensions of a head that are rotated: the first, of a latent layer the last
	InvFreq []float64 // [Dims/2] radians per position
}

// Span is a range of tokens, both ends included.
type Span struct{ First, Last int }

// Needle is a key that no query asks for during a long silence and that one query then asks for.
// Key and Query are token positions.
type Needle struct {
	Layer  int `json:"layer"`
	KVHead int `json:"kv_head"`
	Key    int `json:"key"`
	Query  int `json:"query"`
}

// Layer holds rows of one layer, one slice a head so that a head is a contiguous matrix.
type Layer struct {
	K, V       [][]float32 // [kv_head][tokens*KeyDim], [kv_head][tokens*ValueDim]
	Q          [][]float32 // [q_head][queries*QKDim], of tokens FirstQuery and later
	O          [][]float32 // [q_head][queries*VDim] what attention put out, of a trace that is being made; nil else
	FirstQuery int
	Up         *Up // of a latent layer, where any query was read
}

// source reads rows of one kind of storage.
type source interface {
	// read returns the first tokens rows of a layer, with the queries held of token firstQuery and later among
	// them. A NaN or an infinity among them is an error.
	read(layer, tokens, firstQuery int) (*Layer, error)
	// hash returns the sha256 that identifies the content, lower-case hex.
	hash() (string, error)
	close() error
}

// Read returns the first tokens rows of a layer, named by the model's own number, with the queries of token firstQuery
// and later, so far as the trace holds them. Only these rows are read and checked for NaN and infinity.
func (t *Trace) Read(layer, tokens, firstQuery int) (*Layer, error) {
	if tokens < 1 || tokens > t.Tokens {
		return nil, fmt.Errorf("trace %s: %s asked for, it holds %d", t.Name, record.Count(tokens, "token", ""), t.Tokens)
	}
	l, err := t.src.read(layer, tokens, max(0, min(firstQuery, tokens)))
	if err != nil {
		return nil, record.Input(fmt.Errorf("trace %s: %w", t.Name, err))
	}
	return l, nil
}

// Hash returns the sha256 of the trace file, or for a synthetic trace that of its canonical parameters,
// seed and generator version.
func (t *Trace) Hash() (string, error) { return t.src.hash() }

// Close releases the file behind the trace.
func (t *Trace) Close() error { return t.src.close() }

// Prefix returns the rows of the first tokens tokens as a view of the same memory.
func (l *Layer) Prefix(tokens int, a *Attention) *Layer {
	p := &Layer{FirstQuery: l.FirstQuery, Up: l.Up}
	for j := range l.K {
		p.K = append(p.K, l.K[j][:tokens*a.KeyDim()])
		p.V = append(p.V, l.V[j][:tokens*a.ValueDim()])
	}
	for h := range l.Q {
		p.Q = append(p.Q, l.Q[h][:max(0, tokens-l.FirstQuery)*a.QKDim])
	}
	return p
}
