package model

import (
	"fmt"
	"io"

	"kvgauge/sim/kernel"
)

// linear is a matrix [outputs][inputs] as it is stored, and what is added to its products.
type linear struct {
	rows kernel.Rows
	bias []float32 // nil: nothing
}

// layer is the weights of one layer.
type layer struct {
	beforeAttention, afterAttention, beforeMLP, afterMLP []float32 // nil: no such norm

	q, k, v, o linear
	qNorm      []float32 // nil: none
	kNorm      []float32
	sinks      []float32

	gate, up, down linear  // of a dense MLP
	router         *linear // of experts; nil where the MLP is dense
}

// reader reads weights. Its memory is used again for the next layer, unless it is kept.
type reader struct {
	m     *Model
	bufs  [][]byte
	taken int
	err   error // the first
}

// again lets go of everything that was read.
func (r *reader) again() { r.taken = 0 }

// memory returns n bytes.
func (r *reader) memory(n int) []byte {
	if r.taken == len(r.bufs) {
		r.bufs = append(r.bufs, nil)
	}
	if cap(r.bufs[r.taken]) < n {
		r.bufs[r.taken] = make([]byte, n)
	}
	r.taken++
	return r.bufs[r.taken-1][:n]
}

// stored reads n bytes of a tensor from one on.
func (r *reader) stored(name string, from int64, n int) []byte {
	buf := r.memory(n)
	if got, err := r.m.tensors.tensors[name].r.ReadAt(buf, from); got < n && r.err == nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		r.err = fmt.Errorf("model %s: tensor %s: %w", printable(r.m.Path), printable(name), cause(err))
	}
	return buf
}

// matrix reads n rows from one on, of a tensor whose rows have cols numbers.
func (r *reader) matrix(name string, from, n, cols int) kernel.Rows {
	format := r.m.tensors.tensors[name].format
	rows := kernel.NewCodes(format, cols, 0)
	rows.Data = r.stored(name, int64(from)*int64(format.CodeBytes(cols)), n*format.CodeBytes(cols))
	return rows
}

// vector reads n numbers from one on, and adds to each.
func (r *reader) vector(name string, from, n int, plus float32) []float32 {
	format := r.m.tensors.tensors[name].format
	rows, out := kernel.NewCodes(format, n, 0), make([]float32, n)
	rows.Data = r.stored(name, int64(format.CodeBytes(from)), format.CodeBytes(n))
	rows.Row(0, out)
	for i := range out {
		out[i] += plus
	}
	return out
}

// norm reads the weights of a norm of a layer; nil where it has none.
func (r *reader) norm(l int, name string, n int) []float32 {
	if name == "" {
		return nil
	}
	return r.vector(r.m.name(l, name+".weight"), 0, n, r.m.NormOffset)
}

// linear reads n rows from one on of a matrix of a layer, with their biases.
func (r *reader) linear(l int, name string, bias bool, from, n, cols int) linear {
	x := linear{rows: r.matrix(r.m.name(l, name+".weight"), from, n, cols)}
	if bias {
		x.bias = r.vector(r.m.name(l, name+".bias"), from, n, 0)
	}
	return x
}

// layer reads the weights of a layer, but for its experts.
func (r *reader) layer(l int) (*layer, error) {
	m, q, kv := r.m, r.m.QHeads*r.m.HeadDim, r.m.KVHeads*r.m.HeadDim
	w := &layer{
		beforeAttention: r.norm(l, m.Norms.BeforeAttention, m.Hidden),
		afterAttention:  r.norm(l, m.Norms.AfterAttention, m.Hidden),
		beforeMLP:       r.norm(l, m.Norms.BeforeMLP, m.Hidden),
		afterMLP:        r.norm(l, m.Norms.AfterMLP, m.Hidden),
		o:               r.linear(l, "self_attn.o_proj", m.OutBias, 0, m.Hidden, q),
	}
	if m.Fused {
		w.q = r.linear(l, "self_attn.qkv_proj", false, 0, q, m.Hidden)
		w.k = r.linear(l, "self_attn.qkv_proj", false, q, kv, m.Hidden)
		w.v = r.linear(l, "self_attn.qkv_proj", false, q+kv, kv, m.Hidden)
	} else {
		w.q = r.linear(l, "self_attn.q_proj", m.QKVBias, 0, q, m.Hidden)
		w.k = r.linear(l, "self_attn.k_proj", m.QKVBias, 0, kv, m.Hidden)
		w.v = r.linear(l, "self_attn.v_proj", m.QKVBias, 0, kv, m.Hidden)
	}
	switch m.QKNorm {
	case HeadNorm:
		w.qNorm, w.kNorm = r.norm(l, "self_attn.q_norm", m.HeadDim), r.norm(l, "self_attn.k_norm", m.HeadDim)
	case WholeNorm:
		w.qNorm, w.kNorm = r.norm(l, "self_attn.q_norm", q), r.norm(l, "self_attn.k_norm", kv)
	}
	if m.Sinks {
		w.sinks = r.vector(m.name(l, "self_attn.sinks"), 0, m.QHeads, 0)
	}
	if m.sparse(l) {
		w.router = r.router(l)
		return w, r.err
	}
	w.down = r.linear(l, "mlp.down_proj", m.MLPBias, 0, m.Hidden, m.MLP)
	if m.Fused {
		w.gate = r.linear(l, "mlp.gate_up_proj", false, 0, m.MLP, m.Hidden)
		w.up = r.linear(l, "mlp.gate_up_proj", false, m.MLP, m.MLP, m.Hidden)
	} else {
		w.gate = r.linear(l, "mlp.gate_proj", m.MLPBias, 0, m.MLP, m.Hidden)
		w.up = r.linear(l, "mlp.up_proj", m.MLPBias, 0, m.MLP, m.Hidden)
	}
	return w, r.err
}
