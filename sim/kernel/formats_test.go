package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// stored returns the codes of a row, the scales and minima of its blocks, and what it decodes to.
func stored(t *testing.T, b *Blocks, row []float32) (codes, scales, mins, values []float32) {
	t.Helper()
	r := Blockwise(b).Rows(len(row), 1)
	if !r.Append(row) {
		t.Fatal("a finite row was reported as infinite")
	}
	codes, values = make([]float32, len(row)), make([]float32, len(row))
	n := codeBytes(b.Bits, len(row))
	lookUp(r.Data[:n], b.Bits, len(row), 0, counting(b.Bits), codes)
	for i := range b.blocks(len(row)) {
		s, m := b.scale(r.Data[n:], i)
		scales, mins = append(scales, s), append(mins, m)
	}
	r.Row(0, values)
	return codes, scales, mins, values
}

// ramp is n values from first on, step apart.
func ramp(n int, first, step float64) []float32 {
	row := make([]float32, n)
	for i := range row {
		row[i] = float32(first + step*float64(i))
	}
	return row
}

// TestQ4 is ggml's q4_0 by hand: of -20 to 11 the largest magnitude is -20, so that D = 2.5.
func TestQ4(t *testing.T) {
	codes, scales, _, values := stored(t, Q4(), ramp(32, -20, 1))
	want := []float32{0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7, 8, 8, 8, 9, 9, 10, 10, 10, 11, 11, 12, 12, 12}
	if !slices.Equal(codes, want) || scales[0] != 2.5 || values[0] != -20 || values[31] != 10 {
		t.Errorf("codes %v, D %v, values %g to %g", codes, scales, values[0], values[31])
	}
	if codes, scales, _, _ = stored(t, Q4(), make([]float32, 32)); codes[0] != 8 || scales[0] != 0 {
		t.Errorf("zeros: code %g, D %g", codes[0], scales[0])
	}
	// Of equal magnitudes the first decides on the sign: 4 comes back, -4 as far as there are codes.
	if _, _, _, values = stored(t, Q4(), []float32{4, -4}); values[0] != 4 || values[1] != -3.5 {
		t.Errorf("4, -4: %v", values)
	}
}

func TestQ8(t *testing.T) {
	codes, scales, _, values := stored(t, Q8(), []float32{127, -127, 0.5, -0.5, 1.5, 2.4})
	if !slices.Equal(values, []float32{127, -127, 1, -1, 2, 2}) || scales[0] != 1 || codes[1] != 0x81 {
		t.Errorf("values %v, scale %v", values, scales)
	}
}

// TestFP4 takes the block 0, 0.1, ..., 1.5: with the largest at 6 the scale is 0.25 and the squared error
// 0.13125, with the largest at 4 0.375 and 0.109375.
func TestFP4(t *testing.T) {
	row := ramp(16, 0, 0.1)
	for _, tt := range []struct {
		name string
		b    *Blocks
		want float32
	}{{"six", NVFP4(1, false), 0.25}, {"four over six", NVFP4(1, true), 0.375}, {"mx4", MX4(16), 0.25}, {"mx4 of 32", MX4(32), 0.25}} {
		_, scales, _, values := stored(t, tt.b, row)
		if scales[0] != tt.want {
			t.Errorf("%s: scale %g, want %g", tt.name, scales[0], tt.want)
		}
		for i, x := range row {
			if math.Abs(float64(values[i]-x)) > 0.25 {
				t.Errorf("%s: %g for %g", tt.name, values[i], x)
			}
		}
	}
	for scale, want := range map[float32]float64{0.25: 0.13125, 0.375: 0.109375} {
		if got := float64(squaredError(row, scale)); math.Abs(got-want) > 1e-6 {
			t.Errorf("scale %g: squared error %g, want %g", scale, got, want)
		}
	}
	// Ties: to the even code in the one, up in the other. The largest, 6, sets the scale 1.
	ties := append([]float32{0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, -2.5, 6}, make([]float32, 7)...)
	_, _, _, even := stored(t, NVFP4(1, false), ties)
	_, _, _, up := stored(t, MX4(16), ties)
	if !slices.Equal(even[:9], []float32{0, 1, 1, 2, 2, 4, 4, -2, 6}) || !slices.Equal(up[:9], []float32{0.5, 1, 1.5, 2, 3, 4, 6, -3, 6}) {
		t.Errorf("ties: %v and %v", even[:9], up[:9])
	}
}

// TestNVFP4Global: the prompt's largest magnitude has the largest scale; what is larger later is cut to that.
func TestNVFP4Global(t *testing.T) {
	row := make([]float32, 16)
	row[3] = -70
	global := NVFP4Global([]float32{0, Amax(row)})
	_, scales, _, values := stored(t, NVFP4(global, false), row)
	if scales[0] != 448*global || math.Abs(float64(values[3])+70) > 1e-4 {
		t.Errorf("scale %g of %g, value %g", scales[0], global, values[3])
	}
	row[3] = 1000
	if _, _, _, values = stored(t, NVFP4(global, false), row); math.Abs(float64(values[3])-70) > 1e-4 {
		t.Errorf("1000 is stored as %g", values[3])
	}
	if NVFP4Global(nil) != 1 {
		t.Error("a prompt of zeros has no scale")
	}
	// Without calibration small blocks vanish: 0.005/6 is below half of the smallest E4M3 value, 2^-9.
	if _, _, _, values = stored(t, NVFP4(1, false), ramp(16, 0.005, 0)); values[0] != 0 {
		t.Errorf("0.005 is stored as %g", values[0])
	}
}

// TestTokenwise4 works out the code that stands for zero: -1 to 2 in 15 steps of 0.2, zero at code 5. A row
// without a zero loses its range.
func TestTokenwise4(t *testing.T) {
	codes, scales, _, values := stored(t, Tokenwise4(), []float32{-1, 0, 0.3, 2})
	if !slices.Equal(codes, []float32{0, 5, 7, 15}) || math.Float32bits(scales[0])&15 != 5 {
		t.Errorf("codes %v, scale %g", codes, scales[0])
	}
	for i, want := range []float64{-1, 0, 0.4, 2} {
		if math.Abs(float64(values[i])-want) > 1e-5 {
			t.Errorf("value %g, want %g", values[i], want)
		}
	}
	_, _, _, values = stored(t, Tokenwise4(), []float32{1, 1.5, 2})
	for _, x := range values {
		if math.Abs(float64(x)-1) > 1e-5 {
			t.Errorf("1, 1.5, 2 came back as %v", values)
		}
	}
}

func TestTokenwise8(t *testing.T) {
	row := []float32{127, -0.5, 1.5, 2.9, -2.9}
	if _, _, _, values := stored(t, Tokenwise8(false), row); !slices.Equal(values, []float32{127, 0, 2, 3, -3}) {
		t.Errorf("rounded %v", values)
	}
	if _, _, _, values := stored(t, Tokenwise8(true), row); !slices.Equal(values, []float32{127, 0, 1, 2, -2}) {
		t.Errorf("cut %v", values)
	}
}

// TestMinifloat checks figures of the published formats, and rounds what lies at, between and beside all codes.
func TestMinifloat(t *testing.T) {
	for _, tt := range []struct {
		m    minifloat
		c    byte
		want float32
	}{
		{e4m3, 0x7e, 448},
		{e4m3, 0x38, 1},
		{e4m3, 0x08, 0x1p-6},
		{e4m3, 0x01, 0x1p-9},
		{e4m3, 0xfe, -448},
		{e5m2, 0x7b, 57344},
		{e5m2, 0x3c, 1},
		{e5m2, 0x01, 0x1p-16},
		{e2m1, 7, 6},
		{e2m1, 1, 0.5},
		{e2m1, 13, -3},
	} {
		if got := tt.m.table()[tt.c]; got != tt.want {
			t.Errorf("code %#x: %g, want %g", tt.c, got, tt.want)
		}
	}
	for _, m := range []minifloat{e4m3, e5m2, e2m1} {
		table := m.table()
		for c := range int(m.most) {
			lo, hi := table[c], table[c+1]
			mid, even := (lo+hi)/2, byte(c+c&1)
			up, down := math.Nextafter32(mid, 9e9), math.Nextafter32(mid, 0)
			sign := byte(1) << (m.bits - 1)
			if m.round(lo) != byte(c) || m.round(mid) != even || m.round(up) != byte(c+1) || m.round(down) != byte(c) || m.round(-up) != byte(c+1)|sign {
				t.Fatalf("%+v: code %d: %#x, middle %#x, above %#x, below %#x", m, c, m.round(lo), m.round(mid), m.round(up), m.round(down))
			}
		}
		if most := table[m.most]; m.round(10*most) != m.most || m.round(math.MaxFloat32) != m.most {
			t.Errorf("%+v: beyond the largest: %#x", m, m.round(10*most))
		}
	}
}

// TestBlockError: what comes back is, with the scale that is stored, the nearest of all codes, up to the rounding of
// that scale; cutting off loses less than a step.
func TestBlockError(t *testing.T) {
	const dim = 72
	for name, l := range layouts(dim) {
		b := l.Blocks
		if b.Unit || b.Refit {
			continue // its scale is not the one that codes are chosen by
		}
		rapid.Check(t, func(rt *rapid.T) {
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
			size := math.Exp(rapid.Float64Range(-3, 3).Draw(rt, "size"))
			constant := rapid.Bool().Draw(rt, "constant")
			row := make([]float32, dim)
			for c := range row {
				row[c] = float32(size * (r.NormFloat64() + 0.5))
				if constant {
					row[c] = row[0]
				}
			}
			_, scales, mins, values := stored(t, b, row)
			for c, x := range row {
				block := c / b.width(dim)
				rounding := float64(Amax(row)) * 0x1p-9
				if b.restore != nil { // scale, minimum and what is done with them have 8 bits
					rounding *= 16
				}
				if scales[block] < 0x1p-14 { // subnormal in binary16: its steps are 2^-24
					rounding += float64(Amax(b.Table)) * 0x1p-25
				}
				least := math.Inf(1)
				for _, e := range b.Table {
					least = min(least, math.Abs(float64(scales[block]*e+mins[block]-x)))
				}
				if name == "tokenwise 8 cut" {
					least = float64(scales[block])
				}
				if got := math.Abs(float64(values[c] - x)); got > least+rounding {
					rt.Fatalf("%s: %g for %g, %g off where %g is possible", name, values[c], x, got, least)
				}
			}
		})
	}
}

// TestBlocksOfNoNumber: rows that no format can hold are reported.
func TestBlocksOfNoNumber(t *testing.T) {
	for name, l := range layouts(32) {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			row := make([]float32, 32)
			row[5] = float32(bad)
			r := l.Rows(32, 1)
			if r.Append(row) {
				t.Errorf("%s: %g was taken", name, bad)
			}
		}
	}
	r := Blockwise(Uniform(4, 32)).Rows(1, 1)
	if r.Append([]float32{-70000}) {
		t.Error("a minimum beyond binary16 was taken")
	}
}

// TestConstantChannels: keys that are the same in all tokens come back as their f16 value, whatever the bits.
func TestConstantChannels(t *testing.T) {
	for name, l := range grouped {
		if l[0].Tokens == 0 || l[0].Blocks != nil && l[0].Blocks.most > 0 {
			continue // scales are not those of channels, or codes have no minimum
		}
		r, row, room := l[0].Rows(9, 64), ramp(9, -3, 0.75), make([]float32, l[0].Room(9))
		for range 64 {
			r.Append(row)
			r.Flush(room)
		}
		got := make([]float32, 9)
		for i := range r.Len() {
			r.Row(i, got)
			for c, x := range got {
				// A balanced group rounds twice: the minimum, and the factor of the other axis.
				if d := math.Abs(float64(x - row[c])); d > 0 && (name != "tiles" || d > 2e-3) {
					t.Fatalf("%s: row %d is %v, want %v", name, i, got, row)
				}
			}
		}
	}
}

// TestOpenGroup: the rows of a prompt are coded as what they are, group by group; a later row joins the latest group, whose
// rows are coded again from what they had been decoded to. Its codes are round(x/scale + zero).
func TestOpenGroup(t *testing.T) {
	const dim, tokens, prompt = 3, 4, 6
	r := rand.New(rand.NewPCG(8, 8))
	l := Layout{Format: Blocked, Blocks: Zeros8(), Tokens: tokens, Open: true}
	rows := l.Rows(dim, 20)
	var x []float32
	for i := range prompt + 2 {
		for range dim {
			x = append(x, float32(r.NormFloat64()))
		}
		if i == prompt {
			rows.EndPrompt()
		}
		if i >= prompt { // what is in the group was decoded before
			for old := i / tokens * tokens; old < i; old++ {
				rows.Row(old, x[old*dim:(old+1)*dim])
			}
		}
		rows.Append(x[i*dim:])
		first := i / tokens * tokens
		got := make([]float32, dim)
		for c := range dim {
			least, most := float32(math.Inf(1)), float32(math.Inf(-1))
			for k := first; k <= i; k++ {
				least, most = min(least, x[k*dim+c]), max(most, x[k*dim+c])
			}
			scale := (most - least) / 255
			if scale == 0 {
				scale = 1e-4
			}
			zero := -least / scale
			for k := first; k <= i; k++ {
				code := float32(max(0, min(255, math.RoundToEven(float64(float32(x[k*dim+c]/scale)+zero)))))
				if byte(code) != rows.Data[k*rows.stride+c] {
					t.Fatalf("after %d rows: row %d channel %d has code %d, want %g", i+1, k, c, rows.Data[k*rows.stride+c], code)
				}
				if rows.Row(k, got); got[c] != (code-zero)*scale {
					t.Fatalf("after %d rows: row %d channel %d is %g, want %g", i+1, k, c, got[c], (code-zero)*scale)
				}
			}
		}
	}
	if want := int64(8*dim + 2*8*dim); rows.Bytes() != want {
		t.Errorf("%d bytes, want %d", rows.Bytes(), want)
	}
}

// TestFixedScale: codes are those of x/scale, and what has none is counted and cut.
func TestFixedScale(t *testing.T) {
	for _, tt := range []struct {
		b    *Blocks
		x    []float32
		want []float32
		cut  int64
	}{
		{FP8(false, NoScale), []float32{0.25 * 448, -0.25 * 448, 0.25 * 17, 113, -200, 0}, []float32{112, -112, 4, 112, -112, 0}, 2},
		{Signed8(), []float32{31.75, -31.75, 0.125, 0.375, 32, -40}, []float32{31.75, -31.75, 0, 0.5, 31.75, -31.75}, 2},
	} {
		r := Layout{Format: Blocked, Blocks: tt.b, Fixed: []float32{0.25}}.Rows(len(tt.x), 2)
		r.Append(tt.x)
		got, n := make([]float32, len(tt.x)), Clipped{}
		r.Row(0, got)
		r.Cut(&n)
		if !slices.Equal(got, tt.want) || n != (Clipped{tt.cut, int64(len(tt.x))}) {
			t.Errorf("%v, %+v, want %v and %d", got, n, tt.want, tt.cut)
		}
	}
	if s := FP8(false, NoScale).FixedScale(896); s != 2 {
		t.Errorf("scale %g", s)
	}
	two := Layout{Format: Blocked, Blocks: Signed8(), Fixed: []float32{1, 2}}
	if a, b := two.Of(0).Rows(2, 1), two.Of(1).Rows(2, 1); a.Fixed != 1 || b.Fixed != 2 {
		t.Errorf("scales of heads %g, %g", a.Fixed, b.Fixed)
	}
}
