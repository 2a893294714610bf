//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

// available lists the paths of this machine, slowest first.
var available = func() []*path {
	paths := []*path{&generic}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C {
		paths = append(paths, avx2.path("avx2"))
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ {
			paths = append(paths, avx512.path("avx512"))
		}
	}
	return paths
}()

// path wraps the assembly of one instruction set.
func (a *simd) path(name string) *path {
	return &path{
		name: name, rawCodes: true,
		score: a.score, soften: a.softenBlock, weigh: a.weigh, column: a.columnBlock, dot: a.inner, axpy: a.plus, most: a.raise, multiply: a.multiply, floats: a.floats, halves: a.halves,
		product: a.matrix, exps64: a.exps,
		read: func(p []byte) uint64 { return a.read(&p[0], len(p)) }, fma: a.fma, fmaFlops: 2 * 12 * a.lanes,
	}
}

var avx2 = simd{
	lanes: 8, tiles: []*tile{
		{
			heads:   2,
			product: product2AVX2,
			rates:   ratesx2AVX2,
			dots:    [formats]dotsFunc{dotsF32x2AVX2, dotsF16x2AVX2, dotsBF16x2AVX2, dotsInt8x2AVX2, dotsInt4x2AVX2},
			weigh:   [formats]weighFunc{weighF32x2AVX2, weighF16x2AVX2, weighBF16x2AVX2, weighInt8x2AVX2, weighInt4x2AVX2},
		},
		{
			heads:   1,
			product: product1AVX2,
			rates:   ratesx1AVX2,
			dots:    [formats]dotsFunc{dotsF32x1AVX2, dotsF16x1AVX2, dotsBF16x1AVX2, dotsInt8x1AVX2, dotsInt4x1AVX2},
			weigh:   [formats]weighFunc{weighF32x1AVX2, weighF16x1AVX2, weighBF16x1AVX2, weighInt8x1AVX2, weighInt4x1AVX2},
		},
	},
	expand: [formats]expandFunc{Int8: expandInt8AVX2, Int4: expandInt4AVX2},
	lookUp: [forms]lookUpFunc{lookUpNibbleAVX2, lookUpPairAVX2, lookUpTripleAVX2, lookUpSignedAVX2, lookUpE4M3AVX2, lookUpE5M2AVX2},
	soften: softenAVX2, column: columnAVX2, dot: dotAVX2, axpy: axpyAVX2, most: mostAVX2, mul: mulAVX2, widen: widenAVX2, narrow: narrowAVX2, exps64: exps64AVX2, read: readAVX2, fma: fmaAVX2,
}

var avx512 = simd{
	lanes: 16, tiles: []*tile{
		{
			heads:   4,
			product: product4AVX512,
			rates:   ratesx4AVX512,
			lines:   linesx4AVX512,
			dots:    [formats]dotsFunc{dotsF32x4AVX512, dotsF16x4AVX512, dotsBF16x4AVX512, dotsInt8x4AVX512, dotsInt4x4AVX512},
			weigh:   [formats]weighFunc{weighF32x4AVX512, weighF16x4AVX512, weighBF16x4AVX512, weighInt8x4AVX512, weighInt4x4AVX512},
		},
		{
			heads:   2,
			product: product2AVX512,
			rates:   ratesx2AVX512,
			lines:   linesx2AVX512,
			dots:    [formats]dotsFunc{dotsF32x2AVX512, dotsF16x2AVX512, dotsBF16x2AVX512, dotsInt8x2AVX512, dotsInt4x2AVX512},
			weigh:   [formats]weighFunc{weighF32x2AVX512, weighF16x2AVX512, weighBF16x2AVX512, weighInt8x2AVX512, weighInt4x2AVX512},
		},
		{
			heads:   1,
			product: product1AVX512,
			rates:   ratesx1AVX512,
			lines:   linesx1AVX512,
			dots:    [formats]dotsFunc{dotsF32x1AVX512, dotsF16x1AVX512, dotsBF16x1AVX512, dotsInt8x1AVX512, dotsInt4x1AVX512},
			weigh:   [formats]weighFunc{weighF32x1AVX512, weighF16x1AVX512, weighBF16x1AVX512, weighInt8x1AVX512, weighInt4x1AVX512},
		},
	},
	expand:  [formats]expandFunc{Int4: expandInt4AVX512},
	lookUp:  [forms]lookUpFunc{lookUpNibbleAVX512, lookUpPairAVX512, lookUpTripleAVX512, lookUpSignedAVX512, lookUpE4M3AVX512, lookUpE5M2AVX512},
	arrange: arrangeAVX512, soften: softenAVX512, column: columnAVX512, dot: dotAVX512, axpy: axpyAVX512, most: mostAVX512, mul: mulAVX512, widen: widenAVX512, narrow: narrowAVX512, exps64: exps64AVX512, read: readAVX512, fma: fmaAVX512,
}
