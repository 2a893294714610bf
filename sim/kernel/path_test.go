package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	was := active
	defer use(was)
	for _, p := range available {
		if err := Select(p.name); err != nil || Name != p.name || active != p {
			t.Errorf("Select(%q): %v, %s runs", p.name, err, Name)
		}
	}
	if err := Select("go"); err != nil {
		t.Error(err)
	}
	err := Select("sse9")
	if err == nil || !strings.Contains(err.Error(), `KVGAUGE_KERNEL: "sse9"`) || !strings.Contains(err.Error(), "go") || Name != "go" {
		t.Errorf("an unknown path: %v, %s runs", err, Name)
	}
	if err := Select(""); err != nil || active != best() {
		t.Errorf(`Select(""): %v, %s runs`, err, Name)
	}
}

// TestHalvesOfPaths holds every path's conversions against the scalar ones: each bit pattern, the values
// around each, and every length.
func TestHalvesOfPaths(t *testing.T) {
	patterns := make([]uint16, 1<<16)
	var values []float32
	for u := range patterns {
		patterns[u] = uint16(u)
		x, next := Float(uint16(u)), Float(uint16(u)+1)
		values = append(values, x, math.Nextafter32(x, 9e9), math.Nextafter32(x, -9e9), (x+next)/2, math.Nextafter32((x+next)/2, 9e9))
	}
	values = append(values, 1e-30, -1e-45, 65519.996, 65520, 1e30)
	eachPath(t, func(t *testing.T) {
		floats := make([]float32, len(patterns))
		Floats(floats, patterns)
		for u, x := range floats {
			if w := Float(uint16(u)); math.Float32bits(x) != math.Float32bits(w) && (x == x || w == w) {
				t.Fatalf("Floats(%#04x) = %g, want %g", u, x, w)
			}
		}
		halves := make([]byte, 2*len(values))
		active.halves(halves, values)
		for i, x := range values {
			got, want := uint16(halves[2*i])|uint16(halves[2*i+1])<<8, Half(x)
			if got != want && x == x {
				t.Fatalf("half of %g: %#04x, want %#04x", x, got, want)
			}
		}
		for n := range 258 {
			for _, bad := range []float32{1, 65520, float32(math.NaN())} {
				src, dst := make([]float32, n+1), make([]byte, 2*n+2)
				src[n] = bad
				if got := active.halves(dst, src); got != (bad == 1) {
					t.Fatalf("%d values and then %g: finite = %v", n, bad, got)
				}
			}
		}
	})
}

// TestSoften compares every path with the definition: state after two blocks, and weights.
func TestOnlineSoftmax(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	eachPath(t, func(t *testing.T) {
		for _, heads := range []int{1, 3, 16, 17, 33} {
			for n := 1; n <= block; n++ {
				want, got := newSoftmaxState(heads).first(heads), newSoftmaxState(heads).first(heads)
				for _, size := range []float64{1, 20, 1e4} {
					a, b := make([]float32, heads*block), make([]float32, heads*block)
					k, v := make([]float32, block), make([]float32, block)
					for i := range a {
						a[i] = float32(size * r.NormFloat64())
					}
					copy(b, a)
					for i := range k {
						k[i], v[i] = 0.5+r.Float32(), r.Float32()
					}
					onlineSoftmaxGeneric(a, n, k, v, want)
					active.onlineSoftmax(b, n, k, v, got)
					for h := range heads {
						for i := range n {
							if x, y := a[h*block+i], b[h*block+i]; !near32(x, y) {
								t.Fatalf("%d heads, %d rows: weight %g, want %g", heads, n, y, x)
							}
						}
						if got.max[h] != want.max[h] || !near32(want.sum[h], got.sum[h]) || !near32(want.rescale[h], got.rescale[h]) {
							t.Fatalf("%d heads, %d rows: %g %g %g, want %g %g %g", heads, n, got.max[h], got.sum[h], got.rescale[h], want.max[h], want.sum[h], want.rescale[h])
						}
					}
				}
			}
		}
	})
}

// near32 says whether y is x within rounding, of a subnormal too.
func near32(x, y float32) bool {
	return math.Abs(float64(x-y)) <= 1e-6*math.Abs(float64(x))+0x1p-140
}

// TestVectors covers every length on every path.
func TestVectors(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for n := range 258 {
			x, y, want, sum := make([]float32, n), make([]float32, n), make([]float32, n), 0
			for i := range x {
				x[i], y[i], want[i] = float32(i), 1, 1+float32(2*i)
				sum += i * i
			}
			if got := active.dot(x, x); got != float32(sum) {
				t.Fatalf("length %d: inner product %g, want %d", n, got, sum)
			}
			active.axpy(2, x, y)
			if !slices.Equal(y, want) {
				t.Fatalf("length %d: %v", n, y)
			}
		}
	})
}

// TestAttendAllocatesNothing covers rows of every kind.
func TestAttendAllocatesNothing(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			p := newProblem(f, fills["random"], 3, 72, 72, 300)
			if f == Int4 {
				p.k = Layout{Format: f, Tokens: 30}.Rows(72, 300)
				for range 10 {
					p.k.AppendGroup(make([]float32, 30*72))
				}
			}
			s, out, room := NewScratch(3, 72), make([]Partial, 3), make([]float32, 72)
			for h := range out {
				out[h].Acc = make([]float32, 72)
			}
			shift := &KeyShift{Rope: Rope{InvFreq: []float64{1}}, Rows: 2, Delta: 5}
			row := make([]float32, 72)
			allocs := testing.AllocsPerRun(20, func() {
				Attend(p.q, &p.k, &p.v, 0, 300, shift, s, out)
				Merge(out, 1, 3, &Rule{}, room)
				p.v.Set(5, row)
			})
			if allocs != 0 {
				t.Errorf("%s: %g allocations", f, allocs)
			}
		}
	})
}

// FuzzAttend holds every path against float64 for any shape.
func FuzzAttend(f *testing.F) {
	f.Add(uint8(1), uint8(4), uint8(128), uint16(65), uint8(2))
	f.Add(uint8(3), uint8(1), uint8(30), uint16(1100), uint8(0))
	f.Add(uint8(4), uint8(33), uint8(96), uint16(3), uint8(1))
	f.Fuzz(func(t *testing.T, format, heads, dim uint8, n uint16, fillAt uint8) {
		if heads == 0 || dim == 0 || n == 0 || n > 3*Chunk {
			t.Skip()
		}
		names := []string{"equal logits", "huge logits", "random"}
		p := newProblem(Format(format)%formats, fills[names[int(fillAt)%3]], int(heads%40)+1, int(dim), int(dim), int(n))
		was := active
		defer use(was)
		for _, path := range available {
			use(path)
			p.check(t, int(heads%40)+1)
		}
	})
}

// TestBounds covers whole steps, and what is left of them.
func TestBounds(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 33, 100} {
		eachPath(t, func(t *testing.T) {
			x, most, least := make([]float32, n), make([]float32, n), make([]float32, n)
			for i := range x {
				x[i], most[i], least[i] = float32(i%7)-3, float32(i%5)-2, float32(i%5)-2
			}
			Max(x, most)
			Min(x, least)
			for i := range x {
				a, b := float32(i%7)-3, float32(i%5)-2
				if most[i] != max(a, b) || least[i] != min(a, b) {
					t.Fatalf("%d of %d: from %g to %g, want %g and %g in order", i, n, least[i], most[i], a, b)
				}
			}
		})
	}
}

// TestRowsOfPaths holds what works on several rows at once against the same row by row, for every width.
func TestRowsOfPaths(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	eachPath(t, func(t *testing.T) {
		for dim := range 131 {
			for _, n := range []int{1, 7, 8, 9, 30, Columns} {
				x, y := make([]float32, n*dim), make([]float32, dim*Columns)
				for i := range x {
					x[i] = float32(rng.NormFloat64())
				}
				sums := slices.Repeat([]float64{9}, n)
				Squares(sums, x, dim)
				Transpose(y, x, max(1, dim))
				for i := range n {
					row := x[i*dim : (i+1)*dim]
					if want := float64(Dot(row, row)); math.Abs(sums[i]-want) > 1e-6*want {
						t.Fatalf("%d rows of %d: squared length %g, want %g", n, dim, sums[i], want)
					}
					for d := range row {
						if got := y[d*Columns+i]; got != row[d] {
							t.Fatalf("%d rows of %d: channel %d of row %d is %g, want %g", n, dim, d, i, got, row[d])
						}
					}
				}
				if dim > 0 {
					testRowsOf(t, x, dim, n)
				}
			}
		}
	})
}

// testRowsOf encodes some of n rows of x as AppendRowsOf does, in halves and in a format that has no assembly for it.
func testRowsOf(t *testing.T, x []float32, dim, n int) {
	t.Helper()
	var some []int32
	for i := 0; i < n; i += 1 + i%3 {
		some = append(some, int32(i))
	}
	for _, f := range []Format{F16, Int8} {
		got, want := NewRows(f, dim, 0), NewRows(f, dim, 0)
		finite := got.AppendRowsOf(x, some)
		for _, i := range some {
			want.Append(x[int(i)*dim : (int(i)+1)*dim])
		}
		if !finite || !slices.Equal(got.Data, want.Data) || !slices.Equal(got.Scale, want.Scale) {
			t.Fatalf("%s: rows %v of %d with %d channels differ from one by one", f, some, n, dim)
		}
	}
	for _, bad := range []int{0, dim - 1} {
		i := int(some[len(some)-1])*dim + bad
		was := x[i]
		x[i] = 65520
		rows := NewRows(F16, dim, 0)
		if rows.AppendRowsOf(x, some) {
			t.Fatalf("rows of %d channels, %g in channel %d: want not finite", dim, x[i], bad)
		}
		x[i] = was
	}
}
