package trace

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// tensorOfBytes is a tensor in memory, read as a file would be or, streamed, as an inflated member would.
func tensorOfBytes(b []byte, shape []int, dtype string, streamed bool) tensor {
	return tensor{dtype: dtype, shape: shape, bytes: int64(len(b)), open: func() (io.ReadCloser, error) {
		if streamed {
			return io.NopCloser(iotest.OneByteReader(bytes.NewReader(b))), nil
		}
		return section(bytes.NewReader(b), 0, int64(len(b)))()
	}}
}

// drawShape draws an array of two or three axes and returns its elements, which tell where they stood.
func drawShape(t *rapid.T) (b []byte, shape []int, streamed bool) {
	shape = rapid.SliceOfN(rapid.IntRange(1, 6), 2, 3).Draw(t, "shape")
	n, _ := elements(shape)
	for i := range n {
		b = append(b, byte(i), byte(i>>8))
	}
	return b, shape, rapid.Bool().Draw(t, "streamed")
}

// What is kept of an axis is what indexing gives, in whatever order of axes.
func TestTake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, shape, streamed := drawShape(t)
		axis := rapid.IntRange(0, len(shape)-1).Draw(t, "axis")
		keep := rapid.SliceOfNDistinct(rapid.IntRange(0, shape[axis]-1), 0, -1, rapid.ID).Draw(t, "keep")
		slices.Sort(keep)
		x := tensorOfBytes(b, shape, "F16", streamed).take(axis, keep)
		got, err := x.read()
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for i := range len(b) / 2 {
			if slices.Contains(keep, indexOf(i, shape)[axis]) {
				want = append(want, b[2*i:2*i+2]...)
			}
		}
		size, _ := elements(x.shape)
		if !bytes.Equal(got, want) || int64(len(want)) != x.bytes || 2*int(size) != len(want) || x.shape[axis] != len(keep) {
			t.Errorf("shape %v: %v, want %v", x.shape, got, want)
		}
	})
}

// Turned twice a tensor is what it was; turned once, element [i j ...] is that of [j i ...].
func TestTurned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, shape, streamed := drawShape(t)
		x := tensorOfBytes(b, shape, "F16", streamed)
		y := x.turned()
		got, err := y.read()
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(b) / 2 {
			at := indexOf(i, y.shape)
			at[0], at[1] = at[1], at[0]
			from := 0
			for j, k := range at {
				from = from*shape[j] + k
			}
			if !bytes.Equal(got[2*i:2*i+2], b[2*from:2*from+2]) {
				t.Fatalf("element %v is not the one of %v before", indexOf(i, y.shape), at)
			}
		}
		if back, err := y.turned().read(); err != nil || !bytes.Equal(back, b) {
			t.Errorf("turned twice: %v, %v", back, err)
		}
	})
}

// An end that comes too early is one, wherever it comes.
func TestTakeCut(t *testing.T) {
	for n := range 24 {
		x := tensorOfBytes(make([]byte, n), []int{3, 2, 2}, "F16", true)
		x.bytes = 24
		if _, err := x.take(1, []int{1}).read(); err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes of 24: %v", n, err)
		}
	}
}
