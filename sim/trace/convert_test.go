package trace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
)

// digitsOf numbers the elements of a shape in C order, and lays them out in Fortran order.
func digitsOf(shape []int, width int) (c, fortran []byte) {
	n, _ := elements(shape)
	fortran = make([]byte, int(n)*width)
	for i := range int(n) {
		var u [8]byte
		binary.LittleEndian.PutUint64(u[:], uint64(i+1))
		c = append(c, u[:width]...)
		at, rest := 0, i
		for d := len(shape) - 1; d >= 0; d-- {
			stride := 1
			for _, s := range shape[:d] {
				stride *= s
			}
			at += rest % shape[d] * stride
			rest /= shape[d]
		}
		copy(fortran[at*width:], u[:width])
	}
	return c, fortran
}

func TestColumns(t *testing.T) {
	for _, shape := range [][]int{{1, 1}, {5, 1}, {1, 5}, {3, 4}, {7, 2, 3}, {6, 1, 4}, {4, 3, 2, 5}} {
		for _, width := range []int{1, 2, 4, 8} {
			for _, block := range []int{0, 50, 1 << 20} { // a row, some rows, all
				want, file := digitsOf(shape, width)
				at := section(bytes.NewReader(append([]byte("head"), file...)), 0, int64(4+len(file)))
				for _, stream := range []bool{false, true} {
					r, _ := at()
					if stream {
						r = io.NopCloser(iotest.OneByteReader(r))
					}
					c, err := newColumns(r, 4, shape, width, block)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := io.ReadAll(iotest.HalfReader(c)); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%v of %d bytes, blocks of %d: %v, %v, want %v", shape, width, block, got, err, want)
					}
				}
			}
		}
	}
}

// A file that was cut short after its header was read.
func TestColumnsCutShort(t *testing.T) {
	_, file := digitsOf([]int{4, 3}, 4)
	r, _ := section(bytes.NewReader(file), 0, 40)()
	c, err := newColumns(r, 0, []int{4, 3}, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != io.ErrUnexpectedEOF {
		t.Errorf("file: %v, want %v", err, io.ErrUnexpectedEOF)
	}
	stream := io.NopCloser(strings.NewReader("short"))
	if _, err := newColumns(stream, 0, []int{1 << 40, 3}, 4, columnBlock); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("stream: %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

// Pieces are read across their ends.
func TestPieces(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abc"), 2*pieceSize/13+5)
	all, err := inflate(bytes.NewReader(want), int64(len(want)))
	if err != nil || len(all) != 3 {
		t.Fatalf("%d pieces, %v", len(all), err)
	}
	if err := iotest.TestReader(io.NewSectionReader(all, 0, int64(len(want))), want); err != nil {
		t.Error(err)
	}
}

// Blocks end between elements, however the bytes come.
func TestConverter(t *testing.T) {
	const n = chunk/8 + 5
	var big, little []byte
	for i := range n {
		f := math.Float64bits(float64(i) + 0.25)
		big = binary.BigEndian.AppendUint64(big, f)
		little = binary.LittleEndian.AppendUint32(little, math.Float32bits(float32(i)+0.25))
	}
	x := tensor{dtype: "F64", shape: []int{n}, bytes: int64(len(big)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(iotest.HalfReader(bytes.NewReader(big))), nil
	}}
	x = x.swapped(8).narrowed()
	got, err := x.read()
	if err != nil || x.dtype != "F32" || !bytes.Equal(got, little) {
		t.Errorf("%s of %d bytes, %v, want those of F32", x.dtype, len(got), err)
	}
	whole := big
	for _, cut := range []int{0, 3, 8, 12} {
		big = whole[:cut]
		if _, err := x.read(); err == nil {
			t.Errorf("%d bytes of %d: no error", cut, len(whole))
		}
	}
}

// What F32 does not hold is found like any value that is not finite.
func TestNarrowedBeyondF32(t *testing.T) {
	meta, arrays := small("F32")
	wide := make([]byte, 0, 8*48)
	for i := range 48 {
		wide = binary.LittleEndian.AppendUint64(wide, math.Float64bits([]float64{1, 1e39}[i/47]))
	}
	arrays["layers.5.v"] = array{"F64", []int{6, 2, 4}, wide}
	arrays["layers.5.o"] = array{"F64", []int{4, 4, 4}, append(wide, wide[:8*16]...)}
	arrays["other"] = array{"F64", []int{48}, wide} // carried along as it is
	tr, err := fromBytes(safetensorsOf(meta, arrays))
	if err != nil {
		t.Fatal(err)
	}
	if x := tr.src.(*container).tensors["other"]; x.dtype != "F64" || x.bytes != 384 {
		t.Errorf("carried %+v", x)
	}
	if _, err := tr.Read(5, 5, 0); err != nil {
		t.Error(err)
	}
	if o, err := tr.Outputs(5, 2, 2); err != nil || o[3][0] != 1 {
		t.Errorf("outputs %v, %v", o, err)
	}
	if _, err := tr.Read(5, 6, 0); err == nil || !strings.Contains(err.Error(), "tensor layers.5.v: token 5: head 1: channel 3: +Inf") {
		t.Errorf("error %v", err)
	}
}
