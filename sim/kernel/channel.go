package kernel

import (
	"math"
	"sort"
)

// Scales that belong to channels: keys have channels that are large in every token, which a scale per token
// would spoil (KIVI, Liu et al. 2024, 2402.02750, sec. 3). A group of Tokens rows shares one scale and one
// minimum a channel, so that rows are appended by whole groups. A group from which rows were evicted keeps the
// scales of the others.

// Codes is the format of codes from 0 to 2^bits-1 whose scales belong to channels.
func Codes(bits int) *Blocks {
	return &Blocks{Bits: bits, Table: counting(bits), Scale: NoScale, form: tableForm(bits), round: rounding{most: float32(int(1)<<bits - 1)}}
}

// Zeros8 is the format of codes from 0 to 255 whose scales belong to channels, in binary32, as does the number that stands
// for zero. Where the latest group of rows is Open it is coded anew with each row that it takes.
func Zeros8() *Blocks {
	b := Codes(8)
	b.wide = true
	return b
}

// newChannelRows adds room for the scales of capacity rows, tokens rows at a time, to rows of codes. Those that are centred
// have no minima; Balanced ones are scaled by rows besides.
func newChannelRows(r Rows, tokens, capacity int) Rows {
	r.Tokens = tokens
	groups := (capacity + tokens - 1) / tokens
	r.Scale = make([]uint16, 0, groups*r.perGroup())
	if !r.centred() && (r.Blocks == nil || r.Blocks.Scale != HalfMin) {
		r.Min = make([]uint16, 0, groups*r.perGroup())
	}
	r.ends = make([]int32, 0, groups)
	return r
}

// centred says whether codes have no minimum.
func (r *Rows) centred() bool { return r.Format == Int8 || r.Blocks != nil && r.Blocks.most > 0 }

// wide says whether scales of channels are in binary32, of two halves each, the lower first.
func (r *Rows) wide() bool { return r.Blocks != nil && r.Blocks.wide }

// perGroup is how many halves the scales of a group take.
func (r *Rows) perGroup() int {
	if r.wide() {
		return 2 * r.width
	}
	return r.width
}

// AppendGroup encodes Tokens further rows, [Tokens][Dim], of rows whose scales belong to channels. It reports
// whether the format could hold all of it.
func (r *Rows) AppendGroup(rows []float32) (finite bool) {
	g := r.newGroup()
	start := r.own()
	r.Data = grow(r.Data, r.Tokens*r.stride)
	if len(r.ends) > 0 {
		r.ends = append(r.ends, int32(r.own()))
	}
	return r.encodeGroup(g, start, rows)
}

// newGroup makes room for the scales of a further group and returns its number.
func (r *Rows) newGroup() int {
	n := r.perGroup()
	g := len(r.Scale) / n
	r.Scale = grow(r.Scale, n)
	if r.Min != nil {
		r.Min = grow(r.Min, n)
	}
	return g
}

// encodeGroup encodes rows, [rows][Dim], as those from row start on, which group g has the scales of.
func (r *Rows) encodeGroup(g, start int, rows []float32) (finite bool) {
	dim, n := r.Dim, len(rows)/r.Dim
	clear(r.Data[start*r.stride : (start+n)*r.stride])
	finite = true
	for lo := 0; lo < dim; lo += packed {
		finite = r.encodeChannels(g, start, rows, lo, min(packed, dim-lo)) && finite
	}
	return finite
}

// encodeChannels encodes width channels of a group, from channel lo on.
func (r *Rows) encodeChannels(g, start int, rows []float32, lo, width int) (finite bool) {
	dim := r.Dim
	var low, high [packed]int32
	for c := range low {
		low[c], high[c] = math.MaxInt32, math.MinInt32
	}
	for at := lo; at < len(rows); at += dim {
		for c, x := range rows[at : at+width] {
			u := ordered(math.Float32bits(x))
			low[c], high[c] = min(low[c], u), max(high[c], u)
		}
	}
	var scale, shift, zero [packed]float32
	var empty [packed]bool // all codes are 0
	finite, some := true, false
	for c := range width {
		least, most, ok := ends(low[c], high[c])
		scale[c], zero[c] = r.channelScale(least, most)
		ok = r.putChannel(g, lo+c, scale[c], zero[c]) && ok
		if !r.centred() {
			shift[c] = least
		}
		empty[c] = !ok || scale[c] == 0
		finite, some = finite && ok, some || empty[c]
	}
	bits, round := r.channelCodes()
	var sized [packed]float32
	var codes [packed]byte
	for at := lo; at < len(rows); at, start = at+dim, start+1 {
		xs := rows[at : at+width]
		if r.wide() {
			for c, x := range xs {
				sized[c] = float32(x/scale[c]) + zero[c]
			}
		} else {
			for c, x := range xs {
				sized[c] = (x - shift[c]) / scale[c]
			}
		}
		for c := 0; some && c < width; c++ {
			if empty[c] {
				sized[c] = 0
			}
		}
		round.codes(codes[:], sized[:width])
		putCodes(r.Data[start*r.stride:], bits, lo, dim, codes[:width])
	}
	return finite
}

// channelCodes says how many bits the codes of channels have and how they are rounded.
func (r *Rows) channelCodes() (bits int, round *rounding) {
	switch {
	case r.Format == Int8:
		return 8, &signed8
	case r.Format == Blocked:
		return r.Blocks.Bits, &r.Blocks.round
	}
	return 4, &unsigned4
}

// channelScale is the scale of a channel with such values, and its minimum, or where they are wide the number that stands
// for zero.
func (r *Rows) channelScale(least, most float32) (scale, zero float32) {
	switch {
	case r.wide():
		if scale = (most - least) / 255; scale == 0 {
			scale = 1e-4
		}
		return scale, -least / scale
	case r.Format == Int8:
		return max(-least, most) / 127, 0
	case r.centred():
		return max(-least, most) / r.Blocks.most, 0
	case r.Format == Blocked:
		return (most - least) / float32(len(r.Blocks.Table)-1), least
	}
	return (most - least) / 15, least
}

// putChannel stores the scale of channel c of group g.
func (r *Rows) putChannel(g, c int, scale, zero float32) (finite bool) {
	at := g*r.perGroup() + c
	if r.wide() {
		at += c
		r.Scale[at], r.Scale[at+1] = split(scale)
		r.Min[at], r.Min[at+1] = split(zero)
		return finite32(scale) && finite32(zero)
	}
	r.Scale[at] = Half(scale)
	finite = finite16(r.Scale[at])
	if r.Min != nil {
		r.Min[at] = Half(zero)
		finite = finite && finite16(r.Min[at])
	}
	return finite
}

// split cuts a binary32 in two, the lower half first; joined is the inverse.
func split(x float32) (lower, upper uint16) {
	b := math.Float32bits(x)
	return uint16(b), uint16(b >> 16)
}

func joined(x []uint16) float32 { return math.Float32frombits(uint32(x[0]) | uint32(x[1])<<16) }

// channelScales widens the scales of group g and, where there are any, its minima.
func (r *Rows) channelScales(g int, scale, least []float32) {
	at := g * r.perGroup()
	if r.wide() {
		for c := range scale {
			scale[c] = joined(r.Scale[at+2*c:])
			least[c] = -scale[c] * joined(r.Min[at+2*c:])
		}
		return
	}
	active.floats(scale, r.Scale[at:])
	if r.Min != nil {
		active.floats(least, r.Min[at:])
	}
}

// appendOpen encodes a further row into the latest group, or into one of its own where that is full. The other rows of the
// group are what they have been decoded to, in the prompt what they were.
func (r *Rows) appendOpen(row []float32) (finite bool) {
	n := r.own()
	first, full := n, true
	if n > 0 {
		g, _ := r.groupOf(n - 1)
		if first = 0; g > 0 {
			_, first = r.groupOf(r.lastOf(g - 1))
		}
		full = n-first == r.Tokens
	}
	if full {
		first, r.raw = n, 0
		r.newGroup()
		if len(r.ends) > 0 {
			r.ends = append(r.ends, int32(n))
		}
	}
	for i := r.raw; i < n-first; i++ {
		r.Row(first+i, r.rest[i*r.width:(i+1)*r.width])
	}
	copy(r.rest[(n-first)*r.width:], row[:r.width])
	r.Data = grow(r.Data, r.stride)
	if len(r.ends) > 0 {
		r.ends[len(r.ends)-1]++
	}
	if r.prompt {
		r.raw = n - first + 1
	}
	return r.encodeGroup(len(r.Scale)/r.perGroup()-1, first, r.rest[:(n-first+1)*r.width])
}

// groupOf returns the group of row i, and the row behind the group.
func (r *Rows) groupOf(i int) (g, end int) {
	if len(r.ends) == 0 {
		g = i / r.Tokens
		return g, (g + 1) * r.Tokens
	}
	g = sort.Search(len(r.ends), func(g int) bool { return int(r.ends[g]) > i })
	return g, int(r.ends[g])
}

// lastOf is the last row of group g.
func (r *Rows) lastOf(g int) int {
	if len(r.ends) == 0 {
		return (g+1)*r.Tokens - 1
	}
	return int(r.ends[g]) - 1
}

// decodeChannels decodes the codes of channels from and later of row i, in dst, to values.
func (r *Rows) decodeChannels(i, from int, dst []float32) {
	g, _ := r.groupOf(i)
	if r.wide() {
		at := 2 * (g*r.width + from)
		for c := range dst {
			dst[c] = (dst[c] - joined(r.Min[at+2*c:])) * joined(r.Scale[at+2*c:])
		}
		return
	}
	at, factor := g*r.width+from, r.factor(i)
	for c := range dst {
		dst[c] *= halfs[r.Scale[at+c]]
		if r.Min != nil {
			dst[c] += float32(halfs[r.Min[at+c]] * factor)
		}
	}
}

// factor is what a Balanced row i is multiplied by, and 1 elsewhere.
func (r *Rows) factor(i int) float32 {
	if r.Format != Blocked || !r.Blocks.balanced {
		return 1
	}
	scale, _ := r.Blocks.scale(r.Data[i*r.stride+codeBytes(r.Blocks.Bits, r.width):], 0)
	return scale
}

// codes returns the rows without their scales.
func (r *Rows) codes() Rows {
	c := *r
	c.Scale, c.Min, c.Tokens, c.Then, c.simple = nil, nil, 0, nil, true
	return c
}
