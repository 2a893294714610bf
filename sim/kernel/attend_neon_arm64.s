//go:build arm64 && !purego

#include "textflag.h"

// Assembly: decode attention over binary32 and binary16 rows, in registers of four floats. Columns come sixteen at a time; the
// callers in attend_arm64.go leave the rest to portable Go. R18 belongs to the system, R27 and R28 to Go.
//
// The assembler has no names for these four, and takes them as words: d, n and m are register numbers.
#define FCVTL(n, d)    WORD $(0x0e217800 | (n)<<5 | (d))           // Vd = the lower four halves of Vn
#define FCVTL2(n, d)   WORD $(0x4e217800 | (n)<<5 | (d))           // Vd = the upper four halves of Vn
#define FADDP(m, n, d) WORD $(0x6e20d400 | (m)<<16 | (n)<<5 | (d)) // Vd = sums of neighbours in Vn, then in Vm
#define FMUL(m, n, d)  WORD $(0x6e20dc00 | (m)<<16 | (n)<<5 | (d)) // Vd = Vn * Vm

// FLOATS and HALVES load sixteen columns of a row at p into the registers a, b, c and d, which are number n and those
// after it, and move p on.
#define FLOATS(p, a, b, c, d, n) \
	VLD1.P 64(p), [a.S4, b.S4, c.S4, d.S4]

#define HALVES(p, a, b, c, d, n) \
	VLD1.P 16(p), [b.B16] \
	VLD1.P 16(p), [d.B16] \
	FCVTL(n+1, n)         \
	FCVTL2(n+1, n+1)      \
	FCVTL(n+3, n+2)       \
	FCVTL2(n+3, n+3)

// ADD4 adds the products of a to d with V8 to V11 to s.
#define ADD4(a, b, c, d, s) \
	VFMLA a.S4, V8.S4, s.S4  \
	VFMLA b.S4, V9.S4, s.S4  \
	VFMLA c.S4, V10.S4, s.S4 \
	VFMLA d.S4, V11.S4, s.S4

#define CLEAR(s) VEOR s.B16, s.B16, s.B16

// SUMS brings the sums over the lanes of four registers from number n on into the lanes of the first.
#define SUMS(n) \
	FADDP(n+1, n, n)     \
	FADDP(n+3, n+2, n+2) \
	FADDP(n+2, n, n)

// DOTS is func(q *float32, qStride int, rows *byte, stride, n, dim int, out *float32, outStride int):
//
//	for i := 0; i < n; i++ {
//		for h := 0; h < 4; h++ {
//			out[h][i] = sum over d < dim of q[h][d] * rows[i][d]
//		}
//	}
//
// two rows at a time, so that a load of q serves both, and the last of an odd number alone. Strides are in bytes.
#define DOTS(LOAD) \
two:                                 \
	CMP  $2, R4                      \
	BLT  one                         \
	CLEAR(V16)                       \
	CLEAR(V17)                       \
	CLEAR(V18)                       \
	CLEAR(V19)                       \
	CLEAR(V20)                       \
	CLEAR(V21)                       \
	CLEAR(V22)                       \
	CLEAR(V23)                       \
	MOVD R0, R8                      \
	ADD  R1, R8, R9                  \
	ADD  R1, R9, R10                 \
	ADD  R1, R10, R11                \
	MOVD R2, R12                     \
	ADD  R3, R2, R13                 \
	MOVD R5, R14                     \
twocols:                             \
	LOAD(R12, V0, V1, V2, V3, 0)     \
	LOAD(R13, V4, V5, V6, V7, 4)     \
	FLOATS(R8, V8, V9, V10, V11, 8)  \
	ADD4(V0, V1, V2, V3, V16)        \
	ADD4(V4, V5, V6, V7, V20)        \
	FLOATS(R9, V8, V9, V10, V11, 8)  \
	ADD4(V0, V1, V2, V3, V17)        \
	ADD4(V4, V5, V6, V7, V21)        \
	FLOATS(R10, V8, V9, V10, V11, 8) \
	ADD4(V0, V1, V2, V3, V18)        \
	ADD4(V4, V5, V6, V7, V22)        \
	FLOATS(R11, V8, V9, V10, V11, 8) \
	ADD4(V0, V1, V2, V3, V19)        \
	ADD4(V4, V5, V6, V7, V23)        \
	SUBS $16, R14, R14               \
	BGT  twocols                     \
	SUMS(16)                         \
	SUMS(20)                         \
	VZIP1 V20.S4, V16.S4, V0.S4      \
	VZIP2 V20.S4, V16.S4, V1.S4      \
	MOVD R6, R15                     \
	VST1 V0.D[0], (R15)              \
	ADD  R7, R15                     \
	VST1 V0.D[1], (R15)              \
	ADD  R7, R15                     \
	VST1 V1.D[0], (R15)              \
	ADD  R7, R15                     \
	VST1 V1.D[1], (R15)              \
	ADD  $8, R6                      \
	ADD  R3<<1, R2                   \
	SUB  $2, R4                      \
	B    two                         \
one:                                 \
	CBZ  R4, done                    \
	CLEAR(V16)                       \
	CLEAR(V17)                       \
	CLEAR(V18)                       \
	CLEAR(V19)                       \
	MOVD R0, R8                      \
	ADD  R1, R8, R9                  \
	ADD  R1, R9, R10                 \
	ADD  R1, R10, R11                \
onecols:                             \
	LOAD(R2, V0, V1, V2, V3, 0)      \
	FLOATS(R8, V8, V9, V10, V11, 8)  \
	ADD4(V0, V1, V2, V3, V16)        \
	FLOATS(R9, V8, V9, V10, V11, 8)  \
	ADD4(V0, V1, V2, V3, V17)        \
	FLOATS(R10, V8, V9, V10, V11, 8) \
	ADD4(V0, V1, V2, V3, V18)        \
	FLOATS(R11, V8, V9, V10, V11, 8) \
	ADD4(V0, V1, V2, V3, V19)        \
	SUBS $16, R5, R5                 \
	BGT  onecols                     \
	SUMS(16)                         \
	VST1 V16.S[0], (R6)              \
	ADD  R7, R6                      \
	VST1 V16.S[1], (R6)              \
	ADD  R7, R6                      \
	VST1 V16.S[2], (R6)              \
	ADD  R7, R6                      \
	VST1 V16.S[3], (R6)              \
done:                                \
	RET

// func dotsF32x4NEON(q *float32, qStride int, rows *byte, stride, n, dim int, out *float32, outStride int)
TEXT ·dotsF32x4NEON(SB), NOSPLIT, $0-64
	MOVD q+0(FP), R0
	MOVD qStride+8(FP), R1
	MOVD rows+16(FP), R2
	MOVD stride+24(FP), R3
	MOVD n+32(FP), R4
	MOVD dim+40(FP), R5
	MOVD out+48(FP), R6
	MOVD outStride+56(FP), R7
	DOTS(FLOATS)

// func dotsF16x4NEON(q *float32, qStride int, rows *byte, stride, n, dim int, out *float32, outStride int)
TEXT ·dotsF16x4NEON(SB), NOSPLIT, $0-64
	MOVD q+0(FP), R0
	MOVD qStride+8(FP), R1
	MOVD rows+16(FP), R2
	MOVD stride+24(FP), R3
	MOVD n+32(FP), R4
	MOVD dim+40(FP), R5
	MOVD out+48(FP), R6
	MOVD outStride+56(FP), R7
	DOTS(HALVES)

// DOT is func(q *float32, rows *byte, stride, n, dim int, out *float32): DOTS for one head, four rows at a time and the
// last n%4 alone. Products are added in the order of DOTS, so that a head has the same sum beside others.
#define DOT(LOAD) \
four:                               \
	CMP  $4, R4                     \
	BLT  one                        \
	CLEAR(V16)                      \
	CLEAR(V17)                      \
	CLEAR(V18)                      \
	CLEAR(V19)                      \
	MOVD R0, R8                     \
	MOVD R2, R10                    \
	ADD  R3, R10, R11               \
	ADD  R3, R11, R12               \
	ADD  R3, R12, R13               \
	MOVD R5, R14                    \
fourcols:                           \
	FLOATS(R8, V8, V9, V10, V11, 8) \
	LOAD(R10, V0, V1, V2, V3, 0)    \
	LOAD(R11, V4, V5, V6, V7, 4)    \
	ADD4(V0, V1, V2, V3, V16)       \
	ADD4(V4, V5, V6, V7, V17)       \
	LOAD(R12, V0, V1, V2, V3, 0)    \
	LOAD(R13, V4, V5, V6, V7, 4)    \
	ADD4(V0, V1, V2, V3, V18)       \
	ADD4(V4, V5, V6, V7, V19)       \
	SUBS $16, R14, R14              \
	BGT  fourcols                   \
	SUMS(16)                        \
	VST1.P [V16.S4], 16(R6)         \
	ADD  R3<<2, R2                  \
	SUB  $4, R4                     \
	B    four                       \
one:                                \
	CBZ  R4, done                   \
	CLEAR(V16)                      \
	MOVD R0, R8                     \
	MOVD R2, R10                    \
	MOVD R5, R14                    \
onecols:                            \
	FLOATS(R8, V8, V9, V10, V11, 8) \
	LOAD(R10, V0, V1, V2, V3, 0)    \
	ADD4(V0, V1, V2, V3, V16)       \
	SUBS $16, R14, R14              \
	BGT  onecols                    \
	FADDP(16, 16, 16)               \
	FADDP(16, 16, 16)               \
	VST1.P V16.S[0], 4(R6)          \
	ADD  R3, R2                     \
	SUB  $1, R4                     \
	B    one                        \
done:                               \
	RET

// func dotsF32x1NEON(q *float32, rows *byte, stride, n, dim int, out *float32)
TEXT ·dotsF32x1NEON(SB), NOSPLIT, $0-48
	MOVD q+0(FP), R0
	MOVD rows+8(FP), R2
	MOVD stride+16(FP), R3
	MOVD n+24(FP), R4
	MOVD dim+32(FP), R5
	MOVD out+40(FP), R6
	DOT(FLOATS)

// func dotsF16x1NEON(q *float32, rows *byte, stride, n, dim int, out *float32)
TEXT ·dotsF16x1NEON(SB), NOSPLIT, $0-48
	MOVD q+0(FP), R0
	MOVD rows+8(FP), R2
	MOVD stride+16(FP), R3
	MOVD n+24(FP), R4
	MOVD dim+32(FP), R5
	MOVD out+40(FP), R6
	DOT(HALVES)

// RESCALE4 multiplies four registers from number n on by V16.
#define RESCALE4(n) \
	FMUL(16, n, n)     \
	FMUL(16, n+1, n+1) \
	FMUL(16, n+2, n+2) \
	FMUL(16, n+3, n+3)

// MORE4 adds p, the same in all lanes, times the row in V24 to V27 to a to d.
#define MORE4(p, a, b, c, d) \
	VFMLA V24.S4, p.S4, a.S4 \
	VFMLA V25.S4, p.S4, b.S4 \
	VFMLA V26.S4, p.S4, c.S4 \
	VFMLA V27.S4, p.S4, d.S4

// WSUM is func(p *float32, pStride int, rows *byte, stride, n, dim int, acc *float32, accStride int, rescale *float32):
//
//	for h := 0; h < 4; h++ {
//		for d := 0; d < dim; d++ {
//			acc[h][d] = rescale[h]*acc[h][d] + sum over i < n of p[h][i] * rows[i][d]
//		}
//	}
//
// by stripes of sixteen columns, width bytes of a row. Strides are in bytes.
#define WSUM(LOAD, width) \
	SUB  $width, R3                              \
stripe:                                          \
	MOVD R6, R9                                  \
	ADD  R7, R9, R10                             \
	ADD  R7, R10, R11                            \
	ADD  R7, R11, R12                            \
	VLD1 (R9), [V0.S4, V1.S4, V2.S4, V3.S4]      \
	VLD1 (R10), [V4.S4, V5.S4, V6.S4, V7.S4]     \
	VLD1 (R11), [V8.S4, V9.S4, V10.S4, V11.S4]   \
	VLD1 (R12), [V12.S4, V13.S4, V14.S4, V15.S4] \
	MOVD R8, R13                                 \
	VLD1R.P 4(R13), [V16.S4]                     \
	RESCALE4(0)                                  \
	VLD1R.P 4(R13), [V16.S4]                     \
	RESCALE4(4)                                  \
	VLD1R.P 4(R13), [V16.S4]                     \
	RESCALE4(8)                                  \
	VLD1R.P 4(R13), [V16.S4]                     \
	RESCALE4(12)                                 \
	MOVD R2, R13                                 \
	MOVD R4, R14                                 \
	MOVD R0, R15                                 \
	ADD  R1, R15, R16                            \
	ADD  R1, R16, R17                            \
	ADD  R1, R17, R19                            \
rows:                                            \
	LOAD(R13, V24, V25, V26, V27, 24)            \
	VLD1R.P 4(R15), [V20.S4]                     \
	VLD1R.P 4(R16), [V21.S4]                     \
	VLD1R.P 4(R17), [V22.S4]                     \
	VLD1R.P 4(R19), [V23.S4]                     \
	MORE4(V20, V0, V1, V2, V3)                   \
	MORE4(V21, V4, V5, V6, V7)                   \
	MORE4(V22, V8, V9, V10, V11)                 \
	MORE4(V23, V12, V13, V14, V15)               \
	ADD  R3, R13                                 \
	SUBS $1, R14, R14                            \
	BGT  rows                                    \
	VST1 [V0.S4, V1.S4, V2.S4, V3.S4], (R9)      \
	VST1 [V4.S4, V5.S4, V6.S4, V7.S4], (R10)     \
	VST1 [V8.S4, V9.S4, V10.S4, V11.S4], (R11)   \
	VST1 [V12.S4, V13.S4, V14.S4, V15.S4], (R12) \
	ADD  $64, R6                                 \
	ADD  $width, R2                              \
	SUBS $16, R5, R5                             \
	BGT  stripe                                  \
	RET

// func weightedSumF32x4NEON(p *float32, pStride int, rows *byte, stride, n, dim int, acc *float32, accStride int, rescale *float32)
TEXT ·weightedSumF32x4NEON(SB), NOSPLIT, $0-72
	MOVD p+0(FP), R0
	MOVD pStride+8(FP), R1
	MOVD rows+16(FP), R2
	MOVD stride+24(FP), R3
	MOVD n+32(FP), R4
	MOVD dim+40(FP), R5
	MOVD acc+48(FP), R6
	MOVD accStride+56(FP), R7
	MOVD rescale+64(FP), R8
	WSUM(FLOATS, 64)

// func weightedSumF16x4NEON(p *float32, pStride int, rows *byte, stride, n, dim int, acc *float32, accStride int, rescale *float32)
TEXT ·weightedSumF16x4NEON(SB), NOSPLIT, $0-72
	MOVD p+0(FP), R0
	MOVD pStride+8(FP), R1
	MOVD rows+16(FP), R2
	MOVD stride+24(FP), R3
	MOVD n+32(FP), R4
	MOVD dim+40(FP), R5
	MOVD acc+48(FP), R6
	MOVD accStride+56(FP), R7
	MOVD rescale+64(FP), R8
	WSUM(HALVES, 32)

// WSUM1 is func(p *float32, rows *byte, stride, n, dim int, acc *float32, rescale *float32): WSUM for one head, by
// stripes of 64 columns where there are as many left, so that enough sums are under way, and of sixteen.
#define WSUM1(LOAD, width) \
	VLD1R (R8), [V16.S4]                            \
	SUB  $(4*width), R3, R1                         \
	SUB  $width, R3                                 \
wide:                                               \
	CMP  $64, R5                                    \
	BLT  narrow                                     \
	MOVD R6, R9                                     \
	VLD1.P 64(R9), [V0.S4, V1.S4, V2.S4, V3.S4]     \
	VLD1.P 64(R9), [V4.S4, V5.S4, V6.S4, V7.S4]     \
	VLD1.P 64(R9), [V8.S4, V9.S4, V10.S4, V11.S4]   \
	VLD1.P 64(R9), [V12.S4, V13.S4, V14.S4, V15.S4] \
	RESCALE4(0)                                     \
	RESCALE4(4)                                     \
	RESCALE4(8)                                     \
	RESCALE4(12)                                    \
	MOVD R2, R13                                    \
	MOVD R4, R14                                    \
	MOVD R0, R15                                    \
widerow:                                            \
	VLD1R.P 4(R15), [V20.S4]                        \
	LOAD(R13, V24, V25, V26, V27, 24)               \
	MORE4(V20, V0, V1, V2, V3)                      \
	LOAD(R13, V24, V25, V26, V27, 24)               \
	MORE4(V20, V4, V5, V6, V7)                      \
	LOAD(R13, V24, V25, V26, V27, 24)               \
	MORE4(V20, V8, V9, V10, V11)                    \
	LOAD(R13, V24, V25, V26, V27, 24)               \
	MORE4(V20, V12, V13, V14, V15)                  \
	ADD  R1, R13                                    \
	SUBS $1, R14, R14                               \
	BGT  widerow                                    \
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R6)     \
	VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R6)     \
	VST1.P [V8.S4, V9.S4, V10.S4, V11.S4], 64(R6)   \
	VST1.P [V12.S4, V13.S4, V14.S4, V15.S4], 64(R6) \
	ADD  $(4*width), R2                             \
	SUB  $64, R5                                    \
	B    wide                                       \
narrow:                                             \
	CBZ  R5, done                                   \
	VLD1 (R6), [V0.S4, V1.S4, V2.S4, V3.S4]         \
	RESCALE4(0)                                     \
	MOVD R2, R13                                    \
	MOVD R4, R14                                    \
	MOVD R0, R15                                    \
narrowrow:                                          \
	VLD1R.P 4(R15), [V20.S4]                        \
	LOAD(R13, V24, V25, V26, V27, 24)               \
	MORE4(V20, V0, V1, V2, V3)                      \
	ADD  R3, R13                                    \
	SUBS $1, R14, R14                               \
	BGT  narrowrow                                  \
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R6)     \
	ADD  $width, R2                                 \
	SUB  $16, R5                                    \
	B    narrow                                     \
done:                                               \
	RET

// func weightedSumF32x1NEON(p *float32, rows *byte, stride, n, dim int, acc *float32, rescale *float32)
TEXT ·weightedSumF32x1NEON(SB), NOSPLIT, $0-56
	MOVD p+0(FP), R0
	MOVD rows+8(FP), R2
	MOVD stride+16(FP), R3
	MOVD n+24(FP), R4
	MOVD dim+32(FP), R5
	MOVD acc+40(FP), R6
	MOVD rescale+48(FP), R8
	WSUM1(FLOATS, 64)

// func weightedSumF16x1NEON(p *float32, rows *byte, stride, n, dim int, acc *float32, rescale *float32)
TEXT ·weightedSumF16x1NEON(SB), NOSPLIT, $0-56
	MOVD p+0(FP), R0
	MOVD rows+8(FP), R2
	MOVD stride+16(FP), R3
	MOVD n+24(FP), R4
	MOVD dim+32(FP), R5
	MOVD acc+40(FP), R6
	MOVD rescale+48(FP), R8
	WSUM1(HALVES, 32)

// func widenNEON(dst *float32, src *uint16, n int)
TEXT ·widenNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2

next:
	HALVES(R1, V0, V1, V2, V3, 0)
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	SUBS $16, R2, R2
	BGT  next
	RET

// func fmaNEON(rounds int)
TEXT ·fmaNEON(SB), NOSPLIT, $0-8
	MOVD rounds+0(FP), R0
	CLEAR(V24)
	CLEAR(V25)

round:
	VFMLA V24.S4, V25.S4, V0.S4
	VFMLA V24.S4, V25.S4, V1.S4
	VFMLA V24.S4, V25.S4, V2.S4
	VFMLA V24.S4, V25.S4, V3.S4
	VFMLA V24.S4, V25.S4, V4.S4
	VFMLA V24.S4, V25.S4, V5.S4
	VFMLA V24.S4, V25.S4, V6.S4
	VFMLA V24.S4, V25.S4, V7.S4
	VFMLA V24.S4, V25.S4, V8.S4
	VFMLA V24.S4, V25.S4, V9.S4
	VFMLA V24.S4, V25.S4, V10.S4
	VFMLA V24.S4, V25.S4, V11.S4
	VFMLA V24.S4, V25.S4, V12.S4
	VFMLA V24.S4, V25.S4, V13.S4
	VFMLA V24.S4, V25.S4, V14.S4
	VFMLA V24.S4, V25.S4, V15.S4
	SUBS $1, R0, R0
	BGT  round
	RET
