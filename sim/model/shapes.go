package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tensor is one that a Config asks for.
type tensor struct {
	name  string
	shape []int
}

// name is the name of a layer's tensor.
func (m *Model) name(layer int, of string) string {
	return fmt.Sprintf("%slayers.%d.%s", m.prefix, layer, of)
}

// checkTensors finds out how the tensors are named, and checks that all that a pass needs are there, with their shapes.
func (m *Model) checkTensors() error {
	prefixes := families[m.Family].prefixes
	if prefixes == nil {
		prefixes = []string{"model.", ""}
	}
	m.prefix = prefixes[0]
	for _, p := range prefixes {
		if m.tensors.has(p + "embed_tokens.weight") {
			m.prefix = p
			break
		}
	}
	asked := map[string]bool{}
	check := func(list ...tensor) error {
		for _, t := range list {
			asked[t.name] = true
			if err := m.tensors.want(t.name, t.shape...); err != nil {
				return err
			}
		}
		return nil
	}
	if err := check(tensor{m.prefix + "embed_tokens.weight", []int{m.Vocabulary, m.Hidden}}, tensor{m.prefix + "norm.weight", []int{m.Hidden}}); err != nil {
		return err
	}
	m.head = m.headName()
	if m.head != "" {
		if err := check(tensor{m.head, []int{m.Vocabulary, m.Hidden}}); err != nil {
			return err
		}
	}
	for l := range m.Layers {
		list, err := m.layerTensors(l)
		if err != nil {
			return err
		}
		if err := check(list...); err != nil {
			return err
		}
	}
	m.Ignored = append(m.Ignored, m.strangers(asked)...)
	return nil
}

// headName is the tensor that makes logits: one of its own, or the embedding where the configuration ties them and there is
// none. A model without either is one that only has hidden states: "".
func (m *Model) headName() string {
	for _, name := range []string{"lm_head.weight", "language_model.lm_head.weight"} {
		if m.tensors.has(name) {
			return name
		}
	}
	if m.Tied {
		return m.prefix + "embed_tokens.weight"
	}
	return ""
}

// layerTensors lists what a layer has.
func (m *Model) layerTensors(l int) ([]tensor, error) {
	var list []tensor
	add := func(name string, shape ...int) { list = append(list, tensor{m.name(l, name), shape}) }
	linear := func(name string, bias bool, out, in int) {
		add(name+".weight", out, in)
		if bias {
			add(name+".bias", out)
		}
	}
	for _, norm := range []string{m.Norms.BeforeAttention, m.Norms.AfterAttention, m.Norms.BeforeMLP, m.Norms.AfterMLP} {
		if norm != "" {
			add(norm+".weight", m.Hidden)
		}
	}
	q, kv := m.QHeads*m.HeadDim, m.KVHeads*m.HeadDim
	if m.Fused {
		linear("self_attn.qkv_proj", false, q+2*kv, m.Hidden)
	} else {
		linear("self_attn.q_proj", m.QKVBias, q, m.Hidden)
		linear("self_attn.k_proj", m.QKVBias, kv, m.Hidden)
		linear("self_attn.v_proj", m.QKVBias, kv, m.Hidden)
	}
	linear("self_attn.o_proj", m.OutBias, m.Hidden, q)
	switch m.QKNorm {
	case HeadNorm:
		add("self_attn.q_norm.weight", m.HeadDim)
		add("self_attn.k_norm.weight", m.HeadDim)
	case WholeNorm:
		add("self_attn.q_norm.weight", q)
		add("self_attn.k_norm.weight", kv)
	}
	if m.Sinks {
		add("self_attn.sinks", m.QHeads)
	}
	switch {
	case m.sparse(l):
		more, err := m.expertTensors(l)
		return append(list, more...), err
	case m.Fused:
		linear("mlp.gate_up_proj", false, 2*m.MLP, m.Hidden)
	default:
		linear("mlp.gate_proj", m.MLPBias, m.MLP, m.Hidden)
		linear("mlp.up_proj", m.MLPBias, m.MLP, m.Hidden)
	}
	linear("mlp.down_proj", m.MLPBias, m.Hidden, m.MLP)
	return list, nil
}

// sparse says whether a layer has experts.
func (m *Model) sparse(l int) bool { return m.Experts != nil && (m.Sparse == nil || m.Sparse[l]) }

// maxIgnored bounds the lines about tensors that are not read.
const maxIgnored = 10

// strangers returns a line for each tensor of the text model that no pass reads, so far as they are few. Tables of the rotary
// embedding, which old checkpoints hold, follow from the configuration.
func (m *Model) strangers(asked map[string]bool) (lines []string) {
	known := slices.AppendSeq(slices.Collect(maps.Keys(m.tensors.tensors)), maps.Keys(m.tensors.unread))
	slices.Sort(known)
	more := 0
	for _, name := range known {
		switch {
		case asked[name], !strings.HasPrefix(name, m.prefix+"layers."), strings.HasSuffix(name, ".rotary_emb.inv_freq"):
		case len(lines) == maxIgnored:
			more++
		default:
			lines = append(lines, fmt.Sprintf("tensor %s: none of this model_type, ignored", printable(name)))
		}
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("%d more tensors: none of this model_type, ignored", more))
	}
	return lines
}
