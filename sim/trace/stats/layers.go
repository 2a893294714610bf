package stats

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/spectral"
)

// mapRidge is the ridge of the map between layers, in mean diagonals of the Gram matrix.
const mapRidge = 1e-2

// Adjacent compares a layer's keys (before the rotary embedding) and values with those of the layer just
// below it in the model, all KV heads side by side; nil where the trace does not hold that layer, or its
// heads or widths are others: no row of the one could stand in for a row of the other.
// All figures are of the second half of the tokens. The map is the linear one, without offset, that
// fits the first half best with ridge regression.
type Adjacent struct {
	KeyCosine        *float64 `json:"adjacent_key_cosine"`       // of the two layers' rows, mean over tokens
	KeyResidual      *float64 `json:"adjacent_key_residual"`     // |Y - X| / |Y|, the lower layer's rows X as they are
	KeyMapResidual   *float64 `json:"adjacent_key_map_residual"` // |Y - X A| / |Y|, after the map A
	KeyMapVariance   *float64 `json:"adjacent_key_map_variance"` // share of Y's variance about its mean that X A explains; below 0 the mean row is the better guess
	ValueCosine      *float64 `json:"adjacent_value_cosine"`     // and the same of values
	ValueResidual    *float64 `json:"adjacent_value_residual"`
	ValueMapResidual *float64 `json:"adjacent_value_map_residual"`
	ValueMapVariance *float64 `json:"adjacent_value_map_variance"`
}

// compareKeys measures how well the lower layer's keys stand in for the upper's.
func (a *Adjacent) compareKeys(lower, upper *layerRows) {
	a.KeyCosine, a.KeyResidual = compareRaw(lower.keys, upper.keys)
	a.KeyMapResidual, a.KeyMapVariance = compareMapped(lower.keys, upper.keys)
}

// compareValues does so for values.
func (a *Adjacent) compareValues(lower, upper *layerRows) {
	a.ValueCosine, a.ValueResidual = compareRaw(lower.values, upper.values)
	a.ValueMapResidual, a.ValueMapVariance = compareMapped(lower.values, upper.values)
}

// compareRaw takes the rows x for the rows y, both [tokens][width], in the second half of the tokens.
func compareRaw(x, y *mat.Dense) (cos, residual *float64) {
	var m mean
	var off, energy float64
	n, _ := y.Dims()
	for i := n / 2; i < n; i++ {
		a, b := x.RawRowView(i), y.RawRowView(i)
		m.add(cosine(a, b))
		for c := range b {
			off += (b[c] - a[c]) * (b[c] - a[c])
			energy += b[c] * b[c]
		}
	}
	return m.value(), rootShare(off, energy)
}

// compareMapped fits a map from x to y on the first half of the tokens and scores it on the second.
func compareMapped(x, y *mat.Dense) (residual, variance *float64) {
	n, width := y.Dims()
	fit := n / 2
	if fit == 0 {
		return nil, nil
	}
	x1, y1 := x.Slice(0, fit, 0, width).(*mat.Dense), y.Slice(0, fit, 0, width).(*mat.Dense)
	x2, y2 := x.Slice(fit, n, 0, width).(*mat.Dense), y.Slice(fit, n, 0, width).(*mat.Dense)
	if spectral.MeanNorm(spectral.Matrix(x1)) == 0 {
		return nil, nil
	}
	a, err := spectral.Ridge(spectral.Matrix(x1), spectral.Matrix(y1), mapRidge)
	if err != nil {
		return nil, nil
	}
	mapped := spectral.Product(spectral.Matrix(x2).Transposed(), a)
	center := columnMeans(y1)
	var off, energy, spread float64
	for i := range n - fit {
		got, want := mapped.Row(i), y2.RawRowView(i)
		for c, w := range want {
			off += (w - got[c]) * (w - got[c])
			energy += w * w
			spread += (w - center[c]) * (w - center[c])
		}
	}
	if spread > 0 {
		share := 1 - off/spread
		variance = &share
	}
	return rootShare(off, energy), variance
}

// columnMeans is the mean row.
func columnMeans(x *mat.Dense) []float64 {
	n, width := x.Dims()
	means := make([]float64, width)
	for i := range n {
		for c, v := range x.RawRowView(i) {
			means[c] += v / float64(n)
		}
	}
	return means
}

// rootShare is the root of part over whole; nil where the whole is zero.
func rootShare(part, whole float64) *float64 {
	if whole == 0 {
		return nil
	}
	r := math.Sqrt(part / whole)
	return &r
}
