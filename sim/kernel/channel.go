package kernel

import "sort"

// Scales that belong to channels: keys have channels that are large in every token, which a scale per token
// would spoil (KIVI, Liu et al. 2024, 2402.02750, sec. 3). A group of Tokens rows shares one scale and one
// minimum a channel, so that rows are appended by whole groups. A group from which rows were evicted keeps the
// scales of the others.

// Codes is the format of codes from 0 to 2^bits-1 whose scales belong to channels.
func Codes(bits int) *Blocks {
	return &Blocks{Bits: bits, Table: counting(bits), Scale: NoScale, form: tableForm(bits)}
}

// newChannelRows adds room for the scales of capacity rows, tokens rows at a time, to rows of codes. Int8 is
// symmetric as elsewhere, Int4 and Codes asymmetric; Balanced ones are scaled by rows besides.
func newChannelRows(r Rows, tokens, capacity int) Rows {
	r.Tokens = tokens
	groups := (capacity + tokens - 1) / tokens
	r.Scale = make([]uint16, 0, groups*r.width)
	if r.Format != Int8 && (r.Blocks == nil || r.Blocks.Scale != HalfMin) {
		r.Min = make([]uint16, 0, groups*r.width)
	}
	r.ends = make([]int32, 0, groups)
	return r
}

// AppendGroup encodes Tokens further rows, [Tokens][Dim], of rows whose scales belong to channels. It reports
// whether the format could hold all of it.
func (r *Rows) AppendGroup(rows []float32) (finite bool) {
	at, dim := len(r.Scale), r.Dim
	start := len(r.Data)
	r.Data = grow(r.Data, r.Tokens*r.stride)
	clear(r.Data[start:])
	r.Scale = grow(r.Scale, dim)
	if r.Format != Int8 {
		r.Min = grow(r.Min, dim)
	}
	if len(r.ends) > 0 {
		r.ends = append(r.ends, int32(r.own()))
	}
	levels := float32(15)
	if r.Format == Blocked {
		levels = float32(int(1)<<r.Blocks.Bits - 1)
	}
	finite = true
	for c := range dim {
		least, most, ok := extent(rows[c:], dim)
		scale := max(-least, most) / 127
		if r.Format != Int8 {
			scale = (most - least) / levels
			r.Min[at+c] = Half(least)
			ok = ok && finite16(r.Min[at+c])
		}
		r.Scale[at+c] = Half(scale)
		if !ok || !finite16(r.Scale[at+c]) {
			finite = false
			continue
		}
		if scale == 0 {
			continue
		}
		for t := range r.Tokens {
			x, row := rows[t*dim+c], r.Data[start+t*r.stride:]
			switch r.Format {
			case Int8:
				row[c] = byte(int8(quantise(x/scale, -127, 127)))
			case Blocked:
				putCode(row, r.Blocks.Bits, c, dim, byte(quantise((x-least)/scale, 0, float64(levels))))
			default:
				putCode(row, 4, c, dim, byte(quantise((x-least)/scale, 0, 15)))
			}
		}
	}
	return finite
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

// decodeChannels decodes the codes of channels from and later of row i, in dst, to values.
func (r *Rows) decodeChannels(i, from int, dst []float32) {
	g, _ := r.groupOf(i)
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
	c.Scale, c.Min, c.Tokens, c.Then = nil, nil, 0, nil
	return c
}
