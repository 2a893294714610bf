package kernel

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unsafe"
)

// formatGolden is what another program makes of the rows that it was given, by name.
type formatGolden map[string]json.RawMessage

func readFormatGolden(t *testing.T, name string) formatGolden {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "goldens", "formats", name))
	if err != nil {
		t.Fatal(err)
	}
	g := formatGolden{}
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// bytes are those that the golden has under a name.
func (g formatGolden) bytes(t *testing.T, name string) []byte {
	t.Helper()
	var text string
	if err := json.Unmarshal(g[name], &text); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return data
}

// floats are the binary32 numbers that the golden has under a name.
func (g formatGolden) floats(t *testing.T, name string) []float32 {
	t.Helper()
	data := g.bytes(t, name)
	return slices.Clone(unsafe.Slice((*float32)(unsafe.Pointer(&data[0])), len(data)/4))
}

// channels of the golden's rows.
func (g formatGolden) channels(t *testing.T) (n int) {
	t.Helper()
	if err := json.Unmarshal(g["channels"], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// ggmlRow puts a stored row as ggml lays it out: of each block its scale, its minimum, its fifth bits, its codes.
func ggmlRow(b *Blocks, row []byte, dim int) (out []byte) {
	codes, scales := row[:codeBytes(b.Bits, dim)], row[codeBytes(b.Bits, dim):]
	size, scale := 32*b.Bits/8, b.Scale.bytes()
	for i := range dim / 32 {
		block := codes[i*size : (i+1)*size]
		out = append(out, scales[i*scale:(i+1)*scale]...)
		if b.Bits == 5 {
			out = append(out, block[16:]...)
			block = block[:16]
		}
		out = append(out, block...)
	}
	return out
}

// TestGGML holds the formats of ggml to the byte against ggml's own quantisers, and what they decode to.
func TestGGML(t *testing.T) {
	g := readFormatGolden(t, "ggml.json")
	x, dim := g.floats(t, "rows"), g.channels(t)
	for name, b := range map[string]*Blocks{"q8_0": Q8(), "q4_0": Q4(), "q4_1": Q4Min(), "q5_0": Q5(), "q5_1": Q5Min(), "iq4_nl": NonLinear()} {
		want, values := g.bytes(t, name), g.floats(t, name+" values")
		r := Blockwise(b).Rows(dim, len(x)/dim)
		got := make([]float32, dim)
		for i := range len(x) / dim {
			r.Append(x[i*dim : (i+1)*dim])
			row := ggmlRow(b, r.Data[i*r.stride:(i+1)*r.stride], dim)
			for block := range slices.Chunk(row, len(row)*32/dim) {
				w := want[:len(block)]
				want = want[len(block):]
				// Zeros in iq4_nl have scale 0 and, in ggml, the codes that the block before left in memory.
				if !slices.Equal(block, w) && !(b.Refit && block[0] == 0 && block[1] == 0 && w[0] == 0 && w[1] == 0) {
					t.Errorf("%s: a block of row %d is\n%x, ggml has\n%x", name, i, block, w)
				}
			}
			r.Row(i, got)
			for c, v := range got {
				if w := values[i*dim+c]; math.Abs(float64(v-w)) > 1e-7*math.Abs(float64(w)) {
					t.Fatalf("%s: row %d channel %d is %g, ggml has %g", name, i, c, v, w)
				}
			}
		}
	}
}

// codesOf are the codes of a stored row, one a byte.
func codesOf(b *Blocks, row []byte, dim int) []byte {
	values := make([]float32, dim)
	lookUp(row[:codeBytes(b.Bits, dim)], b.Bits, dim, 0, counting(b.Bits), values)
	codes := make([]byte, dim)
	for c, x := range values {
		codes[c] = byte(x)
	}
	return codes
}

// TestMLX holds codes, scales and biases against mx.quantize, bit for bit, and their bytes.
func TestMLX(t *testing.T) {
	g := readFormatGolden(t, "mlx.json")
	x, dim := g.floats(t, "rows"), g.channels(t)
	for _, bits := range []int{2, 4, 8} {
		for _, group := range []int{32, 64} {
			name := fmt.Sprintf("%d bits by %d", bits, group)
			part, size := formatGolden{}, 0
			if err := json.Unmarshal(g[name], &part); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(part["bytes"], &size); err != nil {
				t.Fatal(err)
			}
			codes, scales := part.bytes(t, "codes"), part.bytes(t, "scales")
			b := MLX(bits, group)
			r := Blockwise(b).Rows(dim, len(x)/dim)
			r.AppendRows(x)
			if r.Bytes() != int64(size) {
				t.Errorf("%s: %d bytes, mlx has %d", name, r.Bytes(), size)
			}
			for i := range r.Len() {
				row := r.Data[i*r.stride : (i+1)*r.stride]
				if got, want := codesOf(b, row, dim), codes[i*dim:(i+1)*dim]; !slices.Equal(got, want) {
					t.Errorf("%s: row %d has codes\n%v, mlx\n%v", name, i, got, want)
				}
				n := len(scales) / r.Len()
				if got, want := row[codeBytes(bits, dim):], scales[i*n:(i+1)*n]; !slices.Equal(got, want) {
					t.Errorf("%s: row %d has scales %x, mlx %x", name, i, got, want)
				}
			}
		}
	}
}

// TestQuantisedCaches holds what transformers' quantised caches hold, of quanto and of HQQ, after a prompt and after all was
// quantised again: codes, scales and the values that they are decoded to. HQQ's zeros are means in binary32, whose last bit
// depends on the order of summation: a row in a hundred may be rounded otherwise.
func TestQuantisedCaches(t *testing.T) {
	type state struct {
		Codes, Scales, Values []byte
		Quantised, Waiting    int
	}
	for _, tt := range []struct {
		name string
		bits []int
		most float64 // share of rows that may differ
		make func(heads [][]float32, bits, group int) *Blocks
	}{
		{"quanto", []int{2, 4}, 0, func(_ [][]float32, bits, group int) *Blocks { return Quanto(bits, group) }},
		{"hqq", []int{2, 4, 8}, 0.016, func(heads [][]float32, bits, group int) *Blocks {
			return HQQ(bits, group, HQQRounds(heads, bits, group))
		}},
	} {
		g := readFormatGolden(t, tt.name+".json")
		x, dim := g.floats(t, "rows"), g.channels(t)
		number := func(name string) (n int) {
			if err := json.Unmarshal(g[name], &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		heads, prompt, residual := number("heads"), number("prompt"), number("residual")
		tokens := len(x) / dim / heads
		for _, bits := range tt.bits {
			for _, group := range []int{32, 64} {
				name := fmt.Sprintf("%s, %d bits by %d", tt.name, bits, group)
				var states []state
				if err := json.Unmarshal(g[fmt.Sprintf("%d bits by %d", bits, group)], &states); err != nil {
					t.Fatal(err)
				}
				var rows [][]float32
				for h := range heads {
					rows = append(rows, x[h*tokens*dim:(h+1)*tokens*dim])
				}
				var prompts [][]float32
				for _, r := range rows {
					prompts = append(prompts, r[:prompt*dim])
				}
				b := tt.make(prompts, bits, group)
				l := Blockwise(b)
				l.Residual = ResidualWindow{Flush: residual, Anew: true}
				differ, of := 0, 0
				compare := func(h int, r *Rows, s state) {
					if r.own() != s.Quantised || r.Then.own() != s.Waiting {
						t.Fatalf("%s: %d rows and %d that wait, want %d and %d", name, r.own(), r.Then.own(), s.Quantised, s.Waiting)
					}
					values := unsafe.Slice((*float32)(unsafe.Pointer(&s.Values[0])), len(s.Values)/4)
					got := make([]float32, dim)
					for i := range r.own() {
						row, at := r.Data[i*r.stride:(i+1)*r.stride], h*s.Quantised+i
						n := len(s.Scales) / heads / s.Quantised
						same := slices.Equal(codesOf(b, row, dim), s.Codes[at*dim:(at+1)*dim]) && slices.Equal(row[codeBytes(bits, dim):], s.Scales[at*n:(at+1)*n])
						r.decodeExact(i, got)
						same = same && slices.Equal(got, values[at*dim:(at+1)*dim])
						if of++; !same {
							differ++
							t.Logf("%s: head %d row %d: codes\n%v, want\n%v\nscales %x, want %x", name, h, i, codesOf(b, row, dim), s.Codes[at*dim:(at+1)*dim], row[codeBytes(bits, dim):], s.Scales[at*n:(at+1)*n])
						}
					}
				}
				for h := range heads {
					r, room := l.Rows(dim, tokens), make([]float32, l.Room(dim))
					for i := range tokens {
						r.Append(rows[h][i*dim : (i+1)*dim])
						r.Flush(room)
						if i == prompt-1 {
							r.EndPrompt()
							compare(h, &r, states[0])
						}
					}
					compare(h, &r, states[1])
				}
				if float64(differ) > tt.most*float64(of) {
					t.Errorf("%s: %d of %d rows differ", name, differ, of)
				}
			}
		}
	}
}
