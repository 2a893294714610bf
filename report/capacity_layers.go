package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/olekukonko/tablewriter/tw"

	"kvgauge/sim/arch"
	"kvgauge/sim/record"
)

// WriteModelLayers says what a sequence's cache holds of a model, a line for each tensor of each kind of layer: the layers,
// its rows, the elements of a row and their type, as transformers caches them.
func WriteModelLayers(w io.Writer, name string, m arch.Model) error {
	type kind struct {
		layers []int
		of     arch.Layer
	}
	var kinds []kind
	for i, l := range m.Layers {
		k := slices.IndexFunc(kinds, func(k kind) bool { return cachesLike(k.of, l) })
		if k < 0 {
			k = len(kinds)
			kinds = append(kinds, kind{of: l})
		}
		kinds[k].layers = append(kinds[k].layers, i)
	}
	var rows [][]string
	for _, k := range kinds {
		layers := record.LayerList(k.layers)
		switch {
		case k.of.From >= 0:
			rows = append(rows, []string{layers, "reads layer " + strconv.Itoa(k.of.From), "-", "-", "-"})
		case len(k.of.Tensors) == 0:
			rows = append(rows, []string{layers, "nothing", "-", "-", "-"})
		}
		for _, t := range k.of.Tensors {
			rows = append(rows, []string{layers, oneLine(t.Name), rowsText(k.of, t), grouped(strconv.FormatInt(t.Row, 10)), typeText(m, t)})
		}
	}
	fmt.Fprintf(w, "%s (%s), as transformers caches it\n", oneLine(name), oneLine(m.Type))
	lines, err := tableLines(tw.AlignLeft, []string{"layers", "tensor", "rows", "elements", "type"}, rows)
	if err != nil {
		return err
	}
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	_, err = fmt.Fprintln(w)
	return err
}

// cachesLike says whether two layers cache the same.
func cachesLike(a, b arch.Layer) bool {
	return a.From == b.From && a.Window == b.Window && a.Chunk == b.Chunk && slices.Equal(a.Tensors, b.Tensors)
}

// typeText is the type of a tensor's elements.
func typeText(m arch.Model, t arch.Tensor) string {
	if t.Type == arch.ModelType && m.DType != "" {
		return oneLine(m.DType)
	}
	return string(t.Type)
}

// rowsText says how the rows of a tensor follow the tokens.
func rowsText(l arch.Layer, t arch.Tensor) string {
	n := grouped(strconv.Itoa(t.Rows.N))
	switch t.Rows.Grow {
	case arch.Once:
		return n
	case arch.Ring:
		return fmt.Sprintf("the last %s tokens, less one", n)
	case arch.Each:
		return fmt.Sprintf("one for each %s tokens", n)
	case arch.Rest:
		return fmt.Sprintf("tokens beyond the last %s", n)
	case arch.After:
		return n + " from so many tokens on"
	case arch.Since:
		return fmt.Sprintf("a token, of prompts from %s on", n)
	}
	text := "a token"
	if t.Rows.N > 0 {
		text += ", and " + n
	}
	if span := max(l.Window, l.Chunk); span > 0 {
		text += fmt.Sprintf(", of which %s are read", grouped(strconv.Itoa(span)))
	}
	return text
}
