package kernel

import "fmt"

// Format is how the rows of a store are encoded.
type Format uint8

const (
	// F32 is IEEE 754 binary32, little endian.
	F32 Format = iota
	// F16 is IEEE 754 binary16, little endian, rounded to nearest even.
	F16
	// BF16 is the upper half of binary32, little endian, rounded to nearest even.
	BF16
	// Int8 is symmetric: a signed code c in -127..127 a channel and one binary16 scale a row, max|x|/127. The
	// value is scale*c.
	Int8
	// Int4 is asymmetric in groups of GroupDim channels: a code c in 0..15 a channel and a binary16 scale,
	// (max-min)/15, and minimum a group. The value is scale*c + min. A group of w channels takes (w+1)/2
	// bytes: byte i holds channel i in its low half and channel i + (w+1)/2 in its high half.
	Int4

	formats // how many there are besides Blocked

	// Blocked is the format of Rows that have Blocks.
	Blocked = formats
)

// GroupDim is how many channels of an Int4 row share a scale.
const GroupDim = 32

// String returns the name that flags and benchmarks use.
func (f Format) String() string {
	if f > formats {
		return fmt.Sprintf("Format(%d)", uint8(f))
	}
	return [...]string{"f32", "f16", "bf16", "int8", "int4", "blocked"}[f]
}

// CodeBytes returns what the codes of a row of dim channels take, scales apart.
func (f Format) CodeBytes(dim int) int {
	switch f {
	case F32:
		return 4 * dim
	case F16, BF16:
		return 2 * dim
	case Int8:
		return dim
	default:
		return (dim + 1) / 2 // whole groups are even, so that only the last may round up
	}
}

// ScalesPerRow returns how many scales a row of dim channels has.
func (f Format) ScalesPerRow(dim int) int {
	switch f {
	case Int8:
		return 1
	case Int4:
		return (dim + GroupDim - 1) / GroupDim
	default:
		return 0
	}
}

// MinsPerRow returns how many minima a row of dim channels has.
func (f Format) MinsPerRow(dim int) int {
	if f == Int4 {
		return f.ScalesPerRow(dim)
	}
	return 0
}
