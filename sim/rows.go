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

// newRows are those of a trace, at most so many layers of them.
func newRows(t *trace.Trace, r rowsRange, hold int) *rows {
	return &rows{trace: t, rowsRange: r, hold: hold, held: map[int]*trace.Layer{}}
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
	return l.Prefix(tokens, r.trace.At(layer)), nil
}
