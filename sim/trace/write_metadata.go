package trace

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// metadata is the inverse of setMetadata and of Attention.set, in the first version of the format that can say it.
func (h *Header) metadata() (map[string]string, error) {
	meta := map[string]string{
		"format": formatName, "version": secondVersion, "model": h.Model, "source": h.Source,
		"num_layers": strconv.Itoa(h.NumLayers), "position_offset": strconv.Itoa(h.PositionOffset),
	}
	if h.inFirst() {
		meta["version"] = firstVersion
	}
	if h.Repeat != (Span{}) {
		meta["repeat_span"] = fmt.Sprintf("%d..%d", h.Repeat.First, h.Repeat.Last)
	}
	if len(h.Needles) > 0 {
		text, err := json.Marshal(h.Needles)
		if err != nil {
			return nil, err
		}
		meta["needles"] = string(text)
	}
	return meta, h.addAttention(meta)
}

// inFirst says whether version 1 can say the attention of the layers: plain and the same in all.
func (h *Header) inFirst() bool {
	a := h.Attention[0]
	plain := h.States == nil && !a.Latent() && a.QKDim == a.VDim && a.Ring() == 0 && a.Softcap == 0 && a.Sinks == nil && a.ALiBi == nil && a.RopeFactor == 1 && !a.Outputs
	return plain && !slices.ContainsFunc(h.Attention, func(b Attention) bool { return !reflect.DeepEqual(a, b) })
}

// addAttention adds the fields of the layers to metadata: at the top level what all say alike, the others in layers.
func (h *Header) addAttention(meta map[string]string) error {
	own, object := make([]map[string]any, len(h.Layers)), map[string]map[string]any{}
	for i, layer := range h.Layers {
		own[i] = h.Attention[i].fields()
		object[strconv.Itoa(layer)] = own[i]
	}
	for _, name := range layerFields {
		value, ok := own[0][name]
		if !ok || slices.ContainsFunc(own, func(o map[string]any) bool { return o[name] != value }) {
			continue
		}
		meta[name] = fieldText(value)
		for _, o := range own {
			delete(o, name)
		}
	}
	for number, o := range object {
		if len(o) == 0 {
			delete(object, number)
		}
	}
	for _, s := range h.States {
		object[strconv.Itoa(s.Layer)] = map[string]any{stateField: s.Bytes}
	}
	if len(object) == 0 {
		return nil
	}
	text, err := json.Marshal(object) // sorts keys
	meta["layers"] = string(text)
	return err
}

// fields are what a layer says of its attention, without what its tensors do.
func (a *Attention) fields() map[string]any {
	f := map[string]any{"scale": a.Scale}
	if a.Borrows {
		f[ownerField] = a.KVFrom
	}
	if a.Window > 0 {
		f["window"] = a.Window
	}
	if a.Chunk > 0 {
		f["chunk"] = a.Chunk
	}
	if a.Softcap > 0 {
		f["softcap"] = a.Softcap
	}
	if a.Rope.Dims == 0 {
		return f
	}
	f["rope_theta"], f["rope_style"], f["rope_dims"] = a.Rope.Theta, a.Rope.Style, a.Rope.Dims
	if a.RopeFactor != 1 {
		f["rope_factor"] = a.RopeFactor
	}
	return f
}

// fieldText is a value as a field at the top level has it.
func fieldText(value any) string {
	if f, ok := value.(float64); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return fmt.Sprint(value)
}
