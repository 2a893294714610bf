package sim

import (
	"context"

	"kvgauge/sim/trace"
)

// rows reads the layers of one trace, and keeps as many of those that it has read as fit in memory, so that
// the cells of a trace do not read or generate them again.
type rows struct {
	trace *trace.Trace
	rowsRange
	hold int // layers that are kept, at this length
	held map[int]*trace.Layer
}

// rowsRange is which rows of a layer are read: keys and values of the first tokens, and the queries of token first and
// later among them.
type rowsRange struct{ tokens, first int }

// newRows are those of a trace, at most so many layers of them.
func newRows(t *trace.Trace, r rowsRange, hold int) *rows {
	return &rows{trace: t, rowsRange: r, hold: hold, held: map[int]*trace.Layer{}}
}

// with is the range that covers those of another cell, too.
func (r rowsRange) with(tokens, first int) rowsRange {
	if r.tokens == 0 {
		return rowsRange{tokens, first}
	}
	return rowsRange{max(r.tokens, tokens), min(r.first, first)}
}

// bytes is what they take of one layer, in float32.
func (r rowsRange) bytes(t *trace.Header) int64 {
	return 4 * int64(t.HeadDim) * (2*int64(t.KVHeads)*int64(r.tokens) + int64(t.QHeads)*int64(r.tokens-r.first))
}

// load reads layers once.
func (r *rows) load(ctx context.Context, layers []int) error {
	for _, layer := range layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := r.layer(layer, r.tokens, r.first); err != nil {
			return err
		}
	}
	return nil
}

// layer returns the first tokens rows of a layer, with the queries of token first and later at least.
func (r *rows) layer(layer, tokens, first int) (*trace.Layer, error) {
	l, ok := r.held[layer]
	if !ok {
		if len(r.held) == r.hold || first < r.first {
			return r.trace.Read(layer, tokens, first)
		}
		var err error
		if l, err = r.trace.Read(layer, r.tokens, r.first); err != nil {
			return nil, err
		}
		r.held[layer] = l
	}
	if first < l.FirstQuery {
		return r.trace.Read(layer, tokens, first)
	}
	return l.Prefix(tokens, r.trace.HeadDim), nil
}
