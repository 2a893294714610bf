package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
)

// Sketch is a second stage behind the codes of a row (TurboQuant, arXiv:2504.19874, algorithm 2, after the one-bit
// sketch of QJL, arXiv:2406.03482, definition 3.1). Of what the codes leave of a row of dim channels,
//
//	rest = row - scale*Table[code]
//
// it keeps the length and, for each of dim random directions, the sign of the product. Over directions of
// independent standard normal channels the mean of
//
//	|rest| * sqrt(pi/2)/dim * sum over j of (directions[j] . q) * sign(directions[j] . rest)
//
// is q . rest. So that a logit is one product still, queries are followed by their products with the directions
// (Queries), and a row is read with its signs, times what stands before the sum, behind its channels.
//
// The sign of direction j is the highest bit of the code of channel j. The length, in binary16, follows the scale.
type Sketch struct {
	dim        int
	directions []float32 // [dim][dim]
	table      []float32 // [1<<Bits] the sign of a code, times sqrt(pi/2)/dim
}

// Sketched is a Codebook of one bit less than bits, 3 or 4, with a Sketch whose directions are drawn from r.
func Sketched(bits, dim int, r *rand.Rand) *Blocks {
	b := Codebook(bits-1, dim, false)
	b.Bits, b.form, b.Table = bits, tableForm(bits), slices.Repeat(b.Table, 2)
	unit := float32(math.Sqrt(math.Pi/2) / float64(dim))
	half := len(b.Table) / 2
	s := &Sketch{
		dim: dim, directions: make([]float32, dim*dim),
		table: append(slices.Repeat([]float32{-unit}, half), slices.Repeat([]float32{unit}, half)...),
	}
	for i := range s.directions {
		s.directions[i] = float32(r.NormFloat64())
	}
	b.Sketch = s
	return b
}

// Queries makes queries, [heads][dim] at the start of q, what reads the rows, [heads][2*dim] in all of it.
func (s *Sketch) Queries(q []float32) {
	d := s.dim
	for h := len(q)/(2*d) - 1; h >= 0; h-- {
		to := q[2*h*d : 2*(h+1)*d]
		copy(to[:d], q[h*d:(h+1)*d])
		Multiply(to[:d], s.directions, d, to[d:], d)
	}
}

// direction is direction j.
func (s *Sketch) direction(j int) []float32 { return s.directions[j*s.dim : (j+1)*s.dim] }

// split cuts a stored row of dim channels into its codes and the length of what they leave.
func (s *Sketch) split(b *Blocks, row []byte) (codes, length []byte) {
	n := codeBytes(b.Bits, s.dim)
	return row[:n], row[n+b.Scale.bytes():]
}

// length is the stored length.
func (s *Sketch) length(b *Blocks, row []byte) float32 {
	_, length := s.split(b, row)
	return halfs[binary.LittleEndian.Uint16(length)]
}

// encode adds the sketch to the codes and the scale of a row; rest, [dim], is scratch. It reports whether the format
// could hold the length.
func (s *Sketch) encode(b *Blocks, dst []byte, row, rest []float32) (finite bool) {
	b.decode(dst, s.dim, 0, rest)
	var sum float64
	for c, x := range row {
		rest[c] = x - rest[c]
		sum += float64(rest[c]) * float64(rest[c])
	}
	codes, length := s.split(b, dst)
	u := Half(float32(math.Sqrt(sum)))
	binary.LittleEndian.PutUint16(length, u)
	for j := range row {
		if active.dot(s.direction(j), rest) > 0 {
			putCode(codes, b.Bits, j, s.dim, 1<<(b.Bits-1))
		}
	}
	return finite16(u)
}

// decode writes the signs of a stored row, as queries read them, to dst, up to its length.
func (s *Sketch) decode(b *Blocks, row []byte, dst []float32) {
	codes, _ := s.split(b, row)
	lookUp(codes, b.Bits, s.dim, 0, s.table, dst)
	length := s.length(b, row)
	for j := range dst {
		dst[j] *= length
	}
}

// restore adds to dst, what the codes of a stored row stand for, what the sketch makes of the rest.
func (s *Sketch) restore(b *Blocks, row []byte, dst []float32) {
	codes, _ := s.split(b, row)
	length := s.length(b, row)
	var room [packed]float32
	for lo := 0; lo < s.dim; lo += packed {
		signs := room[:min(packed, s.dim-lo)]
		lookUp(codes, b.Bits, s.dim, lo, s.table, signs)
		for j, x := range signs {
			active.axpy(length*x, s.direction(lo+j), dst)
		}
	}
}
