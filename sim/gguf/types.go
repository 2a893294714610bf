package gguf

// tensorType is how a type of ggml stores numbers: so many bytes for each block of so many elements.
type tensorType struct{ block, bytes uint64 }

// tensorTypes are those of ggml by their code (ggml.h, ggml-common.h).
var tensorTypes = map[uint64]tensorType{
	0: {1, 4}, 1: {1, 2}, 28: {1, 8}, 30: {1, 2}, // F32, F16, F64, BF16
	24: {1, 1}, 25: {1, 2}, 26: {1, 4}, 27: {1, 8}, // I8 to I64
	2: {32, 18}, 3: {32, 20}, 6: {32, 22}, 7: {32, 24}, 8: {32, 34}, 9: {32, 36}, // Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1
	10: {256, 84}, 11: {256, 110}, 12: {256, 144}, 13: {256, 176}, 14: {256, 210}, 15: {256, 292}, // Q2_K to Q6_K, Q8_K
	16: {256, 66}, 17: {256, 74}, 18: {256, 98}, 19: {256, 50}, 20: {32, 18}, // IQ2_XXS, IQ2_XS, IQ3_XXS, IQ1_S, IQ4_NL
	21: {256, 110}, 22: {256, 82}, 23: {256, 136}, 29: {256, 56}, // IQ3_S, IQ2_S, IQ4_XS, IQ1_M
	34: {256, 54}, 35: {256, 66}, // TQ1_0, TQ2_0
	39: {32, 17}, 40: {64, 36}, 41: {128, 18}, // MXFP4, NVFP4, Q1_0
}

// tensorBytes is what so many elements of a type take, a byte at least of a type that is not known.
func tensorBytes(kind, elements uint64) uint64 {
	t, ok := tensorTypes[kind]
	if !ok {
		return min(elements, 1)
	}
	return (elements + t.block - 1) / t.block * t.bytes
}
