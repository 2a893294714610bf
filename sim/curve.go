package sim

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// seen is how many seconds something took at a length.
type seen struct {
	n       int
	seconds float64
}

// curve is seconds by length: a sum of terms that are known to grow with it, by coefficients of 0 or more.
type curve struct {
	terms []func(n float64) float64
	of    []float64 // [term]
}

// The terms of most curves.
func once(float64) float64     { return 1 }
func each(n float64) float64   { return n }
func square(n float64) float64 { return n * n }

// at is the seconds at a length.
func (c curve) at(n int) (seconds float64) {
	for i, x := range c.of {
		seconds += x * c.terms[i](float64(n))
	}
	return seconds
}

// closeCurve is how far a curve may lie from what was seen, in relative terms: about as far as times of one thing from
// each other. Of the curves within it the one with the fewest terms is taken: it goes astray least beyond what was seen.
const closeCurve = 0.15

// fitCurve returns a curve of the terms that is close to what was seen, or else the nearest, by the squares of relative
// distances. Nothing that is timed here takes the same at any length, so that a constant does not stand alone; and no
// more terms are used than lengths were seen. Of equals those are taken whose terms come first. Nothing seen gives 0.
func fitCurve(all []seen, terms ...func(n float64) float64) curve {
	best, least := curve{}, math.Inf(1)
	for count := 1; count <= min(len(terms), len(all)) && least > closeCurve; count++ {
		for chosen := 1; chosen < 1<<len(terms); chosen++ {
			c := curve{}
			for i, term := range terms {
				if chosen>>i&1 == 1 {
					c.terms = append(c.terms, term)
				}
			}
			if len(c.terms) != count || count == 1 && c.terms[0](1) == c.terms[0](2) {
				continue
			}
			if d, ok := c.fit(all); ok && d < least-1e-9 {
				least, best = d, c
			}
		}
	}
	return best
}

// fit finds the coefficients, and returns how far the curve then lies from what was seen: the root of the mean square
// of relative distances. There are none where it was seen at too few lengths, or none of 0 or more.
func (c *curve) fit(all []seen) (distance float64, ok bool) {
	a, b := mat.NewDense(len(all), len(c.terms), nil), mat.NewVecDense(len(all), nil)
	for i, s := range all {
		weight := 1 / max(s.seconds, 1e-9)
		b.SetVec(i, weight*s.seconds)
		for k, term := range c.terms {
			a.Set(i, k, weight*term(float64(s.n)))
		}
	}
	var x, rest mat.VecDense
	if x.SolveVec(a, b) != nil || mat.Min(&x) < 0 {
		return 0, false
	}
	c.of = x.RawVector().Data
	rest.MulVec(a, &x)
	rest.SubVec(&rest, b)
	return mat.Norm(&rest, 2) / math.Sqrt(float64(len(all))), true
}
