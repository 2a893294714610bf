package kernel

// Layout is all there is to say about how rows are stored.
type Layout struct {
	Format   Format
	Blocks   *Blocks // of Blocked
	Tokens   int     // rows that share the scales of their channels; 0: scales belong to rows
	Open     bool    // the latest group of Tokens takes rows one by one
	Residual ResidualWindow
	Fixed    []float32 // [head] the scale of all rows, or one of all heads; nil: 1, or other scales
}

// Of is the layout of one head.
func (l Layout) Of(head int) Layout {
	if len(l.Fixed) > 1 {
		l.Fixed = l.Fixed[head : head+1]
	}
	return l
}

// Plain is the layout of a format whose rows are stored as they come.
func Plain(f Format) Layout { return Layout{Format: f} }

// Blockwise is the layout of blocks whose rows are stored as they come.
func Blockwise(b *Blocks) Layout { return Layout{Format: Blocked, Blocks: b} }

// Grouped says whether rows are not simply stored one after the other as they come.
func (l Layout) Grouped() bool { return l.Tokens > 0 || l.Residual.Flush > 0 }

// Rows makes room for capacity rows of dim channels.
func (l Layout) Rows(dim, capacity int) Rows {
	var r Rows
	switch {
	case l.Tokens > 0:
		r = newChannelRows(l.codes(dim, capacity), l.Tokens, capacity)
		if l.Open {
			r.opens, r.prompt, r.rest = true, true, make([]float32, l.Tokens*dim)
		}
	case l.Format == Blocked:
		r = l.codes(dim, capacity)
	default:
		r = NewRows(l.Format, dim, capacity)
	}
	if l.Fixed != nil {
		r.Fixed = l.Fixed[0]
	}
	r.simple = l.Tokens == 0 && l.Residual.Flush == 0
	if l.Residual.Flush > 0 {
		r.addResidual(l.Residual, capacity)
		r.prompt = l.Residual.Anew
	}
	if n := l.Residual.Sinks; n > 0 {
		first := NewRows(F16, dim, min(n, capacity))
		first.Then, first.open = &r, n
		return first
	}
	return r
}

// Bytes is what n rows of a prompt, of dim channels, take once they have been appended one by one and Rows.Flush was called
// after each: what Rows.Bytes says of them.
func (l Layout) Bytes(dim, n int) int64 {
	r, total := l.Rows(dim, 0), int64(0)
	part := &r
	if l.Residual.Sinks > 0 {
		first := min(n, l.Residual.Sinks)
		total, n, part = part.bytesOf(first), n-first, part.Then
	}
	if w := l.Residual; w.Flush > 0 && !w.Anew {
		packed := max(0, n-w.Hold) / w.Flush * w.Flush
		total, n = total+part.Then.bytesOf(n-packed), packed
	}
	return total + part.bytesOf(n)
}

// bytesOf is what n of these rows take, whole groups of them where groups share scales, without those that follow.
func (r *Rows) bytesOf(n int) int64 {
	bytes := int64(n) * int64(r.stride)
	switch {
	case r.Tokens > 0:
		groups, scales := n/r.Tokens, r.perGroup()
		if r.opens {
			groups = (n + r.Tokens - 1) / r.Tokens
		}
		if r.Min != nil {
			scales *= 2
		}
		bytes += 2 * int64(groups) * int64(scales)
	case r.Scale != nil:
		bytes += 2 * int64(n) * int64(r.groups+r.Format.MinsPerRow(r.Dim))
	}
	return bytes
}

// Room is how many floats Rows.Flush needs for rows of dim channels.
func (l Layout) Room(dim int) int {
	n := l.Residual.Flush * dim
	if l.Residual.Anew {
		n = dim
	}
	if l.Format == Blocked && l.Blocks.balanced {
		n += balanceRoom(l.Tokens, dim)
	}
	return n
}

// Buffers appends to dst the memory of the directions of a sketch.
func (l Layout) Buffers(dst [][]byte) [][]byte {
	if l.Blocks != nil && l.Blocks.Sketch != nil {
		dst = append(dst, Memory(l.Blocks.Sketch.directions))
	}
	return dst
}

// codes makes room for codes without scales that belong to channels.
func (l Layout) codes(dim, capacity int) Rows {
	if l.Format != Blocked {
		return NewCodes(l.Format, dim, capacity)
	}
	n, _ := l.Blocks.rowBytes(dim)
	r := Rows{Format: Blocked, Blocks: l.Blocks, Dim: dim, width: dim, stride: n, Data: make([]byte, 0, capacity*n)}
	if l.Blocks.Sketch != nil {
		r.Dim, r.rest = 2*dim, make([]float32, dim)
	}
	return r
}
