//go:build amd64 && !purego

package kernel

// Dispatch: which Blocked rows are read where they lie, by the kernels of what formats. The others are decoded first, a block
// of rows at a time into the nearest cache.

// What kernels read besides the formats before Blocked.
const (
	readE4M3   = Blocked + 1 + iota // E4M3, by which they are 256 times too small
	readE5M2                        // E5M2
	readSigned                      // signed codes of 8 bits, whose scales belong to groups of GroupDim channels
	readByte                        // codes of 8 bits with scales and minima of groups
	readFive                        // codes of 5 bits with scales and minima of groups

	readers // how many there are, that of Blocked rows which are decoded first among them
)

// reader is the format whose kernels read the rows.
func (r *Rows) reader() Format {
	if r.Format != Blocked {
		return r.Format
	}
	b := r.Blocks
	switch {
	case r.Dim > r.width:
		return Blocked
	case b.nibbles(r.width):
		return Int4
	case r.unscaled():
		return [...]Format{formSigned: Int8, formE4M3: readE4M3, formE5M2: readE5M2}[b.form]
	case !b.groups(r.width):
		return Blocked
	}
	switch b.form {
	case formSigned:
		return readSigned
	case formByte:
		return readByte
	case formFive:
		return readFive
	}
	return Blocked
}

// groups says whether channels share scales by whole groups of GroupDim.
func (b *Blocks) groups(dim int) bool {
	w := b.width(dim)
	return !b.balanced && (w%GroupDim == 0 || w == dim)
}
