package kernel

// Scales that belong to channels: keys have channels that are large in every token, which a scale per token
// would spoil (KIVI, Liu et al. 2024, 2402.02750, sec. 3). A group of Tokens rows shares one scale and one
// minimum a channel, so that rows are appended by whole groups.

// NewChannelRows makes room for capacity rows whose scales belong to channels, tokens rows at a time. Int8 is
// symmetric as elsewhere, Int4 asymmetric.
func NewChannelRows(f Format, dim, tokens, capacity int) Rows {
	r := NewCodes(f, dim, capacity)
	r.Tokens = tokens
	groups := (capacity + tokens - 1) / tokens
	r.Scale = make([]uint16, 0, groups*dim)
	if f == Int4 {
		r.Min = make([]uint16, 0, groups*dim)
	}
	return r
}

// AppendGroup encodes Tokens further rows, [Tokens][Dim], of rows made by NewChannelRows. It reports what
// Append does.
func (r *Rows) AppendGroup(rows []float32) (finite bool) {
	at, dim := len(r.Scale), r.Dim
	start := len(r.Data)
	r.Data = grow(r.Data, r.Tokens*r.stride)
	clear(r.Data[start:])
	r.Scale = grow(r.Scale, dim)
	if r.Format == Int4 {
		r.Min = grow(r.Min, dim)
	}
	finite = true
	for c := range dim {
		least, most, ok := extent(rows[c:], dim)
		scale := max(-least, most) / 127
		if r.Format == Int4 {
			scale = (most - least) / 15
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
			if r.Format == Int8 {
				row[c] = byte(int8(quantise(x/scale, -127, 127)))
				continue
			}
			g := c / GroupDim * GroupDim
			putNibble(row[g/2:], c-g, min(GroupDim, dim-g), byte(quantise((x-least)/scale, 0, 15)))
		}
	}
	return finite
}

// decodeChannels turns the codes of channels from and later of row i, in dst, into values.
func (r *Rows) decodeChannels(i, from int, dst []float32) {
	at := i/r.Tokens*r.Dim + from
	for c := range dst {
		dst[c] *= halfs[r.Scale[at+c]]
		if r.Format == Int4 {
			dst[c] += halfs[r.Min[at+c]]
		}
	}
}

// codes returns the rows without their scales.
func (r *Rows) codes() Rows {
	c := *r
	c.Scale, c.Min, c.Tokens = nil, nil, 0
	return c
}
