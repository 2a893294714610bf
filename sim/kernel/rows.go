package kernel

import "slices"

// Rows are the stored keys, or values, of one head as they lie in memory: row after row of codes, and apart
// from them the scales of a quantised format.
//
// Scales belong to a row or to a group of its channels, or, with Tokens, to a channel of a group of rows
// (channel.go). Where Scale is nil the codes of Int8 and Int4 are the values.
type Rows struct {
	Format Format
	Blocks *Blocks  // of Blocked, whose scales stand among the codes
	Dim    int      // channels of a row, and as many again with a Sketch: those of a query
	Data   []byte   // [n][stride] codes
	Scale  []uint16 // binary16: Int8 [n], Int4 [n][groups]; with Tokens [n/Tokens][Dim]
	Min    []uint16 // binary16, of Int4: as Scale
	Tokens int      // rows that share the scales of their channels; 0 where scales belong to a row
	Factor []uint16 // binary16 [n]: attention reads row i times it; nil for rows as they are. Not counted
	Then   *Rows    // the rows that follow, in a ResidualWindow

	// Of codes without scales that were made with one of all rows: that scale (0: 1), and how many values did not fit.
	Fixed   float32
	Clipped Clipped

	residual ResidualWindow
	open     int     // rows that these still take, before Then does
	width    int     // channels of a whole row: Dim, but in a Prefix and with a Sketch
	stride   int     // bytes from one row to the next
	groups   int     // scales from one row to the next
	ends     []int32 // with Tokens: the row behind each group; empty while all groups are whole

	rest   []float32 // scratch of a Sketch, [width], and of an open group, [Tokens][width]
	opens  bool      // the latest group takes rows, and is coded anew with each
	simple bool      // rows have their scales with them, and there is no window
	prompt bool      // the rows of a prompt are being appended: those of the open group are known as they were, and a window that is quantised Anew takes none
	raw    int       // of the rows of the open group, those that rest holds as they were
}

// Clipped counts values beyond the largest that a fixed scale has codes for, which are stored as that.
type Clipped struct{ Values, Of int64 }

// fixed is the scale of all rows.
func (r *Rows) fixed() float32 {
	if r.Fixed == 0 {
		return 1
	}
	return r.Fixed
}

// Cut adds what was clipped so far to n.
func (r *Rows) Cut(n *Clipped) {
	n.Values += r.Clipped.Values
	n.Of += r.Clipped.Of
	if r.Then != nil {
		r.Then.Cut(n)
	}
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
	r := Rows{Format: f, Dim: dim, width: dim, stride: f.CodeBytes(dim), groups: f.ScalesPerRow(dim)}
	r.Data = make([]byte, 0, capacity*r.stride)
	return r
}

// F32Rows are the rows of x [rows][dim], in its memory. Nothing must be appended to them.
func F32Rows(x []float32, dim int) Rows {
	r := NewCodes(F32, dim, 0)
	r.Data = Memory(x)
	return r
}

// Len is how many rows are held, those in the residual window among them.
func (r *Rows) Len() int {
	n := r.own()
	if r.Then != nil {
		n += r.Then.Len()
	}
	return n
}

// own is Len without what follows.
func (r *Rows) own() int { return len(r.Data) / r.stride }

// find returns the rows that row i is among, and its place there.
func (r *Rows) find(i int) (*Rows, int) {
	if n := r.own(); r.Then != nil && i >= n {
		return r.Then.find(i - n)
	}
	return r, i
}

// at is the address of row i, or of the last where there are fewer.
func (r *Rows) at(i int) *byte {
	r, i = r.find(min(i, r.Len()-1))
	return &r.Data[i*r.stride]
}

// Cap is how many rows fit without allocation.
func (r *Rows) Cap() int { return cap(r.Data) / r.stride }

// Bytes is what the rows take: codes and scales.
func (r *Rows) Bytes() int64 {
	n := int64(len(r.Data)) + 2*int64(len(r.Scale)+len(r.Min)) + 4*int64(len(r.ends))
	if r.Then != nil {
		n += r.Then.Bytes()
	}
	return n
}

// Buffers appends to dst the memory that attention over the rows reads.
func (r *Rows) Buffers(dst [][]byte) [][]byte {
	dst = append(dst, r.Data, Memory(r.Scale), Memory(r.Min), Memory(r.ends), Memory(r.Factor))
	if r.Then != nil {
		dst = r.Then.Buffers(dst)
	}
	return dst
}

// ScaleBytes is the part of Bytes that is not codes: scales, minima, and where groups end.
func (r *Rows) ScaleBytes() int64 {
	n := 2*int64(len(r.Scale)+len(r.Min)) + 4*int64(len(r.ends))
	if r.Blocks != nil {
		_, scales := r.Blocks.rowBytes(r.width)
		n += int64(scales) * int64(r.own())
	}
	if r.Then != nil {
		n += r.Then.ScaleBytes()
	}
	return n
}

// RowBytes is what the latest row takes, but for scales that it shares with other rows.
func (r *Rows) RowBytes() int64 {
	if r.Then != nil {
		return r.Then.RowBytes()
	}
	n := int64(r.stride)
	if r.Scale != nil && r.Tokens == 0 {
		n += 2 * int64(r.groups+r.Format.MinsPerRow(r.Dim))
	}
	return n
}

// Append encodes a further row, all of its channels, and reports whether the format could hold all of it: false means that
// a value, scale or minimum came out infinite or not a number. It allocates only beyond Cap. Rows whose
// scales belong to channels come by AppendGroup instead, or by Flush.
func (r *Rows) Append(row []float32) (finite bool) {
	switch {
	case r.opens:
		return r.appendOpen(row)
	case r.Then != nil && r.open == 0 && !r.prompt:
		return r.Then.Append(row)
	}
	r.open = max(0, r.open-1)
	return r.push(row)
}

// EndPrompt says that the rows to come are no longer those of a prompt.
func (r *Rows) EndPrompt() { r.prompt, r.raw = false, 0 }

// AppendRows encodes further rows, [rows][width], of a format without a residual window, as Append does one by one.
func (r *Rows) AppendRows(rows []float32) (finite bool) {
	if r.Format == F16 {
		i, n := len(r.Data), len(rows)/r.width
		r.Data = grow(r.Data, n*r.stride)
		return active.halves(r.Data[i:], rows)
	}
	finite = true
	for row := range slices.Chunk(rows, r.width) {
		finite = r.push(row) && finite
	}
	return finite
}

// AppendRowsOf encodes those of the rows x [...][width] that rows names, as AppendRows does.
func (r *Rows) AppendRowsOf(x []float32, rows []int32) (finite bool) {
	if r.Format == F16 {
		i := len(r.Data)
		r.Data = grow(r.Data, len(rows)*r.stride)
		return active.halvesOf(r.Data[i:], x, r.width, rows)
	}
	finite = true
	for _, i := range rows {
		finite = r.push(x[int(i)*r.width:(int(i)+1)*r.width]) && finite
	}
	return finite
}

// push encodes a further row of these, whatever the residual window holds, and reports whether the format could hold
// all of it.
func (r *Rows) push(row []float32) (finite bool) {
	i := r.own()
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

// Set encodes row i anew and reports whether the format could hold all of it.
func (r *Rows) Set(i int, row []float32) (finite bool) {
	dst := r.Data[i*r.stride : (i+1)*r.stride]
	row = row[:r.width]
	switch r.Format {
	case Blocked:
		if r.Blocks.Scale == NoScale && r.Blocks.most > 0 {
			return r.encodeFixed(dst, row)
		}
		finite = r.Blocks.encode(dst, row)
		if s := r.Blocks.Sketch; s != nil {
			finite = s.encode(r.Blocks, dst, row, r.rest) && finite
		}
		return finite
	case F32:
		return encodeF32(dst, row)
	case F16:
		return active.halves(dst, row)
	case BF16:
		return encodeBF16(dst, row)
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

// Row decodes the channels of row i, of a Prefix its own, into dst: the definition of what the row holds.
func (r *Rows) Row(i int, dst []float32) {
	part, at := r.find(i)
	dst = dst[:min(r.Dim, r.width)]
	part.decode(at, 0, dst)
	if r.Dim > r.width {
		r.Blocks.Sketch.restore(r.Blocks, r.Data[at*r.stride:(at+1)*r.stride], dst)
	}
}

// PrefixOf makes r the first dim channels of the rows of o, in the same memory: the values of an absorbed
// latent row are the prefix of its keys. A prefix is a snapshot: it does not see later appends, and it must not
// be appended to or counted.
func (r *Rows) PrefixOf(o *Rows, dim int) {
	then := r.Then
	*r = *o
	r.Dim = dim
	if o.Then != nil {
		if then == nil {
			then = &Rows{}
		}
		then.PrefixOf(o.Then, dim)
		r.Then = then
	}
}

// Slice returns rows lo to hi of rows without a window, in the same memory, as a prefix is; lo is a multiple of
// Tokens, and all groups are whole.
func (r *Rows) Slice(lo, hi int) Rows {
	s := *r
	s.Data = r.Data[lo*r.stride : hi*r.stride]
	from, to := lo*r.groups, hi*r.groups
	if r.Tokens > 0 {
		from, to = lo/r.Tokens*r.perGroup(), (hi+r.Tokens-1)/r.Tokens*r.perGroup()
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
	r.ends = append(r.ends[:0], o.ends...)
	r.open, r.prompt, r.raw = o.open, o.prompt, o.raw
	if r.Then != nil {
		r.Then.CopyFrom(o.Then)
	}
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
