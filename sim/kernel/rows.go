package kernel

import "slices"

// Rows are the stored keys, or values, of one head as they lie in memory: row after row of codes, and apart
// from them the scales of a quantised format.
//
// Scales belong to a row or to a group of its channels, or, with Tokens, to a channel of a group of rows
// (NewChannelRows). Where Scale is nil the codes of Int8 and Int4 are the values.
type Rows struct {
	Format Format
	Dim    int      // channels of a row
	Data   []byte   // [n][stride] codes
	Scale  []uint16 // binary16: Int8 [n], Int4 [n][groups]; with Tokens [n/Tokens][Dim]
	Min    []uint16 // binary16, of Int4: as Scale
	Tokens int      // rows that share the scales of their channels; 0 where scales belong to a row
	Factor []uint16 // binary16 [n]: attention reads row i times it; nil for rows as they are. Not counted

	stride int // bytes from one row to the next
	groups int // scales from one row to the next
}

// NewRows makes room for capacity rows of dim channels.
func NewRows(f Format, dim, capacity int) Rows {
	r := NewCodes(f, dim, capacity)
	r.Scale = make([]uint16, 0, capacity*r.groups)
	r.Min = make([]uint16, 0, capacity*f.MinsPerRow(dim))
	return r
}

// NewCodes makes room for capacity rows of codes without scales. Rows of Int8 and Int4 are appended as
// whole numbers.
func NewCodes(f Format, dim, capacity int) Rows {
	r := Rows{Format: f, Dim: dim, stride: f.CodeBytes(dim), groups: f.ScalesPerRow(dim)}
	r.Data = make([]byte, 0, capacity*r.stride)
	return r
}

// Len is how many rows are held.
func (r *Rows) Len() int { return len(r.Data) / r.stride }

// at is the address of row i, or of the last where there are fewer.
func (r *Rows) at(i int) *byte { return &r.Data[min(i, r.Len()-1)*r.stride] }

// Cap is how many rows fit without allocation.
func (r *Rows) Cap() int { return cap(r.Data) / r.stride }

// Bytes is what the rows take: codes and scales.
func (r *Rows) Bytes() int64 { return int64(len(r.Data)) + r.ScaleBytes() }

// ScaleBytes is the part of Bytes that scales and minima take.
func (r *Rows) ScaleBytes() int64 { return 2 * int64(len(r.Scale)+len(r.Min)) }

// RowBytes is what one row takes, but for scales that it shares with other rows.
func (r *Rows) RowBytes() int64 {
	n := int64(r.stride)
	if r.Scale != nil && r.Tokens == 0 {
		n += 2 * int64(r.groups+r.Format.MinsPerRow(r.Dim))
	}
	return n
}

// Append encodes a further row, [Dim], and reports whether the format could hold all of it: false means that
// a value, scale or minimum came out infinite or not a number. It allocates only beyond Cap. Rows whose
// scales belong to channels come by AppendGroup instead.
func (r *Rows) Append(row []float32) (finite bool) {
	i := r.Len()
	r.Data = grow(r.Data, r.stride)
	if r.Scale != nil {
		r.Scale = grow(r.Scale, r.groups)
		r.Min = grow(r.Min, r.Format.MinsPerRow(r.Dim))
	}
	return r.Set(i, row)
}

// grow lengthens s by n.
func grow[T any](s []T, n int) []T {
	return slices.Grow(s, n)[:len(s)+n]
}

// Set encodes row i anew. It reports what Append does.
func (r *Rows) Set(i int, row []float32) (finite bool) {
	dst := r.Data[i*r.stride : (i+1)*r.stride]
	row = row[:r.Dim]
	switch r.Format {
	case F32:
		return encodeFloats(dst, row)
	case F16:
		return active.halves(dst, row)
	case BF16:
		return encodeBrains(dst, row)
	case Int8:
		if r.Scale == nil {
			return encodeCodes8(dst, row)
		}
		return encodeInt8(dst, &r.Scale[i], row)
	default:
		if r.Scale == nil {
			return encodeCodes4(dst, row)
		}
		return encodeInt4(dst, r.Scale[i*r.groups:(i+1)*r.groups], r.Min[i*r.groups:(i+1)*r.groups], row)
	}
}

// Row decodes row i into dst, [Dim]: the definition of what the row holds.
func (r *Rows) Row(i int, dst []float32) { r.decode(i, 0, dst[:r.Dim]) }

// Prefix returns the first dim channels of the same rows, in the same memory: the values of an absorbed
// latent row are the prefix of its keys. dim is a multiple of GroupDim for Int4, or Dim. A prefix is a
// snapshot: it does not see later appends, and it must not be appended to or counted.
func (r *Rows) Prefix(dim int) Rows {
	p := *r
	p.Dim = dim
	return p
}

// Slice returns rows lo to hi, in the same memory, as Prefix does; lo is a multiple of Tokens.
func (r *Rows) Slice(lo, hi int) Rows {
	s := *r
	s.Data = r.Data[lo*r.stride : hi*r.stride]
	from, to := lo*r.groups, hi*r.groups
	if r.Tokens > 0 {
		from, to = lo/r.Tokens*r.Dim, (hi+r.Tokens-1)/r.Tokens*r.Dim
	}
	if len(r.Scale) > 0 {
		s.Scale = r.Scale[from:to]
	}
	if len(r.Min) > 0 {
		s.Min = r.Min[from:to]
	}
	if r.Factor != nil {
		s.Factor = r.Factor[lo:hi]
	}
	return s
}

// CopyFrom makes r hold what o holds, of the same format and dimension.
func (r *Rows) CopyFrom(o *Rows) {
	r.Data = append(r.Data[:0], o.Data...)
	r.Scale = append(r.Scale[:0], o.Scale...)
	r.Min = append(r.Min[:0], o.Min...)
}

// Move copies row from over row to.
func (r *Rows) Move(to, from int) {
	move(r.Data, r.stride, to, from)
	if r.Scale != nil {
		move(r.Scale, r.groups, to, from)
		move(r.Min, r.Format.MinsPerRow(r.Dim), to, from)
	}
}

// move copies n items of place from over those of place to.
func move[T any](s []T, n, to, from int) {
	copy(s[to*n:(to+1)*n], s[from*n:(from+1)*n])
}

// Truncate drops the rows from n on.
func (r *Rows) Truncate(n int) {
	r.Data = r.Data[:n*r.stride]
	if r.Scale != nil {
		r.Scale = r.Scale[:n*r.groups]
		r.Min = r.Min[:n*r.Format.MinsPerRow(r.Dim)]
	}
}
