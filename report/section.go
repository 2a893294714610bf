package report

import (
	"fmt"
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
	return oneLine(fmt.Sprintf("%s, %d tokens (%d decoded%s): %d of %d layers, %s",
		traceText(r), r.SeqLen, r.Decode, windows, len(r.Layers), r.NumLayers, shapeText(r)))
}

// shapeText says what the layers have in common.
func shapeText(r record.Record) string {
	number := func(n *int) string {
		if n == nil {
			return "various"
		}
		return strconv.Itoa(*n)
	}
	text := fmt.Sprintf("%s query / %s KV heads of %s", number(r.QHeads), number(r.KVHeads), number(r.HeadDim))
	if r.VDim != nil && r.HeadDim != nil && *r.VDim != *r.HeadDim {
		text += fmt.Sprintf(", values of %d", *r.VDim)
	}
	windowed := 0
	for _, s := range r.Shapes {
		if s.Window > 0 || s.Chunk > 0 {
			windowed++
		}
	}
	if windowed > 0 {
		text += fmt.Sprintf(", %d of them with a window or chunks", windowed)
	}
	return text
}

// traceText names a trace and the model that it was recorded from.
func traceText(r record.Record) string {
	if r.Model == "" || strings.EqualFold(r.Model, r.Trace) {
		return r.Trace
	}
	return r.Trace + " (" + r.Model + ")"
}
