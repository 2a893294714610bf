package kernel

// ResidualWindow keeps the latest rows of a store in binary16 (the residual of KIVI, 2402.02750) behind those that are
// quantised, until there are Flush rows to quantise at once, and Hold more. The first Sinks rows are never quantised.
//
// Rows with a window are a chain: the sinks, Then those quantised, Then the window. Indices run through all.
//
// With Anew the rows of a prompt are quantised at once, and whenever the window is full all rows are quantised anew, those
// that were before as they have been decoded.
type ResidualWindow struct {
	Sinks, Flush, Hold int
	Anew               bool
}

// addResidual puts an empty window behind the rows, which hold at most capacity with it.
func (r *Rows) addResidual(w ResidualWindow, capacity int) {
	next := NewRows(F16, r.Dim, min(capacity, w.Flush+w.Hold))
	r.residual, r.Then = w, &next
}

// Flush quantises the oldest rows of the residual window, as many as are due. It takes the memory that Layout.Room
// says and reports whether the format could hold all of it.
func (r *Rows) Flush(room []float32) (finite bool) {
	if r.residual.Flush == 0 && r.Then != nil {
		return r.Then.Flush(room)
	}
	if r.residual.Anew {
		return r.quantiseAnew(room)
	}
	finite = true
	for w := r.residual; w.Flush > 0 && r.Then.own() >= w.Flush+w.Hold; {
		rows := room[:w.Flush*r.width]
		for i := range w.Flush {
			r.Then.Row(i, rows[i*r.width:(i+1)*r.width])
		}
		for n := max(1, r.Tokens) * r.width; len(rows) > 0; rows = rows[n:] {
			switch {
			case r.Tokens == 0:
				finite = r.push(rows[:n]) && finite
			case r.Format == Blocked && r.Blocks.balanced:
				finite = r.appendBalanced(rows[:n], room[w.Flush*r.width:]) && finite
			default:
				finite = r.AppendGroup(rows[:n]) && finite
			}
		}
		r.Then.dropFirst(w.Flush)
	}
	return finite
}

// quantiseAnew quantises all rows, once the window is full.
func (r *Rows) quantiseAnew(row []float32) (finite bool) {
	if finite = true; r.Then.own() < r.residual.Flush {
		return finite
	}
	row = row[:r.width]
	for i := range r.own() {
		r.decodeExact(i, row)
		finite = r.Set(i, row) && finite
	}
	for i := range r.Then.own() {
		r.Then.Row(i, row)
		finite = r.push(row) && finite
	}
	r.Then.dropFirst(r.Then.own())
	return finite
}

// decodeExact decodes row i in the arithmetic of the format's own code, which may round between its steps.
func (r *Rows) decodeExact(i int, dst []float32) {
	b := r.Blocks
	if b.restore == nil {
		r.decode(i, 0, dst)
		return
	}
	src := r.Data[i*r.stride : (i+1)*r.stride]
	codes := codeBytes(b.Bits, r.width)
	lookUp(src[:codes], b.Bits, r.width, 0, b.Table, dst)
	for c, x := range dst {
		scales := src[codes+c/b.width(r.width)*b.Scale.bytes():]
		dst[c] = b.restore(x, fromBF16(scales), fromBF16(scales[2:]))
	}
}

// scoreRows computes logits over a chain, by the active path.
func scoreRows(q []float32, k *Rows, lo, n int, s *Scratch, out []float32, stride int) {
	if k.Then != nil && lo+n > k.own() {
		m := max(0, k.own()-lo)
		if m > 0 {
			active.score(q, k, lo, m, s, out, stride)
		}
		scoreRows(q, k.Then, lo+m-k.own(), n-m, s, out[m:], stride)
		return
	}
	active.score(q, k, lo, n, s, out, stride)
}

// weightedSumRows adds the weighted sums over a chain, by the active path.
func weightedSumRows(p []float32, v *Rows, lo, n int, s *Scratch, acc, rescale []float32) {
	if v.Then != nil && lo+n > v.own() {
		m := max(0, v.own()-lo)
		if m > 0 {
			active.weightedSum(p, v, lo, m, s, acc, rescale)
			rescale = s.ones[:len(rescale)]
		}
		weightedSumRows(p[m:], v.Then, lo+m-v.own(), n-m, s, acc, rescale)
		return
	}
	active.weightedSum(p, v, lo, n, s, acc, rescale)
}

// dropFirst drops the first n rows of a format without scales apart.
func (r *Rows) dropFirst(n int) {
	r.Data = r.Data[:copy(r.Data, r.Data[n*r.stride:])]
}
