package kernel

import (
	"encoding/binary"
	"math"
)

// Shared: Blocked rows whose codes kernels read without the one scale that a row has.

// unscaled says whether kernels read codes without the one scale that a row has: rowScales leaves it to the softmax.
func (r *Rows) unscaled() bool {
	if r.Format != Blocked || !r.simple || r.Dim != r.width || r.Dim%GroupDim != 0 {
		return false
	}
	b := r.Blocks
	if b.form.counts() || b.balanced {
		return false
	}
	return b.Scale == NoScale || b.whole(r.width) && (b.Scale == HalfScale || b.Scale == FloatScale)
}

// unit is by how much what kernels make of raw codes is too small.
func (b *Blocks) unit() float32 {
	if b.form == formE4M3 {
		return 256
	}
	return 1
}

// rowScales writes what the codes of rows from row lo on are multiplied by.
func (r *Rows) rowScales(dst []float32, lo int) {
	b, unit := r.Blocks, r.fixed()*r.Blocks.unit()
	if b.Scale == NoScale {
		setAll(dst, unit)
		return
	}
	for i, at := 0, lo*r.stride+codeBytes(b.Bits, r.width); i < len(dst); i, at = i+1, at+r.stride {
		if b.Scale == HalfScale {
			dst[i] = halfs[binary.LittleEndian.Uint16(r.Data[at:])] * unit
		} else {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(r.Data[at:])) * unit
		}
	}
}
