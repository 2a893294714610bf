package kernel

// Reference: attention in portable Go, which the assembly must equal. A block is decoded once into scratch memory that
// stays in the nearest cache, and all heads read it from there.

var generic = path{
	name:             "go",
	score:            scoreGeneric,
	onlineSoftmax:    onlineSoftmaxGeneric,
	weightedSum:      weightedSumGeneric,
	sumProbabilities: sumProbabilitiesGeneric,
	dot:              dot,
	squares:          squares,
	axpy:             axpy,
	multiply:         scoreFloats,
	maxInto:          maxInto,
	minInto:          minInto,
	floats:           floats,
	halves:           encodeF16,
	halvesOf:         encodeF16Of,

	linearRows: 4, linearCols: 4, tileLinear: tileLinearGeneric, sigmoid: sigmoidGeneric,

	transpose: transpose,
	product:   productGeneric,
	exps64:    exps64Generic,

	tileRows: 4, tileCols: 4, tileProduct: tileProductGeneric,
	stripDots: stripDotsGeneric, stripAxpys: stripAxpysGeneric, strip: stripGeneric,

	read: readGeneric, fma: fmaGeneric, fmaFlops: 2 * 8,
}

// scoreGeneric computes the logits of n rows from row lo on, at most block, for each query of q:
//
//	out[h*stride+i] = q[h] . k[lo+i]
func scoreGeneric(q []float32, k *Rows, lo, n int, s *Scratch, out []float32, stride int) {
	scoreFloats(q, k.Dim, k.keys(lo, n, s), out, stride)
}

// keys decodes n rows from row lo on, all channels of a query, into scratch memory.
func (r *Rows) keys(lo, n int, s *Scratch) []float32 {
	rows := s.rows[:n*r.Dim]
	for i := range n {
		r.decode(lo+i, 0, rows[i*r.Dim:(i+1)*r.Dim])
	}
	return rows
}

// values decodes n rows from row lo on, as Row defines them, into scratch memory.
func (r *Rows) values(lo, n int, s *Scratch) []float32 {
	rows := s.rows[:n*r.Dim]
	for i := range n {
		r.Row(lo+i, rows[i*r.Dim:(i+1)*r.Dim])
	}
	return rows
}

// scoreFloats computes the logits of decoded rows.
func scoreFloats(q []float32, dim int, rows, out []float32, stride int) {
	for i := range len(rows) / dim {
		scoreRow(q, dim, 0, rows[i*dim:(i+1)*dim], out[i:], stride)
	}
}

// scoreRow adds to each query's logit of a row, which is set where from is 0, what the row's channels from there on make.
func scoreRow(q []float32, dim, from int, row, out []float32, stride int) {
	for h := range len(q) / dim {
		sum := dot(q[h*dim+from:(h+1)*dim], row)
		if from > 0 {
			sum += out[h*stride]
		}
		out[h*stride] = sum
	}
}

// onlineSoftmaxGeneric takes the logits of n rows, logits[h*block+i], into the online softmax of each head. With the
// factors k[i] and v[i] of the rows' codes, x[i] = k[i]*logits[i]:
//
//	max'      = the larger of max and every x[i]
//	rescale      = exp(max-max')
//	sum       = rescale*sum + sum over i of exp(x[i]-max')
//	logits[i] = v[i]*exp(x[i]-max')
func onlineSoftmaxGeneric(logits []float32, n int, k, v []float32, st softmaxState) {
	for h := range st.max {
		xs := logits[h*block : h*block+n]
		m := st.max[h]
		for i, x := range xs {
			xs[i] = k[i] * x
			m = max(m, xs[i])
		}
		st.rescale[h] = exp(st.max[h] - m)
		st.max[h] = m
		var sum float32
		for i, x := range xs {
			e := exp(x - m)
			xs[i] = v[i] * e
			sum += e
		}
		st.sum[h] = float32(st.rescale[h]*st.sum[h]) + sum
	}
}

// weightedSumGeneric adds the weighted sum of n rows from row lo on to each head's, which is rescaled before:
//
//	acc[h][d] = rescale[h]*acc[h][d] + sum over i of p[h*block+i] * v[lo+i][d]
func weightedSumGeneric(p []float32, v *Rows, lo, n int, s *Scratch, acc, rescale []float32) {
	dim := v.Dim
	rows := v.values(lo, n, s)
	rescaleSums(acc, dim, 0, rescale)
	for i := range n {
		addRow(p[i:], rows[i*dim:(i+1)*dim], acc, dim, 0)
	}
}

// rescaleSums multiplies each head's weighted sums, of the channels from a given one on.
func rescaleSums(acc []float32, dim, from int, rescale []float32) {
	for h, c := range rescale {
		for d := h*dim + from; d < (h+1)*dim; d++ {
			acc[d] *= c
		}
	}
}

// addRow adds a row's channels from a given one on to each head's weighted sum, times p[h*block].
func addRow(p, row, acc []float32, dim, from int) {
	for h := range len(acc) / dim {
		axpy(p[h*block], row, acc[h*dim+from:(h+1)*dim])
	}
}

// sumProbabilitiesGeneric sums the probabilities of n rows over queries; with one query sums may be logits:
//
//	sums[i] = sum over h of inverse[h] * exp(k[i]*logits[h*block+i] - max[h])
func sumProbabilitiesGeneric(logits []float32, n, queries int, k, max, inverse, sums []float32) {
	for i := range n {
		var sum float32
		for h := range queries {
			sum += inverse[h] * exp(float32(k[i]*logits[h*block+i])-max[h])
		}
		sums[i] = sum
	}
}
