package report

import (
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// trait is one property of a layer's shape or attention.
type trait struct {
	text func(*trace.Attention) string // "" where the layer has none
	none string                        // said of such a layer where others have it
}

// shapeTraits are heads and widths.
var shapeTraits = []trait{
	{text: func(a *trace.Attention) string { return record.Count(a.QHeads, "query head", "") }},
	{text: func(a *trace.Attention) string { return record.Count(a.KVHeads, "KV head", "") }},
	{text: widthText},
	{none: "keys and values", text: func(a *trace.Attention) string {
		return textIf(a.Latent(), fmt.Sprintf("latents of %d and a shared key of %d", a.Rank, a.SharedDim))
	}},
}

// attentionTraits are what attention does beside products and softmax.
var attentionTraits = []trait{
	{text: func(a *trace.Attention) string { return fmt.Sprintf("scale %.4g", a.Scale) }},
	{text: func(a *trace.Attention) string { return ropeText(a.Rope) }},
	{none: "no rope factor", text: func(a *trace.Attention) string {
		return textIf(a.RopeFactor != 1, fmt.Sprintf("rope factor %.4g", a.RopeFactor))
	}},
	{none: "no window", text: func(a *trace.Attention) string { return textIf(a.Window > 0, fmt.Sprintf("window %d", a.Window)) }},
	{none: "no chunks", text: func(a *trace.Attention) string { return textIf(a.Chunk > 0, fmt.Sprintf("chunks of %d", a.Chunk)) }},
	{none: "no soft cap", text: func(a *trace.Attention) string {
		return textIf(a.Softcap > 0, fmt.Sprintf("soft cap %.4g", a.Softcap))
	}},
	{none: "no sinks", text: func(a *trace.Attention) string { return textIf(a.Sinks != nil, "sinks") }},
	{none: "keys and values of its own", text: func(a *trace.Attention) string {
		return textIf(a.Borrows, fmt.Sprintf("keys and values of layer %d", a.KVFrom))
	}},
	{none: "no ALiBi", text: func(a *trace.Attention) string { return textIf(a.ALiBi != nil, "ALiBi") }},
}

// textIf is a text, or none.
func textIf(has bool, text string) string {
	if !has {
		return ""
	}
	return text
}

// widthText has one number where keys and values are of one width.
func widthText(a *trace.Attention) string {
	text := fmt.Sprintf("head_dim %d", a.QKDim)
	if a.VDim != a.QKDim {
		text += fmt.Sprintf(", values of %d", a.VDim)
	}
	return text
}

// ropeText describes a rotary embedding.
func ropeText(r trace.Rope) string {
	switch {
	case len(r.InvFreq) == 0:
		return "no rotary embedding"
	case r.Theta == 0:
		return fmt.Sprintf("rotary embedding %s over %d dimensions, frequencies listed", r.Style, r.Dims)
	}
	return fmt.Sprintf("rotary embedding %s over %d dimensions, theta %.6g", r.Style, r.Dims, r.Theta)
}

// parted parts traits into the texts of those that all layers of a trace have in common and the traits in which they
// differ.
func parted(h *trace.Header, traits []trait) (common []string, differing []trait) {
	for _, t := range traits {
		text := t.text(&h.Attention[0])
		switch {
		case slices.ContainsFunc(h.Attention, func(a trace.Attention) bool { return t.text(&a) != text }):
			differing = append(differing, t)
		case text != "":
			common = append(common, text)
		}
	}
	return common, differing
}

// shapeLines say what a trace holds: two lines of what its layers have in common and, where they differ, one for each
// kind of layer.
func shapeLines(h *trace.Header) []string {
	shape, differing := parted(h, shapeTraits)
	attention, more := parted(h, attentionTraits)
	line := func(start string, texts []string) string {
		return strings.Join(append([]string{start}, texts...), ", ")
	}
	return append([]string{
		line(fmt.Sprintf("%s: model %s, %s (queries of the last %d)", h.Name, h.Model, record.Count(h.Tokens, "token", ""), h.Queries), shape),
		line(fmt.Sprintf("layers %s of %d", record.LayerList(h.Layers), h.NumLayers), attention),
	}, kindLines(h, append(differing, more...))...)
}

// kindLines have a line for the layers that are alike in all traits given, in the order of the first layer of each.
func kindLines(h *trace.Header, traits []trait) []string {
	if len(traits) == 0 {
		return nil
	}
	var kinds []string
	layers := map[string][]int{} // by kind
	for i := range h.Attention {
		var texts []string
		for _, t := range traits {
			text := t.text(&h.Attention[i])
			if text == "" {
				text = t.none
			}
			texts = append(texts, text)
		}
		kind := strings.Join(texts, ", ")
		if layers[kind] == nil {
			kinds = append(kinds, kind)
		}
		layers[kind] = append(layers[kind], h.Layers[i])
	}
	for i, kind := range kinds {
		noun := "layers"
		if len(layers[kind]) == 1 {
			noun = "layer"
		}
		kinds[i] = fmt.Sprintf("%s %s: %s", noun, record.LayerList(layers[kind]), kind)
	}
	return kinds
}

// hasRing says whether some layer reads a window or a chunk of the keys alone.
func hasRing(h *trace.Header) bool {
	return slices.ContainsFunc(h.Attention, func(a trace.Attention) bool { return a.Ring() > 0 })
}

// hasSinks says whether some layer has logits in the softmax denominator that no value belongs to.
func hasSinks(h *trace.Header) bool {
	return slices.ContainsFunc(h.Attention, func(a trace.Attention) bool { return a.Sinks != nil })
}

// sameShapes says whether all layers have the same heads and widths.
func sameShapes(h *trace.Header) bool {
	return !slices.ContainsFunc(h.Attention, func(a trace.Attention) bool { return !a.Same(&h.Attention[0]) })
}

// rowWidth is the width of the rows of K and V, all heads side by side: of the widest where they are not equal.
func rowWidth(h *trace.Header, widest int) string {
	if sameShapes(h) && h.Attention[0].QKDim == h.Attention[0].VDim {
		return fmt.Sprintf("%d wide", widest)
	}
	return fmt.Sprintf("up to %d wide", widest)
}

// importance says when a key is important.
func importance(h *trace.Header) string {
	if hasRing(h) {
		return "probability 1/t or more for a query that reads t keys"
	}
	return "probability 1/t or more for the t-th query"
}

const (
	noteRing  = "keys outside of a layer's window or chunk have a probability of 0"
	noteSinks = "sinks of the softmax take their share from all keys; entropy counts a sink as one more key"
)

// maskNotes say which keys do not share in a softmax, or with what they share.
func maskNotes(h *trace.Header) []string {
	var notes []string
	if hasRing(h) {
		notes = append(notes, noteRing)
	}
	if hasSinks(h) {
		notes = append(notes, noteSinks)
	}
	return notes
}
