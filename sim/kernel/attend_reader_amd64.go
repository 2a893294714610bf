//go:build amd64 && !purego

package kernel

// Dispatch: which Blocked rows are read where they lie, by the kernels of what formats. The others are decoded first, a block
// of rows at a time into the nearest cache.

// What kernels read besides the formats before Blocked.
const (
	readE4M3     = Blocked + 1 + iota // E4M3, by which they are 256 times too small
	readE5M2                          // E5M2
	readSigned                        // signed codes of 8 bits, whose scales belong to groups of GroupDim channels
	readByte                          // codes of 8 bits with scales and minima of groups
	readFive                          // codes of 5 bits with scales and minima of groups
	readNibble                        // codes of 4 bits that name entries of a table
	readNibble16                      // such with scales and minima of half groups
	readNibble32                      // such with scales and minima of groups
	readPair                          // codes of 2 bits that name entries of a table
	readPair32                        // such with scales and minima of groups
	readTriple                        // codes of 3 bits that name entries of a table
	readTriple32                      // such with scales and minima of groups

	readers // how many there are, that of Blocked rows which are decoded first among them
)

// reading is how kernels read rows.
type reading struct {
	format  Format // whose kernels; Blocked: rows are decoded first
	group   int    // channels that share a scale and a minimum which kernels take; 0: they take none
	rowwise bool   // what kernels make of codes is brought to size by the scale and the minimum of their row
}

// reading says how kernels read rows. Codes of 4 bits whose values are evenly apart are Int4's: under AVX2, which looks entries
// up by two shuffles, wherever they can be, under AVX-512 where a row has several scales. With one a row, times beside f16's
// over 64 channels were 1.5 there by table and 1.8 as Int4, and under AVX2 2.6 and 2.2.
func (a *simd) reading(r *Rows) reading {
	b, w := r.Blocks, r.width
	int4 := reading{format: Int4, group: GroupDim}
	switch {
	case r.Format == Int4 && (r.Scale != nil || a.lanes == 8):
		return int4
	case r.Format == Int4:
		return reading{format: readNibble}
	case r.Format != Blocked:
		return reading{format: r.Format}
	case r.Dim > w:
		return reading{format: Blocked}
	case b.nibbles(w) && (a.lanes == 8 || !b.whole(w)):
		return int4
	case r.unscaled():
		return reading{format: b.form.unscaled()}
	case b.form.tabled() && b.whole(w):
		return reading{format: b.form.unscaled(), rowwise: true}
	case b.form == formNibble && b.Width == GroupDim/2:
		return reading{format: readNibble16, group: GroupDim / 2}
	case b.whole(w) || b.Width%GroupDim == 0:
		return reading{format: b.form.grouped(), group: GroupDim}
	}
	return reading{format: Blocked}
}

// unscaled is the format whose kernels read codes without scales.
func (f form) unscaled() Format {
	return [...]Format{
		formNibble: readNibble, formPair: readPair, formTriple: readTriple,
		formSigned: Int8, formE4M3: readE4M3, formE5M2: readE5M2,
	}[f]
}

// grouped is the format whose kernels read codes with scales and minima of groups.
func (f form) grouped() Format {
	return [forms]Format{
		formNibble: readNibble32, formPair: readPair32, formTriple: readTriple32,
		formFive: readFive, formByte: readByte, formSigned: readSigned,
		formE4M3: Blocked, formE5M2: Blocked,
	}[f]
}
