package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/record"
)

// section is the records of one trace and sequence length, in their order.
type section struct {
	records []record.Record // at least one
}

// sectionKey is what the records of a section share: they differ in the pipeline alone.
type sectionKey struct {
	trace, sha256           string
	layers                  string
	seqLen, decode, windows int
	seed                    uint64
}

// keyOf is the key of a record's section.
func keyOf(r record.Record) sectionKey {
	return sectionKey{r.Trace, r.TraceSHA256, record.LayerList(r.Layers), r.SeqLen, r.Decode, r.Windows, r.Seed}
}

// sections groups records, in order of first appearance.
func sections(records []record.Record) []section {
	var all []section
	at := map[sectionKey]int{}
	for _, r := range records {
		k := keyOf(r)
		i, ok := at[k]
		if !ok {
			i = len(all)
			at[k] = i
			all = append(all, section{})
		}
		all[i].records = append(all[i].records, r)
	}
	return all
}

// heading says what was measured on:
//
//	smollm2 (SmolLM2-135M), 1024 tokens (64 decoded): 6 of 30 layers, 9 query / 3 KV heads of 64
func (s section) heading() string {
	r := s.records[0]
	windows := ""
	if r.Windows > 1 {
		windows = fmt.Sprintf(", mean of %d windows", r.Windows)
	}
	states := ""
	if r.StateBytes != nil {
		states = fmt.Sprintf(" hold keys, states of %s in others", byteText(float64(*r.StateBytes)))
	}
	return oneLine(fmt.Sprintf("%s, %s (%d decoded%s): %d of %s%s, %s",
		traceText(r), record.Count(r.SeqLen, "token", ""), r.Decode, windows, len(r.Layers), layersText(r.NumLayers), states, shapeText(r)))
}

// shapeText says what heads and widths the layers have, from the least to the largest where they differ, and how many of
// them read a window or a chunk of the keys alone:
//
//	8 query / 1 to 4 KV heads of 64, window 512 in 5 layers
//	16 query / 1 KV heads of 192, values of 128, latents in 27 layers
func shapeText(r record.Record) string {
	width := extent(r.HeadDim, r.Shapes, func(s record.Shape) int { return s.QKDim })
	text := fmt.Sprintf("%s query / %s KV heads of %s",
		extent(r.QHeads, r.Shapes, func(s record.Shape) int { return s.QHeads }),
		extent(r.KVHeads, r.Shapes, func(s record.Shape) int { return s.KVHeads }), width)
	if r.VDim != nil || r.Shapes != nil { // records of earlier versions have neither
		if values := extent(r.VDim, r.Shapes, func(s record.Shape) int { return s.VDim }); values != width {
			text += ", values of " + values
		}
	}
	if n := countLatent(r.Shapes); n > 0 {
		text += fmt.Sprintf(", latents in %s", layersText(n))
	}
	return text +
		ringText(r.Shapes, ", window %s in %s", func(s record.Shape) int { return s.Window }) +
		ringText(r.Shapes, ", chunks of %s in %s", func(s record.Shape) int { return s.Chunk })
}

// extent is a number that all layers agree on or, where there is none, the range of the shapes'.
func extent(agreed *int, shapes []record.Shape, of func(record.Shape) int) string {
	if agreed != nil {
		return strconv.Itoa(*agreed)
	}
	if len(shapes) == 0 {
		return "unknown"
	}
	least, most := of(shapes[0]), of(shapes[0])
	for _, s := range shapes {
		least, most = min(least, of(s)), max(most, of(s))
	}
	if least == most {
		return strconv.Itoa(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// ringText says how long the windows or the chunks are, of the layers that have any, and how many these are.
func ringText(shapes []record.Shape, format string, of func(record.Shape) int) string {
	ringed := slices.DeleteFunc(slices.Clone(shapes), func(s record.Shape) bool { return of(s) == 0 })
	if len(ringed) == 0 {
		return ""
	}
	return fmt.Sprintf(format, extent(nil, ringed, of), layersText(len(ringed)))
}

// countLatent is how many layers cache latents.
func countLatent(shapes []record.Shape) (n int) {
	for _, s := range shapes {
		if s.Latent {
			n++
		}
	}
	return n
}

// layersText is a number of layers.
func layersText(n int) string { return record.Count(n, "layer", "") }

// traceText names a trace and the model that it was recorded from.
func traceText(r record.Record) string {
	if r.Model == "" || strings.EqualFold(r.Model, r.Trace) {
		return r.Trace
	}
	return r.Trace + " (" + r.Model + ")"
}
