package trace

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
)

// converter reads elements that are converted a block at a time, so that a tensor is never held twice.
type converter struct {
	io.ReadCloser
	width   int                 // bytes of an element before
	convert func([]byte) []byte // in place; what it returns may be shorter
	block   []byte
	rest    []byte // of the block, converted and not read yet
}

// converted passes a tensor's elements through a conversion.
func (x tensor) converted(width int, convert func([]byte) []byte) tensor {
	size, open := min(chunk, x.bytes), x.open
	x.open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		return &converter{ReadCloser: r, width: width, convert: convert, block: make([]byte, size)}, nil
	}
	return x
}

func (c *converter) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		n, err := io.ReadFull(c.ReadCloser, c.block)
		if n -= n % c.width; n == 0 {
			return 0, err // of a part of an element, io.ErrUnexpectedEOF
		}
		c.rest = c.convert(c.block[:n])
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// swapped reverses the bytes of every unit: that of a big-endian tensor.
func (x tensor) swapped(unit int) tensor {
	return x.converted(unit, func(b []byte) []byte {
		for u := range slices.Chunk(b, unit) {
			slices.Reverse(u)
		}
		return b
	})
}

// narrowed rounds a tensor of F64, which is wider than what anything here computes with, to F32. What lies beyond F32 becomes
// infinite, which readers of rows refuse.
func (x tensor) narrowed() tensor {
	x = x.converted(8, func(b []byte) []byte {
		for i := range len(b) / 8 {
			f := math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(float32(f)))
		}
		return b[:len(b)/2]
	})
	x.dtype, x.bytes = "F32", x.bytes/2
	return x
}

// columnBlock is the number of bytes that a reader of columns holds, unless one row has more: larger than chunk, since
// every column takes a read a block.
const columnBlock = 16 << 20

// columns reads an array in Fortran order, first dimension fastest, as one in C order: some rows of every column at a time.
type columns struct {
	io.Closer
	r     io.ReaderAt
	first int64 // byte of r at which the elements begin
	shape []int
	width int   // bytes of an element
	steps []int // bytes between neighbours along each dimension but the first, in a row of C order

	row   int // of the next block
	block []byte
	strip []byte // the block's rows of one column
	rest  []byte // of the block, not read yet
}

// newColumns reads from r, which it closes, blocks of at most so many bytes.
func newColumns(r io.ReadCloser, first int64, shape []int, width, block int) (*columns, error) {
	n, _ := elements(shape)
	at, ok := r.(io.ReaderAt)
	if !ok { // deflated: nothing is read before what lies in front of it
		all, err := inflate(r, first+n*int64(width))
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		at = all
	}
	row, steps := width, make([]int, len(shape))
	for i := len(shape) - 1; i > 0; i-- {
		steps[i] = row
		row *= shape[i]
	}
	rows := min(shape[0], max(1, block/row))
	return &columns{
		Closer: r, r: at, first: first, shape: shape, width: width, steps: steps,
		block: make([]byte, rows*row), strip: make([]byte, rows*width),
	}, nil
}

// pieces are a stream in memory, all but the last of pieceSize bytes: what grows so is never copied.
type pieces [][]byte

const pieceSize = 1 << 20

// inflate reads size bytes. Memory grows with what there is, since a size is easily claimed.
func inflate(r io.Reader, size int64) (pieces, error) {
	var all pieces
	for size > 0 {
		b := make([]byte, min(size, pieceSize))
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, wantMore(err)
		}
		all = append(all, b)
		size -= int64(len(b))
	}
	return all, nil
}

// ReadAt is that of io.ReaderAt.
func (p pieces) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		i := int(at / pieceSize)
		if i >= len(p) || int(at%pieceSize) >= len(p[i]) {
			return n, io.EOF
		}
		more := copy(b[n:], p[i][at%pieceSize:])
		n += more
		at += int64(more)
	}
	return n, nil
}

// wantMore is the error of an end that comes too early.
func wantMore(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *columns) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.row == c.shape[0] {
			return 0, io.EOF
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// fill reads the next block: its rows of each column, in the order in which columns lie in the file.
func (c *columns) fill() error {
	rows := min(len(c.strip)/c.width, c.shape[0]-c.row)
	row := len(c.block) / (len(c.strip) / c.width)
	strip := c.strip[:rows*c.width]
	at := c.first + int64(c.row)*int64(c.width)
	index := make([]int, len(c.shape)) // of the column
	for to := 0; to >= 0; to = c.next(index, to) {
		if n, err := c.r.ReadAt(strip, at); n < len(strip) {
			return wantMore(err)
		}
		for t := range rows {
			copy(c.block[t*row+to:], strip[t*c.width:(t+1)*c.width])
		}
		at += int64(c.shape[0]) * int64(c.width)
	}
	c.row += rows
	c.rest = c.block[:rows*row]
	return nil
}

// next steps index to the column that follows in Fortran order. It returns where this one lies in a row of C order, given
// where the one before does; -1 after the last.
func (c *columns) next(index []int, to int) int {
	for i := 1; i < len(c.shape); i++ {
		index[i]++
		to += c.steps[i]
		if index[i] < c.shape[i] {
			return to
		}
		to -= index[i] * c.steps[i]
		index[i] = 0
	}
	return -1
}
