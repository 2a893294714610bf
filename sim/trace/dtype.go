package trace

import (
	"encoding/binary"
	"math"

	"kvgauge/sim/kernel"
)

// dtypeBits holds the width of every element type of the safetensors format.
var dtypeBits = map[string]int{
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
	"I16": 16, "U16": 16, "F16": 16, "BF16": 16,
	"I32": 32, "U32": 32, "F32": 32,
	"I64": 64, "U64": 64, "F64": 64, "C64": 64,
}

// rowDtypes are the element types of queries, keys and values; rowBytes is the size of one element.
const rowDtypes = "F32, F16 or BF16"

var rowBytes = map[string]int{"F32": 4, "F16": 2, "BF16": 2}

// toFloat32 widens little-endian elements into dst, exactly. It returns the index of the first NaN or
// infinity, -1 where there is none.
func toFloat32(dst []float32, src []byte, dtype string) int {
	bad := -1
	switch dtype {
	case "F32":
		src = src[:4*len(dst)]
		for i := range dst {
			u := binary.LittleEndian.Uint32(src[4*i:])
			dst[i] = math.Float32frombits(u)
			if u&0x7f800000 == 0x7f800000 && bad < 0 {
				bad = i
			}
		}
	case "F16":
		src = src[:2*len(dst)]
		for i := range dst {
			u := binary.LittleEndian.Uint16(src[2*i:])
			dst[i] = kernel.Float(u)
			if u&0x7c00 == 0x7c00 && bad < 0 {
				bad = i
			}
		}
	case "BF16":
		src = src[:2*len(dst)]
		for i := range dst {
			u := binary.LittleEndian.Uint16(src[2*i:])
			dst[i] = math.Float32frombits(uint32(u) << 16)
			if u&0x7f80 == 0x7f80 && bad < 0 {
				bad = i
			}
		}
	}
	return bad
}

// fromFloat32 rounds src to nearest, ties to even, into little-endian elements. It returns the index of the
// first value that is not finite once rounded, -1 where there is none.
func fromFloat32(dst []byte, src []float32, dtype string) int {
	bad := -1
	switch dtype {
	case "F32":
		for i, f := range src {
			u := math.Float32bits(f)
			binary.LittleEndian.PutUint32(dst[4*i:], u)
			if u&0x7f800000 == 0x7f800000 && bad < 0 {
				bad = i
			}
		}
	case "F16", "BF16":
		round, infinity := kernel.Half, uint16(0x7c00)
		if dtype == "BF16" {
			round, infinity = bfloat16, 0x7f80
		}
		for i, f := range src {
			u := round(f)
			binary.LittleEndian.PutUint16(dst[2*i:], u)
			if u&infinity == infinity && bad < 0 {
				bad = i
			}
		}
	}
	return bad
}

// bfloat16 rounds to bfloat16, to nearest and ties to even. NaN stays NaN.
func bfloat16(f float32) uint16 {
	u := math.Float32bits(f)
	if u&0x7fffffff > 0x7f800000 {
		return uint16(u>>16) | 0x40 // adding the rounding constant could carry a NaN into infinity
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}
