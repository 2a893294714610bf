package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachPath runs a test on every path that the machine has.
func eachPath(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	was := active
	t.Cleanup(func() { use(was) })
	for _, p := range available {
		use(p)
		t.Run(p.name, f)
	}
}

// problem is attention of some query heads over stored rows.
type problem struct {
	q    []float32 // [heads][k.Dim]
	k, v Rows
}

// fill is how the values of a problem are drawn.
type fill func(*rand.Rand) float32

var fills = map[string]fill{
	"random":       func(r *rand.Rand) float32 { return float32(r.NormFloat64()) },
	"huge logits":  func(r *rand.Rand) float32 { return float32(40 * r.NormFloat64()) },
	"equal logits": func(*rand.Rand) float32 { return 0.5 },
	"zero":         func(*rand.Rand) float32 { return 0 },
}

// newProblem draws one; the codes start at an odd address.
func newProblem(f Format, values fill, heads, kDim, vDim, n int) *problem {
	r := rand.New(rand.NewPCG(uint64(kDim), uint64(n)))
	p := &problem{q: make([]float32, heads*kDim), k: NewRows(f, kDim, n), v: NewRows(f, vDim, n)}
	for i := range p.q {
		p.q[i] = values(r)
	}
	row := make([]float32, max(kDim, vDim))
	for _, rows := range []*Rows{&p.k, &p.v} {
		rows.Data = make([]byte, 1, n*rows.stride+1)[1:]
		for range n {
			for c := range rows.Dim {
				row[c] = values(r)
			}
			rows.Append(row)
		}
	}
	return p
}

// exact is the attention output of head h in float64 over what the rows decode to, and how far float32 may
// be from it.
func (p *problem) exact(h int) (out []float64, tol float64) {
	n := p.k.Len()
	q := p.q[h*p.k.Dim : (h+1)*p.k.Dim]
	row := make([]float32, max(p.k.Dim, p.v.Dim))
	logits, top, terms := make([]float64, n), math.Inf(-1), 0.0
	for i := range n {
		p.k.Row(i, row)
		size := 0.0
		for c, x := range q {
			logits[i] += float64(x) * float64(row[c])
			size += math.Abs(float64(x) * float64(row[c]))
		}
		top, terms = max(top, logits[i]), max(terms, size)
	}
	out = make([]float64, p.v.Dim)
	var sum, largest float64
	for i := range n {
		p.v.Row(i, row)
		e := math.Exp(logits[i] - top)
		sum += e
		for c := range out {
			out[c] += e * float64(row[c])
			largest = max(largest, math.Abs(float64(row[c])))
		}
	}
	for c := range out {
		out[c] /= sum
	}
	// The error of a logit is some units in the last place of its largest partial sum.
	return out, largest * (2e-6 + 8*terms*0x1p-24)
}

// attend computes all heads as a store does: chunk by chunk, then merged.
func (p *problem) attend(heads int, s *Scratch) []float32 {
	var parts []Partial
	for lo := 0; lo < p.k.Len(); lo += Chunk {
		chunk := make([]Partial, heads)
		for h := range chunk {
			chunk[h].Acc = make([]float32, p.v.Dim)
		}
		Attend(p.q, &p.k, &p.v, lo, min(lo+Chunk, p.k.Len()), nil, s, chunk)
		parts = append(parts, chunk...)
	}
	out := make([]float32, heads*p.v.Dim)
	for h := range heads {
		Merge(parts, h, heads, &Rule{}, out[h*p.v.Dim:(h+1)*p.v.Dim])
	}
	return out
}

func (p *problem) check(t *testing.T, heads int) {
	t.Helper()
	if err := p.differs(heads, p.attend(heads, NewScratch(heads, max(p.k.Dim, p.v.Dim)))); err != "" {
		t.Fatal(err)
	}
}

// differs compares attention outputs with the exact ones, and says where they are too far off.
func (p *problem) differs(heads int, out []float32) string {
	for h := range heads {
		want, tol := p.exact(h)
		for c, w := range want {
			if got := float64(out[h*p.v.Dim+c]); !(math.Abs(got-w) <= tol) {
				return fmt.Sprintf("head %d channel %d: %g, want %g within %g", h, c, got, w, tol)
			}
		}
	}
	return ""
}

// TestAttendLengths compares every path with float64 attention over lengths around blocks and chunks.
func TestAttendLengths(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for name, values := range fills {
			for f := range formats {
				for _, n := range []int{1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 66, Chunk - 1, Chunk, Chunk + 1, 2*Chunk + 77} {
					t.Run(fmt.Sprintf("%s/%s/n=%d", name, f, n), func(t *testing.T) {
						newProblem(f, values, 5, 40, 40, n).check(t, 5)
					})
				}
			}
		}
	})
}

// TestAttendDims does the same over row widths: registers, lines and groups, and what is left of them.
func TestAttendDims(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 13
	}
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			for dim := 1; dim <= 130; dim += stride {
				newProblem(f, fills["random"], 1+dim%7, dim, dim, 70).check(t, 1+dim%7)
			}
			for _, dim := range []int{128, 192, 256, 384, 576} {
				for heads := 1; heads <= 7; heads += min(stride, 3) {
					newProblem(f, fills["random"], heads, dim, 128, 70).check(t, heads)
				}
				newProblem(f, fills["huge logits"], 6, dim, dim, 67).check(t, 6)
			}
		}
	})
}

// TestAttendHeads does the same over group sizes.
func TestAttendHeads(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			for heads := 1; heads <= 33; heads++ {
				newProblem(f, fills["random"], heads, 64, 64, 130).check(t, heads)
			}
		}
	})
}

// TestScratch uses one scratch for call after call, as a thread does: nothing of a call may stay in the next.
func TestScratch(t *testing.T) {
	const heads, dim, n = 3, 128, 75
	eachPath(t, func(t *testing.T) {
		s := NewScratch(heads, dim)
		for f := range formats {
			for seed := range 3 {
				p := newProblem(f, fills["random"], heads, dim, dim, n+seed)
				if err := p.differs(heads, p.attend(heads, s)); err != "" {
					t.Fatalf("%s, call %d: %s", f, seed, err)
				}
				logits := make([]float32, heads*n)
				Scores(p.q, &p.k, 0, n, s, logits, n)
				row := make([]float32, dim)
				for h := range heads {
					p.k.Row(n-1, row)
					if got, want := logits[h*n+n-1], dot(p.q[h*dim:(h+1)*dim], row); math.Abs(float64(got-want)) > 1e-4 {
						t.Fatalf("%s, call %d, head %d: logit %g, want %g", f, seed, h, got, want)
					}
				}
			}
		}
	})
}

// TestAttendPrefix is the absorbed latent form: values are the first channels of the keys, in one memory.
func TestAttendPrefix(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			p := newProblem(f, fills["random"], 6, 96, 1, 90)
			p.v.PrefixOf(&p.k, 64)
			p.check(t, 6)
		}
	})
}

// TestAttendChannels compares keys whose scales belong to channels, at all places of a chunk's bounds in
// their groups of tokens.
func TestAttendChannels(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, f := range []Format{Int8, Int4} {
			for _, c := range []struct{ heads, dim, tokens, n int }{{1, 1, 1, 3}, {3, 40, 32, 64}, {5, 128, 32, 160}, {4, 64, 128, 256}, {2, 30, 48, 96}, {7, 100, 32, 1056}} {
				p := newProblem(f, fills["random"], c.heads, c.dim, c.dim, c.n)
				rows := make([]float32, c.n*c.dim)
				for i := range rows {
					rows[i] = float32(i%7) - 3.25*float32(i%c.dim)
				}
				p.k = Layout{Format: f, Tokens: c.tokens}.Rows(c.dim, c.n)
				for i := range c.n / c.tokens {
					if !p.k.AppendGroup(rows[i*c.tokens*c.dim : (i+1)*c.tokens*c.dim]) {
						t.Fatal("finite rows were reported as infinite")
					}
				}
				p.check(t, c.heads)
				p.k, p.v = p.k.Slice(c.tokens, c.n), p.v.Slice(c.tokens, c.n)
				p.check(t, c.heads)
			}
		}
	})
}

// TestAttendKeyShift compares keys that are rotated on the way with keys that were stored rotated.
func TestAttendKeyShift(t *testing.T) {
	const dim, n, sinks = 40, 200, 70
	rope := Rope{InvFreq: []float64{1, 0.3, 0.02}}
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			p := newProblem(f, fills["random"], 3, dim, dim, n)
			rotated := &problem{q: p.q, k: NewRows(F32, dim, n), v: p.v}
			row := make([]float32, dim)
			for i := range n {
				p.k.Row(i, row)
				if i < sinks {
					rope.Rotate(row, 17)
				}
				rotated.k.Append(row)
			}
			s, out, room := NewScratch(3, dim), make([]Partial, 3), make([]float32, dim)
			for h := range out {
				out[h].Acc = make([]float32, dim)
			}
			Attend(p.q, &p.k, &p.v, 0, n, &KeyShift{Rope: rope, Rows: sinks, Delta: 17}, s, out)
			for h := range 3 {
				Merge(out, h, 3, &Rule{}, room)
				want, tol := rotated.exact(h)
				for c, w := range want {
					if math.Abs(float64(room[c])-w) > tol {
						t.Fatalf("%s: head %d channel %d: %g, want %g", f, h, c, room[c], w)
					}
				}
			}
		}
	})
}
