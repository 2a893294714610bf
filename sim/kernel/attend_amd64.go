//go:build amd64 && !purego

package kernel

import "unsafe"

// Dispatch: attention by the assembly, a tile of query heads over one block of rows at a time. A call takes
// microseconds, since Go cannot interrupt it. Columns beyond the last whole step are left to the reference, so
// that no load reaches past a row; the wrappers check, by slicing, what the assembly takes for granted.

// simd is the assembly of one instruction set.
type simd struct {
	lanes            int     // floats in a register
	tiles            []*tile // by heads, descending to 1
	expand           [formats]expandFunc
	lookUp           [forms]lookUpFunc
	arrange          func(q *float32, dim int, out *float32) // for lines
	onlineSoftmax    func(logits *float32, n int, k, v, max, sum, rescale, part *float32, heads int)
	sumProbabilities func(logits *float32, n, queries int, k, max, inverse, sums *float32)
	dot              func(x, y *float32, n int) float32
	squares          func(sums *float64, x *float32, stride, rows, n int)
	axpy             func(p float32, x, y *float32, n int)
	maxInto, minInto func(x, y *float32, n int)
	mul              func(dst, x, y *float32, n int)
	widen            func(dst *float32, src *uint16, n int)
	narrow           func(dst *byte, src *float32, n int) (infinite uint32)
	narrowRows       func(dst *byte, src *float32, dim int, rows *int32, n int) (infinite uint32)
	transpose        func(dst, src *float32, dim, rows, cols int)
	exps64           func(dst, src *float64, n int, shift float64) float64
	sigmoid          func(dst, x *float32, n int)
	tileLinear       func(x *float32, xStride int, w *float32, k int, out *float32, outStride int)
	tileProduct      func(a, b *float64, k int, out *float64, outStride int)
	stripDots        func(rows *float64, stride, n int, x, sums *float64)
	stripAxpys       func(rows *float64, stride, n int, y, weights *float64)
	strip            func(rows *float64, stride, n int, x, sums, y, weights *float64)
	read             func(p *byte, n int) uint64
	fma              func(n int)
}

// tile is the assembly for tiles of so many query heads.
type tile struct {
	heads       int
	dots        [readers]dotsFunc
	lines       dotsFunc // of Int4 in whole lines; nil: none
	scaleProbs  func(p *float32, pStride, n int, scale, least *float32, groups int, out *float32, outStride int, sums *float32, sumStride int)
	weightedSum [readers]weightedSumFunc

	product func(a *float64, aStride int, b *float32, bStride, n, cols int, out *float64, outStride int)
}

type (
	dotsFunc        func(q *float32, qStride int, rows *byte, stride, n, dim int, out *float32, outStride int, scale, least *float32, groups int, next *byte)
	expandFunc      func(dst *float32, dstStride int, rows *byte, stride, n, dim int, scale, least *float32, groups int, next *byte)
	weightedSumFunc func(p *float32, pStride int, rows *byte, stride, n, dim int, acc *float32, accStride int, rescale, sums *float32, sumStride int, next *byte)
)

// prefetch returns where the prefetches of a tile start. The first tile of a block runs ahead through the
// block that is read next, line by line in step with its own loads; the others find their block in the
// cache and have nothing to bring in.
func prefetch(r *Rows, lo, h int, s *Scratch) *byte {
	if h == 0 && s.next != nil {
		return s.next
	}
	return r.at(lo)
}

// columns is how many columns of a row the assembly reads.
func columns(r *Rows) int {
	if r.Format == Int4 || r.Format == Blocked {
		return r.Dim &^ (GroupDim - 1)
	}
	return r.Dim &^ 15
}

// score computes the logits of n rows, as scoreGeneric does, but for the scales of Int8.
func (a *simd) score(q []float32, k *Rows, lo, n int, s *Scratch, out []float32, stride int) {
	if k.Tokens > 0 {
		a.scoreChannels(q, k, lo, n, s, out, stride)
		return
	}
	heads, dim := len(q)/k.Dim, columns(k)
	_, _ = k.Data[:(lo+n)*k.stride], out[:(heads-1)*stride+n]
	if a.expands(k, heads) {
		floats := a.expanded(k, lo, n, s)
		a.score(q, &floats, 0, n, s, out, stride)
		return
	}
	if dim > 0 {
		scale, least, groups := a.int4Scales(k, lo, n, s)
		rows, queries, width := k.at(lo), q, k.Dim
		lines := a.inLines(k)
		if lines {
			queries, width = a.arranged(q, heads, s)
		}
		h := 0
		for _, t := range a.tiles {
			dots := t.dots[k.reader()]
			if lines {
				dots = t.lines
			}
			for ; h+t.heads <= heads; h += t.heads {
				dots(&queries[h*width], 4*width, rows, k.stride, n, dim, &out[h*stride], 4*stride, scale, least, groups, prefetch(k, lo, h, s))
			}
		}
	}
	switch {
	case dim == k.Dim:
		return
	case dim > 0 && k.Format != Int4 && k.Format != Blocked:
		a.scoreTail(q, k, lo, n, s, out, stride)
		return
	}
	rest := s.tail[:k.Dim-dim]
	for i := range n {
		k.decodeCodes(lo+i, dim, rest)
		scoreRow(q, k.Dim, dim, rest, out[i:], stride)
	}
}

// scoreTail adds what the columns beyond the last whole step make: it reads the last sixteen columns of each
// row with the queries' channels, of which those that were read before are set to zero.
func (a *simd) scoreTail(q []float32, k *Rows, lo, n int, s *Scratch, out []float32, stride int) {
	heads, again := len(q)/k.Dim, columns(k)-(k.Dim-16)
	tails := s.q[:heads*16]
	for h := range heads {
		tail := tails[h*16 : (h+1)*16]
		copy(tail, q[(h+1)*k.Dim-16:(h+1)*k.Dim])
		clear(tail[:again])
	}
	rows := &k.Data[lo*k.stride+k.Format.CodeBytes(k.Dim-16)]
	h := 0
	for _, t := range a.tiles {
		part := s.part[:t.heads*block]
		for ; h+t.heads <= heads; h += t.heads {
			t.dots[k.Format](&tails[h*16], 4*16, rows, k.stride, n, 16, &part[0], 4*block, nil, nil, 0, rows)
			for i := range t.heads {
				a.axpySlices(1, part[i*block:i*block+n], out[(h+i)*stride:])
			}
		}
	}
}

// weightedSum adds the weighted sum of n rows, as weightedSumGeneric does, but for the scales of Int8.
func (a *simd) weightedSum(p []float32, v *Rows, lo, n int, s *Scratch, acc, rescale []float32) {
	if v.Tokens > 0 {
		a.weightedSumChannels(p, v, lo, n, s, acc, rescale)
		return
	}
	heads, dim := len(rescale), columns(v)
	_, _, _ = v.Data[:(lo+n)*v.stride], p[:(heads-1)*block+n], acc[:heads*v.Dim]
	if a.expands(v, heads) {
		floats := a.expanded(v, lo, n, s)
		a.weightedSum(p, &floats, 0, n, s, acc, rescale)
		return
	}
	if dim > 0 {
		scale, least, groups := a.int4Scales(v, lo, n, s)
		padded := fours(groups)
		rows := v.at(lo)
		h := 0
		for _, t := range a.tiles {
			for ; h+t.heads <= heads; h += t.heads {
				part, stride := &p[h*block], 4*block
				if groups > 0 {
					t.scaleProbs(part, stride, n, scale, least, groups, &s.scaledProbs[0], 4*block*padded, &s.minSums[0], 4*padded)
					part, stride = &s.scaledProbs[0], 4*block*padded
				}
				t.weightedSum[v.reader()](part, stride, rows, v.stride, n, dim, &acc[h*v.Dim], 4*v.Dim, &rescale[h], &s.minSums[0], 4*padded, prefetch(v, lo, h, s))
			}
		}
	}
	if dim == v.Dim {
		return
	}
	rest := s.tail[:v.Dim-dim]
	rescaleSums(acc, v.Dim, dim, rescale)
	for i := range n {
		v.decodeCodes(lo+i, dim, rest)
		addRow(p[i:], rest, acc, v.Dim, dim)
	}
}

// multiply computes the products of vectors with rows: dots of several vectors at a time.
func (a *simd) multiply(x []float32, cols int, m, out []float32, stride int) {
	vectors, n, dim := len(x)/cols, len(m)/cols, cols&^15
	_ = out[:(vectors-1)*stride+n]
	if dim > 0 {
		rows := (*byte)(unsafe.Pointer(&m[0]))
		h := 0
		for _, t := range a.tiles {
			for ; h+t.heads <= vectors; h += t.heads {
				t.dots[F32](&x[h*cols], 4*cols, rows, 4*cols, n, dim, &out[h*stride], 4*stride, nil, nil, 0, rows)
			}
		}
	}
	if dim == cols {
		return
	}
	for i := range n {
		scoreRow(x, cols, dim, m[i*cols+dim:(i+1)*cols], out[i:], stride)
	}
}

// onlineSoftmaxBlock takes a block of logits, padded to a whole step, into the online softmax.
func (a *simd) onlineSoftmaxBlock(logits []float32, n int, k, v []float32, st softmaxState) {
	whole := (n + 15) &^ 15
	k, v = k[:whole], v[:whole]
	for i := n; i < whole; i++ {
		for h := range st.max {
			logits[h*block+i] = minusInf
		}
		k[i], v[i] = 1, 1
	}
	a.onlineSoftmax(&logits[0], whole, &k[0], &v[0], &st.max[0], &st.sum[0], &st.rescale[0], &st.part[0], len(st.max))
}

// sumProbabilitiesBlock sums the probabilities of a block over queries. What it makes of the padding is not read.
func (a *simd) sumProbabilitiesBlock(logits []float32, n, queries int, k, max, inverse, sums []float32) {
	a.sumProbabilities(&logits[0], (n+15)&^15, queries, &k[0], &max[0], &inverse[0], &sums[0])
}
