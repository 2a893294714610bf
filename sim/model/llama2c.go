package model

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"kvgauge/sim/kernel"
)

// llama2CHeader begins a file of llama2.c (github.com/karpathy/llama2.c, export.py, version 0), which float32 weights follow.
type llama2CHeader struct {
	Hidden, MLP, Layers, QHeads, KVHeads int32
	Vocabulary                           int32 // below zero where the head is not the embedding
	Positions                            int32
}

// openLlama2C opens a file of llama2.c: a Llama whose tensors lie one behind the other, those of all layers together, and whose
// rotary embedding rotates neighbours.
func openLlama2C(path string, info fs.FileInfo) (*Model, error) {
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	m, err := readLlama2C(f, info.Size())
	if err != nil {
		_ = f.Close() // only read
		return nil, err
	}
	m.tensors.files = []io.Closer{f}
	return m, nil
}

// readLlama2C reads the header of a file of size bytes.
func readLlama2C(r io.ReaderAt, size int64) (*Model, error) {
	const header = 7 * 4
	if size < header {
		return nil, fmt.Errorf("%d bytes, want at least the %d of a llama2.c header", size, header)
	}
	buf := make([]byte, header)
	if _, err := r.ReadAt(buf, 0); err != nil {
		return nil, cause(err)
	}
	if bytes.HasPrefix(buf, []byte("24ka")) {
		return nil, errors.New("a llama2.c file of version 1 or later, want version 0 (export.py --version 0)")
	}
	var h llama2CHeader
	if _, err := binary.Decode(buf, binary.LittleEndian, &h); err != nil {
		return nil, err
	}
	m := &Model{Config: Config{
		Family: "llama", Layers: int(h.Layers), Hidden: int(h.Hidden), MLP: int(h.MLP), QHeads: int(h.QHeads), KVHeads: int(h.KVHeads),
		Vocabulary: int(h.Vocabulary), Positions: int(h.Positions), Eps: 1e-5, Norms: llamaNorms, EmbedScale: 1, ResidualScale: 1, LogitScale: 1,
	}}
	m.Tied = h.Vocabulary > 0
	if !m.Tied && h.Vocabulary > math.MinInt32 {
		m.Vocabulary = -m.Vocabulary
	}
	for i, x := range []struct {
		name  string
		value int
		most  int
	}{
		{"dim", m.Hidden, maxWidth},
		{"hidden_dim", m.MLP, maxWidth},
		{"n_layers", m.Layers, maxLayers},
		{"n_heads", m.QHeads, maxHeads},
		{"n_kv_heads", m.KVHeads, maxHeads},
		{"vocab_size", m.Vocabulary, maxWidth << 4},
		{"max_seq_len", m.Positions, maxTokens},
	} {
		if x.value < 1 || x.value > x.most {
			return nil, fmt.Errorf("byte %d: %s %d, want 1 to %d: not a llama2.c file?", 4*i, x.name, x.value, x.most)
		}
	}
	if m.HeadDim = m.Hidden / m.QHeads; m.HeadDim*m.QHeads != m.Hidden || m.HeadDim%2 != 0 {
		return nil, fmt.Errorf("byte 12: n_heads %d, want them to divide dim, %d, into even parts", m.QHeads, m.Hidden)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("byte 16: n_kv_heads %d, want a divisor of n_heads, %d", m.KVHeads, m.QHeads)
	}
	m.Scale = 1 / math.Sqrt(float64(m.HeadDim))
	m.Window, m.RopeOf = make([]int, m.Layers), make([]int, m.Layers)
	m.Ropes = []Rope{{Type: "default", Theta: 10000, Dims: m.HeadDim, Adjacent: true}}
	return m, m.placeLlama2C(r, header, size)
}

// placeLlama2C finds the tensors, under the names that Hugging Face gives them.
func (m *Model) placeLlama2C(r io.ReaderAt, at, size int64) error {
	m.tensors = &checkpoint{tensors: map[string]stored{}}
	kv, pairs := m.KVHeads*m.HeadDim, m.HeadDim/2
	type part struct {
		name  string // of a layer where it begins with a dot
		shape []int
	}
	parts := []part{
		{"model.embed_tokens.weight", []int{m.Vocabulary, m.Hidden}},
		{".input_layernorm.weight", []int{m.Hidden}},
		{".self_attn.q_proj.weight", []int{m.Hidden, m.Hidden}},
		{".self_attn.k_proj.weight", []int{kv, m.Hidden}},
		{".self_attn.v_proj.weight", []int{kv, m.Hidden}},
		{".self_attn.o_proj.weight", []int{m.Hidden, m.Hidden}},
		{".post_attention_layernorm.weight", []int{m.Hidden}},
		{".mlp.gate_proj.weight", []int{m.MLP, m.Hidden}},
		{".mlp.down_proj.weight", []int{m.Hidden, m.MLP}},
		{".mlp.up_proj.weight", []int{m.MLP, m.Hidden}},
		{"model.norm.weight", []int{m.Hidden}},
		{"", []int{2 * m.Positions, pairs}}, // tables of the rotary embedding, which follow from its theta
	}
	if !m.Tied {
		parts = append(parts, part{"lm_head.weight", []int{m.Vocabulary, m.Hidden}})
	}
	for _, p := range parts {
		bytes := int64(4)
		for _, n := range p.shape {
			bytes *= int64(n) // at most 2^2 * 2^31 * 2^22
		}
		names := []string{p.name}
		if p.name != "" && p.name[0] == '.' {
			names = names[:0]
			for l := range m.Layers {
				names = append(names, fmt.Sprintf("model.layers.%d%s", l, p.name))
			}
		}
		for _, name := range names {
			if at > size-bytes {
				return fmt.Errorf("%d bytes, but tensor %s of shape %v begins at byte %d: cut short?", size, printable(name), p.shape, at)
			}
			m.tensors.tensors[name] = stored{format: kernel.F32, shape: p.shape, r: io.NewSectionReader(r, at, bytes)}
			at += bytes
		}
	}
	delete(m.tensors.tensors, "")
	if at != size {
		return fmt.Errorf("%d bytes, want the %d that the header describes", size, at)
	}
	return nil
}
