package kernel

// Shared: products of float64 matrices, and of a symmetric one with a vector, for fits and spectra.

// Strip is how many rows of a Matrix64 are read side by side. The columns that are read so are a multiple of it.
const Strip = 8

// Matrix64 is a matrix of float64, row by row, or a part of one.
type Matrix64 struct {
	Rows, Cols int
	Stride     int // numbers from one row to the next
	Data       []float64
}

// NewMatrix64 returns a matrix of zeros. Its rows begin on cache lines, and not a power of two apart: so far apart,
// the rows of a strip would drive each other out of the cache.
func NewMatrix64(rows, cols int) Matrix64 {
	stride := (cols + Strip - 1) &^ (Strip - 1)
	if stride%64 == 0 {
		stride += Strip
	}
	return Matrix64{rows, cols, stride, make([]float64, rows*stride)}
}

// Row returns row i.
func (m Matrix64) Row(i int) []float64 { return m.Data[i*m.Stride : i*m.Stride+m.Cols] }

// Part returns rows top to bottom and columns left to right, which share the memory.
func (m Matrix64) Part(top, bottom, left, right int) Matrix64 {
	p := Matrix64{Rows: bottom - top, Cols: right - left, Stride: m.Stride}
	if p.Rows > 0 {
		p.Data = m.Data[top*m.Stride+left : (bottom-1)*m.Stride+right]
	}
	return p
}

// Transposed returns a copy with rows and columns swapped, a square of few lines at a time.
func (m Matrix64) Transposed() Matrix64 {
	t := NewMatrix64(m.Cols, m.Rows)
	for top := 0; top < m.Rows; top += Strip {
		bottom := min(top+Strip, m.Rows)
		for c := range m.Cols {
			to := t.Data[c*t.Stride+top:][:bottom-top]
			for i := range to {
				to[i] = m.Data[(top+i)*m.Stride+c]
			}
		}
	}
	return t
}

// AddDots adds the inner product of each row with x to sums. Rows and columns are multiples of Strip, here and in the two
// functions below.
func (m Matrix64) AddDots(x, sums []float64) {
	for i := 0; i < m.Rows && m.Cols > 0; i += Strip {
		active.stripDots(m.Data[i*m.Stride:], m.Stride, m.Cols, x, sums[i:])
	}
}

// AddRows adds each row times its weight to y.
func (m Matrix64) AddRows(weights, y []float64) {
	for i := 0; i < m.Rows && m.Cols > 0; i += Strip {
		active.stripAxpys(m.Data[i*m.Stride:], m.Stride, m.Cols, y, weights[i:])
	}
}

// AddSymmetric adds the product of a symmetric matrix with x to y. Of the matrix only the upper triangle is read, and
// of that only once; the squares of Strip by Strip on the diagonal are stored in full. It begins with the last rows where
// it goes backwards: a call finds in the cache what the one before read last, so that calls that alternate read less
// memory, of matrices that the cache does not hold.
func (m Matrix64) AddSymmetric(x, y []float64, backwards bool) {
	for at := 0; at < m.Rows; at += Strip {
		i := at
		if backwards {
			i = m.Rows - Strip - at
		}
		row, right := m.Data[i*m.Stride+i:], i+Strip
		active.stripDots(row, m.Stride, Strip, x[i:], y[i:])
		if right < m.Cols {
			active.strip(row[Strip:], m.Stride, m.Cols-right, x[right:], y[i:right], y[right:], x[i:])
		}
	}
}

const (
	productDepth = 256   // rows of a and b that are multiplied at a time: a packed panel of a stays in the first-level cache
	productBlock = 60000 // numbers of b that are packed at a time, at most, and stay in the second level
)

// Product multiplies matrices. It holds the memory to do so, which grows as needed, and one goroutine uses it at a
// time. The zero value is ready.
type Product struct {
	a, b, edge []float64 // packed panels, and a tile that reaches over the edge of the result
}

// Add adds scale times the transpose of a times b to out:
//
//	out[i][j] += scale * sum over l of a[l][i] * b[l][j]
func (p *Product) Add(out Matrix64, scale float64, a, b Matrix64) { p.add(out, scale, a, b, false) }

// AddUpper is Add for a result that is symmetric: what is left of the diagonal, and of the squares of Strip by Strip
// on it, may be left out.
func (p *Product) AddUpper(out Matrix64, scale float64, a, b Matrix64) { p.add(out, scale, a, b, true) }

// add goes through out by blocks of columns, whose part of b is packed, and in these by rows of tiles. Of a all that
// has the depth is packed, once.
func (p *Product) add(out Matrix64, scale float64, a, b Matrix64, upper bool) {
	if out.Rows == 0 || out.Cols == 0 {
		return
	}
	rows, cols := active.tileRows, active.tileCols
	deep := max(1, min(productDepth, a.Rows))
	wide := min(productBlock/deep, out.Cols+cols-1) / cols * cols // whole tiles
	p.a, p.b, p.edge = room(p.a, deep*(out.Rows+rows-1)), room(p.b, deep*wide), room(p.edge, rows*cols)
	for depth := 0; depth < a.Rows; depth += productDepth {
		k := min(productDepth, a.Rows-depth)
		pack(p.a, a.Part(depth, depth+k, 0, out.Rows), rows, scale)
		for left := 0; left < out.Cols; left += wide {
			right := min(left+wide, out.Cols)
			pack(p.b, b.Part(depth, depth+k, left, right), cols, 1)
			for i := 0; i < out.Rows; i += rows {
				first := left
				if diagonal := i &^ (Strip - 1); upper && diagonal > first {
					first += (diagonal - first) / cols * cols
				}
				if first >= right {
					break
				}
				for j := first; j < right; j += cols {
					p.tile(out, i, j, k, p.a[i*k:], p.b[(j-left)*k:])
				}
			}
		}
	}
}

// room returns n numbers of memory, the old one where it is enough.
func room(old []float64, n int) []float64 {
	if cap(old) < n {
		return make([]float64, n)
	}
	return old[:n]
}

// tile multiplies a packed panel of a with one of b, into the tile of out that begins at row i and column j.
func (p *Product) tile(out Matrix64, i, j, k int, a, b []float64) {
	rows, cols := active.tileRows, active.tileCols
	if i+rows <= out.Rows && j+cols <= out.Cols {
		active.tileProduct(a, b, k, out.Data[i*out.Stride+j:], out.Stride)
		return
	}
	clear(p.edge)
	active.tileProduct(a, b, k, p.edge, cols)
	part := out.Part(i, min(i+rows, out.Rows), j, min(j+cols, out.Cols))
	for r := range part.Rows {
		for c, x := range p.edge[r*cols:][:part.Cols] {
			part.Data[r*part.Stride+c] += x
		}
	}
}

// pack writes m, times scale, as the tiles read it: panels of width columns, one behind the other, the last with zeros up to
// width. It goes through m row by row, for rows are pages apart.
func pack(dst []float64, m Matrix64, width int, scale float64) {
	whole := m.Cols / width * width
	for i := range m.Rows {
		row, to := m.Row(i), dst[i*width:]
		for at := 0; at < whole; at += width {
			copyScaled(to[at*m.Rows:][:width], row[at:], scale)
		}
		if whole < m.Cols {
			edge := to[whole*m.Rows:][:width]
			clear(edge)
			copyScaled(edge, row[whole:], scale)
		}
	}
}

// copyScaled sets dst to scale*src, as far as both reach.
func copyScaled(dst, src []float64, scale float64) {
	n := copy(dst, src)
	if scale == 1 {
		return
	}
	for i := range dst[:n] {
		dst[i] *= scale
	}
}
