//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

// Dispatch: the paths of amd64, by what the machine has.

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
	rows, cols := a.tileSize()
	height, width := a.linearSize()
	return &path{
		name: name, lanes: a.lanes, rawCodes: true,
		score: a.score, onlineSoftmax: a.onlineSoftmaxBlock, weightedSum: a.weightedSum, sumProbabilities: a.sumProbabilitiesBlock, dot: a.dotSlices, squares: a.squaresSlices, axpy: a.axpySlices, maxInto: a.maxSlices, minInto: a.minSlices, multiply: a.multiply, floats: a.floats, halves: a.halves, halvesOf: a.halvesOf,
		linearRows: height, linearCols: width, tileLinear: a.tileLinearSlices, sigmoid: a.sigmoidSlices,
		transpose: a.transposeSlices, product: a.productSlices, exps64: a.exps64Slices,
		tileRows: rows, tileCols: cols, tileProduct: a.tileProductSlices, stripDots: a.stripDotsSlices, stripAxpys: a.stripAxpysSlices, strip: a.stripSlices,
		read: func(p []byte) uint64 { return a.read(&p[0], len(p)) }, fma: a.fma, fmaFlops: 2 * 12 * a.lanes,
	}
}

var avx2 = simd{
	lanes: 8, tiles: []*tile{
		{
			heads:       2,
			product:     product2AVX2,
			scaleProbs:  scaleProbsx2AVX2,
			dots:        [readers]dotsFunc{dotsF32x2AVX2, dotsF16x2AVX2, dotsBF16x2AVX2, dotsInt8x2AVX2, dotsInt4x2AVX2, nil, dotsE4M3x2AVX2, dotsE5M2x2AVX2, dotsSignedx2AVX2, dotsBytex2AVX2, dotsFivex2AVX2, dotsNibblex2AVX2, dotsNibble16x2AVX2, dotsNibble32x2AVX2, dotsPairx2AVX2, dotsPair32x2AVX2, dotsTriplex2AVX2, dotsTriple32x2AVX2},
			weightedSum: [readers]weightedSumFunc{weightedSumF32x2AVX2, weightedSumF16x2AVX2, weightedSumBF16x2AVX2, weightedSumInt8x2AVX2, weightedSumInt4x2AVX2, nil, weightedSumE4M3x2AVX2, weightedSumE5M2x2AVX2, weightedSumSignedx2AVX2, weightedSumBytex2AVX2, weightedSumFivex2AVX2, weightedSumNibblex2AVX2, weightedSumNibble16x2AVX2, weightedSumNibble32x2AVX2, weightedSumPairx2AVX2, weightedSumPair32x2AVX2, weightedSumTriplex2AVX2, weightedSumTriple32x2AVX2},
		},
		{
			heads:       1,
			product:     product1AVX2,
			scaleProbs:  scaleProbsx1AVX2,
			dots:        [readers]dotsFunc{dotsF32x1AVX2, dotsF16x1AVX2, dotsBF16x1AVX2, dotsInt8x1AVX2, dotsInt4x1AVX2, nil, dotsE4M3x1AVX2, dotsE5M2x1AVX2, dotsSignedx1AVX2, dotsBytex1AVX2, dotsFivex1AVX2, dotsNibblex1AVX2, dotsNibble16x1AVX2, dotsNibble32x1AVX2, dotsPairx1AVX2, dotsPair32x1AVX2, dotsTriplex1AVX2, dotsTriple32x1AVX2},
			weightedSum: [readers]weightedSumFunc{weightedSumF32x1AVX2, weightedSumF16x1AVX2, weightedSumBF16x1AVX2, weightedSumInt8x1AVX2, weightedSumInt4x1AVX2, nil, weightedSumE4M3x1AVX2, weightedSumE5M2x1AVX2, weightedSumSignedx1AVX2, weightedSumBytex1AVX2, weightedSumFivex1AVX2, weightedSumNibblex1AVX2, weightedSumNibble16x1AVX2, weightedSumNibble32x1AVX2, weightedSumPairx1AVX2, weightedSumPair32x1AVX2, weightedSumTriplex1AVX2, weightedSumTriple32x1AVX2},
		},
	},
	expand:        [formats]expandFunc{Int8: expandInt8AVX2, Int4: expandInt4AVX2},
	lookUp:        [forms]lookUpFunc{lookUpNibbleAVX2, lookUpPairAVX2, lookUpTripleAVX2, lookUpFiveAVX2, lookUpByteAVX2, lookUpSignedAVX2, lookUpE4M3AVX2, lookUpE5M2AVX2},
	onlineSoftmax: onlineSoftmaxAVX2, sumProbabilities: sumProbabilitiesAVX2, dot: dotAVX2, squares: squaresAVX2, axpy: axpyAVX2, maxInto: maxIntoAVX2, minInto: minIntoAVX2, mul: mulAVX2, widen: widenAVX2, powers: powersAVX2, narrow: narrowAVX2, narrowRows: narrowRowsAVX2, transpose: transposeAVX2, exps64: exps64AVX2, read: readAVX2, fma: fmaAVX2,
	sigmoid: sigmoidAVX2, tileLinear: tileLinearAVX2, tileProduct: tileProductAVX2, stripDots: stripDotsAVX2, stripAxpys: stripAxpysAVX2, strip: stripAVX2,
}

var avx512 = simd{
	lanes: 16, tiles: []*tile{
		{
			heads:       4,
			product:     product4AVX512,
			scaleProbs:  scaleProbsx4AVX512,
			lines:       linesx4AVX512,
			dots:        [readers]dotsFunc{dotsF32x4AVX512, dotsF16x4AVX512, dotsBF16x4AVX512, dotsInt8x4AVX512, dotsInt4x4AVX512, nil, dotsE4M3x4AVX512, dotsE5M2x4AVX512, dotsSignedx4AVX512, dotsBytex4AVX512, dotsFivex4AVX512, dotsNibblex4AVX512, dotsNibble16x4AVX512, dotsNibble32x4AVX512, dotsPairx4AVX512, dotsPair32x4AVX512, dotsTriplex4AVX512, dotsTriple32x4AVX512},
			weightedSum: [readers]weightedSumFunc{weightedSumF32x4AVX512, weightedSumF16x4AVX512, weightedSumBF16x4AVX512, weightedSumInt8x4AVX512, weightedSumInt4x4AVX512, nil, weightedSumE4M3x4AVX512, weightedSumE5M2x4AVX512, weightedSumSignedx4AVX512, weightedSumBytex4AVX512, weightedSumFivex4AVX512, weightedSumNibblex4AVX512, weightedSumNibble16x4AVX512, weightedSumNibble32x4AVX512, weightedSumPairx4AVX512, weightedSumPair32x4AVX512, weightedSumTriplex4AVX512, weightedSumTriple32x4AVX512},
		},
		{
			heads:       2,
			product:     product2AVX512,
			scaleProbs:  scaleProbsx2AVX512,
			lines:       linesx2AVX512,
			dots:        [readers]dotsFunc{dotsF32x2AVX512, dotsF16x2AVX512, dotsBF16x2AVX512, dotsInt8x2AVX512, dotsInt4x2AVX512, nil, dotsE4M3x2AVX512, dotsE5M2x2AVX512, dotsSignedx2AVX512, dotsBytex2AVX512, dotsFivex2AVX512, dotsNibblex2AVX512, dotsNibble16x2AVX512, dotsNibble32x2AVX512, dotsPairx2AVX512, dotsPair32x2AVX512, dotsTriplex2AVX512, dotsTriple32x2AVX512},
			weightedSum: [readers]weightedSumFunc{weightedSumF32x2AVX512, weightedSumF16x2AVX512, weightedSumBF16x2AVX512, weightedSumInt8x2AVX512, weightedSumInt4x2AVX512, nil, weightedSumE4M3x2AVX512, weightedSumE5M2x2AVX512, weightedSumSignedx2AVX512, weightedSumBytex2AVX512, weightedSumFivex2AVX512, weightedSumNibblex2AVX512, weightedSumNibble16x2AVX512, weightedSumNibble32x2AVX512, weightedSumPairx2AVX512, weightedSumPair32x2AVX512, weightedSumTriplex2AVX512, weightedSumTriple32x2AVX512},
		},
		{
			heads:       1,
			product:     product1AVX512,
			scaleProbs:  scaleProbsx1AVX512,
			lines:       linesx1AVX512,
			dots:        [readers]dotsFunc{dotsF32x1AVX512, dotsF16x1AVX512, dotsBF16x1AVX512, dotsInt8x1AVX512, dotsInt4x1AVX512, nil, dotsE4M3x1AVX512, dotsE5M2x1AVX512, dotsSignedx1AVX512, dotsBytex1AVX512, dotsFivex1AVX512, dotsNibblex1AVX512, dotsNibble16x1AVX512, dotsNibble32x1AVX512, dotsPairx1AVX512, dotsPair32x1AVX512, dotsTriplex1AVX512, dotsTriple32x1AVX512},
			weightedSum: [readers]weightedSumFunc{weightedSumF32x1AVX512, weightedSumF16x1AVX512, weightedSumBF16x1AVX512, weightedSumInt8x1AVX512, weightedSumInt4x1AVX512, nil, weightedSumE4M3x1AVX512, weightedSumE5M2x1AVX512, weightedSumSignedx1AVX512, weightedSumBytex1AVX512, weightedSumFivex1AVX512, weightedSumNibblex1AVX512, weightedSumNibble16x1AVX512, weightedSumNibble32x1AVX512, weightedSumPairx1AVX512, weightedSumPair32x1AVX512, weightedSumTriplex1AVX512, weightedSumTriple32x1AVX512},
		},
	},
	expand:  [formats]expandFunc{Int4: expandInt4AVX512},
	lookUp:  [forms]lookUpFunc{lookUpNibbleAVX512, lookUpPairAVX512, lookUpTripleAVX512, lookUpFiveAVX512, lookUpByteAVX512, lookUpSignedAVX512, lookUpE4M3AVX512, lookUpE5M2AVX512},
	arrange: arrangeAVX512, onlineSoftmax: onlineSoftmaxAVX512, sumProbabilities: sumProbabilitiesAVX512, dot: dotAVX512, squares: squaresAVX512, axpy: axpyAVX512, maxInto: maxIntoAVX512, minInto: minIntoAVX512, mul: mulAVX512, widen: widenAVX512, powers: powersAVX512, narrow: narrowAVX512, narrowRows: narrowRowsAVX512, transpose: transposeAVX2, exps64: exps64AVX512, read: readAVX512, fma: fmaAVX512,
	sigmoid: sigmoidAVX512, tileLinear: tileLinearAVX512, tileProduct: tileProductAVX512, stripDots: stripDotsAVX512, stripAxpys: stripAxpysAVX512, strip: stripAVX512,
}
