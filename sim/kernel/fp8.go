package kernel

// FP8 is a floating-point code of 8 bits a channel. With a scale, HalfScale or FloatScale, the largest
// magnitude of a row becomes the largest code, and the scale in binary32 is at least 1e-6 where it is stored
// so; without one, NoScale, values beyond the largest code are stored as that. wide is E5M2 in place of E4M3.
func FP8(wide bool, scale ScaleType) *Blocks {
	m, table, f := e4m3, e4m3Table, formE4M3
	if wide {
		m, table, f = e5m2, e5m2Table, formE5M2
	}
	largest := table[m.most]
	b := &Blocks{Bits: 8, Table: table, Scale: scale, form: f, code: m.round}
	b.measure = func(xs []float32) (float32, float32) {
		switch scale {
		case NoScale:
			return 1, 0
		case FloatScale:
			return max(amax(xs)/largest, 1e-6), 0
		}
		return amax(xs) / largest, 0
	}
	return b
}
