package trace

import "math"

// knots places a point between two knots of a field of independent standard normal numbers. Weighed by
// a and b, a*a + b*b = 1, the field keeps its variance everywhere, and each of its points is had from
// two hashes.
type knots struct {
	k    uint64
	a, b float32
}

// at returns the place of a point that is x knots from the field's beginning.
func at(x float64) knots {
	k := math.Floor(x)
	sin, cos := math.Sincos(math.Pi / 2 * (x - k))
	return knots{uint64(k), float32(cos), float32(sin)}
}

// field is a rank of numbers for every token and for every depth of layers. Adjacent layers have the
// same correlation wherever they lie between the same knots, and about the same elsewhere.
type field struct {
	key   uint64
	depth knots
	next  []float32 // [rank] scratch
}

// newField returns the numbers of one layer whose correlation with those of the next is similarity.
func newField(key uint64, layer int, similarity float64, rank int) *field {
	spacing := math.Acos(similarity) / (math.Pi / 2) // in knots a layer
	return &field{key, at(float64(layer) * spacing), make([]float32, rank)}
}

// draw writes the numbers of the place i into dst.
func (f *field) draw(dst []float32, i uint64) {
	normals(dst, keyed(f.key, f.depth.k, i))
	if f.depth.b == 0 {
		return
	}
	normals(f.next, keyed(f.key, f.depth.k+1, i))
	blend(dst, f.next, f.depth.a, f.depth.b)
}

// drifting is a field that changes from knot to knot as the text goes on.
type drifting struct {
	*field
	every    float64 // tokens from knot to knot
	k        uint64  // knot that from and to belong to
	ready    bool
	from, to []float32
}

// newDrifting returns a field that is a new one so many times in 1024 tokens.
func newDrifting(f *field, changes float64) *drifting {
	rank := len(f.next)
	return &drifting{field: f, every: 1024 / changes, from: make([]float32, rank), to: make([]float32, rank)}
}

// draw writes the field at a token into dst.
func (d *drifting) draw(dst []float32, token int) {
	t := at(float64(token) / d.every)
	if !d.ready || t.k != d.k {
		d.field.draw(d.from, t.k)
		d.field.draw(d.to, t.k+1)
		d.k, d.ready = t.k, true
	}
	copy(dst, d.from)
	blend(dst, d.to, t.a, t.b)
}

// blend makes x into a*x + b*y.
func blend(x, y []float32, a, b float32) {
	for i := range x {
		x[i] = float32(a*x[i]) + float32(b*y[i])
	}
}

// heaviness is 0 for most tokens, and between 0.5 and 1 for those that most queries attend to.
func heaviness(text uint64, token int) float64 {
	key := keyed(text, forHeavy, uint64(token))
	if uniform(key) >= heavyTokens {
		return 0
	}
	return between(key+1, 0.5, 1)
}
