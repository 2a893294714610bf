package kernel

import (
	"math"
	"slices"
	"testing"
)

// TestEncode checks codes, scales and values against figures worked out by hand.
func TestEncode(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		name       string
		f          Format
		row        []float32
		data       []byte
		scale, min []float32
		want       []float32 // nil: the row itself
		finite     bool
	}{
		{name: "f32", f: F32, row: []float32{1, -2}, data: []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, finite: true},
		{name: "f32 infinite", f: F32, row: []float32{1, inf}, data: []byte{0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x7f}},
		{name: "f16", f: F16, row: []float32{1, -2}, data: []byte{0, 0x3c, 0, 0xc0}, finite: true},
		{name: "f16 beyond", f: F16, row: []float32{65520}, data: []byte{0, 0x7c}, want: []float32{inf}},
		{name: "bf16", f: BF16, row: []float32{1, -2}, data: []byte{0x80, 0x3f, 0, 0xc0}, finite: true},
		// 1 + 2^-8 is halfway between 1 and 1 + 2^-7; 1 + 3*2^-8 halfway between odd and even.
		{name: "bf16 ties", f: BF16, row: []float32{1 + 1.0/256, 1 + 3.0/256}, data: []byte{0x80, 0x3f, 0x82, 0x3f}, want: []float32{1, 1 + 4.0/256}, finite: true},
		{name: "bf16 beyond", f: BF16, row: []float32{math.MaxFloat32}, data: []byte{0x80, 0x7f}, want: []float32{inf}},
		{name: "int8", f: Int8, row: []float32{127, -127, 0.5, 1.5, -0.5}, data: []byte{127, 0x81, 0, 2, 0}, scale: []float32{1}, want: []float32{127, -127, 0, 2, 0}, finite: true},
		{name: "int8 zero", f: Int8, row: []float32{0, 0}, data: []byte{0, 0}, scale: []float32{0}, finite: true},
		// The scale 1/127 is stored as 0.007873535 but divides as it is.
		{name: "int8 rounded scale", f: Int8, row: []float32{1, -1}, data: []byte{127, 0x81}, scale: []float32{0.007873535}, want: []float32{0.99993896, -0.99993896}, finite: true},
		{name: "int8 beyond", f: Int8, row: []float32{9e6}, data: []byte{0}, scale: []float32{inf}},
		{name: "int8 nan", f: Int8, row: []float32{nan, 1}, data: []byte{0, 0}, scale: []float32{nan}},
		// Four channels: bytes hold 0 and 2, 1 and 3.
		{name: "int4", f: Int4, row: []float32{-1, 14, 6.5, 7.5}, data: []byte{0x80, 0x8f}, scale: []float32{1}, min: []float32{-1}, want: []float32{-1, 14, 7, 7}, finite: true},
		{name: "int4 odd", f: Int4, row: []float32{0, 15, 3}, data: []byte{0x30, 0x0f}, scale: []float32{1}, min: []float32{0}, finite: true},
		{name: "int4 equal", f: Int4, row: []float32{2.5, 2.5}, data: []byte{0}, scale: []float32{0}, min: []float32{2.5}, finite: true},
		{name: "int4 minimum beyond", f: Int4, row: []float32{-70000, -70000}, data: []byte{0}, scale: []float32{0}, min: []float32{-inf}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachPath(t, func(t *testing.T) {
				r := NewRows(c.f, len(c.row), 1)
				if got := r.Append(c.row); got != c.finite {
					t.Errorf("finite = %v", got)
				}
				if !slices.Equal(r.Data, c.data) {
					t.Errorf("data % x, want % x", r.Data, c.data)
				}
				checkHalves(t, "scale", r.Scale, c.scale)
				checkHalves(t, "min", r.Min, c.min)
				if !c.finite && c.want == nil {
					return
				}
				want, got := c.want, make([]float32, len(c.row))
				if want == nil {
					want = c.row
				}
				if r.Row(0, got); !slices.Equal(got, want) {
					t.Errorf("row %v, want %v", got, want)
				}
			})
		})
	}
}

func checkHalves(t *testing.T, what string, got []uint16, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d %s, want %d", len(got), what, len(want))
	}
	for i, u := range got {
		if x := Float(u); x != want[i] && x == x {
			t.Errorf("%s %v, want %v", what, x, want[i])
		}
	}
}

// TestInt4Groups checks where the 70 channels of three groups lie.
func TestInt4Groups(t *testing.T) {
	r := NewRows(Int4, 70, 2)
	row := make([]float32, 70)
	for c := range row {
		row[c] = float32(c % 16)
	}
	row[69] = 15
	r.Append(row)
	if got := len(r.Data); got != 16+16+3 {
		t.Errorf("%d bytes of codes", got)
	}
	if r.Data[1] != 0x11 || r.Data[31] != 0xff || len(r.Scale) != 3 || len(r.Min) != 3 {
		t.Errorf("codes % x", r.Data)
	}
	if got, want := r.Bytes(), int64(35+12); got != want || r.RowBytes() != want || r.ScaleBytes() != 12 {
		t.Errorf("%d bytes, %d a row, %d of scales, want %d", got, r.RowBytes(), r.ScaleBytes(), want)
	}
}

// TestRowBytes holds the sizes against their formulas.
func TestRowBytes(t *testing.T) {
	for f, want := range []int64{F32: 4 * 128, F16: 2 * 128, BF16: 2 * 128, Int8: 128 + 2, Int4: 64 + 4*128/32} {
		r := NewRows(Format(f), 128, 3)
		for range 3 {
			r.Append(make([]float32, 128))
		}
		if r.Bytes() != 3*want || r.RowBytes() != want || r.Len() != 3 || r.Cap() != 3 {
			t.Errorf("%s: %d bytes in %d of %d rows of %d, want %d", Format(f), r.Bytes(), r.Len(), r.Cap(), r.RowBytes(), want)
		}
	}
}

// TestCodes checks codes that are stored as they are.
func TestCodes(t *testing.T) {
	for f, row := range map[Format][]float32{Int8: {-128, 127, 0, 5}, Int4: {0, 15, 7, 1, 2}} {
		r := NewCodes(f, len(row), 1)
		got := make([]float32, len(row))
		if !r.Append(row) || r.ScaleBytes() != 0 {
			t.Errorf("%s: %v was not taken", f, row)
		}
		if r.Row(0, got); !slices.Equal(got, row) {
			t.Errorf("%s: %v, want %v", f, got, row)
		}
		row[0] = 0.5
		if r.Set(0, row) {
			t.Errorf("%s: %v was taken", f, row)
		}
	}
}

// TestChannelRows checks a group of two tokens with one scale a channel, by hand.
func TestChannelRows(t *testing.T) {
	r := Layout{Format: Int4, Tokens: 2}.Rows(2, 4)
	for _, group := range [][]float32{{0, 100, 15, 400}, {1, 1, 1, 1}} {
		if !r.AppendGroup(group) {
			t.Fatal("a finite group was reported as infinite")
		}
	}
	if want := []byte{0x00, 0xff, 0, 0}; !slices.Equal(r.Data, want) {
		t.Errorf("codes % x, want % x", r.Data, want)
	}
	checkHalves(t, "scale", r.Scale, []float32{1, 20, 0, 0})
	checkHalves(t, "min", r.Min, []float32{0, 100, 1, 1})
	got := make([]float32, 2)
	if r.Row(1, got); !slices.Equal(got, []float32{15, 400}) {
		t.Errorf("row %v", got)
	}
	if r.Bytes() != 4*1+2*2*2*2 || r.RowBytes() != 1 {
		t.Errorf("%d bytes, %d a row", r.Bytes(), r.RowBytes())
	}
}

func TestCopyFromAndSlice(t *testing.T) {
	for f := range formats {
		a := newProblem(f, fills["random"], 1, 40, 40, 9).k
		b := NewRows(f, 40, 9)
		b.Append(make([]float32, 40))
		b.CopyFrom(&a)
		s := a.Slice(2, 5)
		if s.Len() != 3 || b.Bytes() != a.Bytes() {
			t.Errorf("%s: %d rows, %d bytes", f, s.Len(), b.Bytes())
		}
		x, y, z := make([]float32, 40), make([]float32, 40), make([]float32, 40)
		a.Row(4, x)
		b.Row(4, y)
		s.Row(2, z)
		if !slices.Equal(x, y) || !slices.Equal(x, z) {
			t.Errorf("%s: row 4 is %v in the copy and %v in the slice, want %v", f, y, z, x)
		}
	}
}

// TestQuantisationError holds every format to the error that it promises: half a step and the rounding of
// what is stored.
func TestQuantisationError(t *testing.T) {
	for f := range formats {
		p := newProblem(f, fills["random"], 1, 100, 100, 50)
		q := newProblem(F32, fills["random"], 1, 100, 100, 50)
		row, exact := make([]float32, 100), make([]float32, 100)
		for i := range 50 {
			p.k.Row(i, row)
			q.k.Row(i, exact)
			least, most, _ := extent(exact, 1)
			size := max(-least, most)
			step := map[Format]float32{F32: 0, F16: size * 0x1p-10, BF16: size * 0x1p-7, Int8: size/127 + size*0x1p-10, Int4: (most-least)/15 + size*0x1p-8}[f]
			for c := range row {
				if d := row[c] - exact[c]; d > step/2 || -d > step/2 {
					t.Fatalf("%s: %g for %g, more than %g off", f, row[c], exact[c], step/2)
				}
			}
		}
	}
}
