package kernel

// FP8 is a floating-point code of 8 bits a channel. With a scale, HalfScale or FloatScale, the largest
// magnitude of a row becomes the largest code, and the scale in binary32 is at least 1e-6 where it is stored
// so; without one, NoScale, values beyond the largest code times the scale of all rows, 1 where there is none, are stored
// as that. wide is E5M2 in place of E4M3.
func FP8(wide bool, scale ScaleType) *Blocks {
	m, table, f := e4m3, e4m3Table, formE4M3
	if wide {
		m, table, f = e5m2, e5m2Table, formE5M2
	}
	largest := table[m.most]
	b := &Blocks{Bits: 8, Table: table, Scale: scale, form: f, round: rounding{how: roundFloat, float: m}}
	b.measure = func(xs []float32) (float32, float32) {
		if scale == FloatScale {
			return max(Amax(xs)/largest, 1e-6), 0
		}
		return Amax(xs) / largest, 0
	}
	if scale == NoScale {
		b.most = largest
	}
	return b
}

// Signed8 is a signed code of 8 bits a channel whose scale is that of all rows, or belongs to channels. Ties are rounded to
// even, and values beyond 127 times the scale are stored as that.
func Signed8() *Blocks {
	return &Blocks{
		Bits: 8, Scale: NoScale, Table: signed(), form: formSigned, most: 127,
		measure: func(xs []float32) (float32, float32) { return Amax(xs) / 127, 0 },
		round:   rounding{least: -127, most: 127},
	}
}

// FixedScale is the scale with which the largest magnitude that is given has the largest code of a format without scales.
func (b *Blocks) FixedScale(largest float32) float32 {
	if largest == 0 {
		return 1
	}
	return largest / b.most
}
