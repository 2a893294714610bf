// Package gguf reads the header of a GGUF file, and says what the cache of its model holds. Tensors are not read.
//
// The format is that of ggml-org/ggml docs/gguf.md, versions 2 and 3. Why no library: the one that reads it takes as much
// memory as a file declares, and panics on some that are broken; what a plan needs is a dozen numbers.
//
//   - gguf.go: Read, from bytes to named values; every size is held against what is left of the file before memory is taken
//   - model.go: Model, from values to what is cached
package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"

	"kvgauge/sim/record"
)

// Magic is what a file begins with.
const Magic = "GGUF"

const (
	maxKey    = 1 << 16 // bytes of a name
	maxText   = 1 << 20 // bytes of a text that is kept
	maxArray  = 1 << 14 // elements of an array that is kept
	maxDepth  = 4       // arrays in arrays
	alignment = 32      // of tensors, where the file does not say

	maxElements = 1 << 50 // of a tensor, and bytes before it: no sum of them overflows
)

// Header is what stands before the tensors.
type Header struct {
	Values map[string]any // int64, uint64 beyond it, float64, bool, string, []int64 of an array of integers or bools, or Unread
	Data   int64          // bytes of tensors in the file; 0 where they are not all there
	Lacks  string         // why Data is 0
}

// Unread says what a value is that is not kept, such as an array of texts.
type Unread string

// reader reads a header and counts.
type reader struct {
	in   *bufio.Reader
	at   int64
	size int64 // of the file
}

// Read reads the header of a file of size bytes. Errors name the key and the byte.
func Read(in io.Reader, size int64) (Header, error) {
	r := &reader{in: bufio.NewReaderSize(in, 1<<16), size: size}
	h, err := r.header()
	if err != nil {
		return Header{}, fmt.Errorf("GGUF header: byte %d: %w", r.at, err)
	}
	return h, nil
}

func (r *reader) header() (h Header, err error) {
	magic, err := r.bytes(4, 4)
	if err != nil {
		return h, err
	}
	if string(magic) != Magic {
		return h, fmt.Errorf("%q, want %s", magic, Magic)
	}
	version, err := r.uint(4)
	if err != nil {
		return h, err
	}
	if version != 2 && version != 3 {
		return h, fmt.Errorf("version %d, want 2 or 3, little endian", version)
	}
	tensors, err := r.uint(8)
	if err != nil {
		return h, err
	}
	count, err := r.uint(8)
	if err != nil {
		return h, err
	}
	// A value takes at least 13 bytes, a tensor's line 32.
	if left := uint64(r.size - r.at); count > left/13 || tensors > left/24 {
		return h, r.ends("%d tensors and %d values", tensors, count)
	}
	h.Values = map[string]any{}
	for range count {
		key, err := r.text(maxKey)
		if err != nil {
			return h, fmt.Errorf("name of a value: %w", err)
		}
		kind, err := r.uint(4)
		if err != nil {
			return h, fmt.Errorf("%s: %w", key, err)
		}
		v, err := r.value(kind, 0)
		switch _, twice := h.Values[key]; {
		case err != nil:
			return h, fmt.Errorf("%s: %w", strconv.Quote(key), err)
		case twice:
			return h, fmt.Errorf("%s: it stands there twice", strconv.Quote(key))
		}
		h.Values[key] = v
	}
	end, err := r.tensors(tensors)
	if err != nil {
		return h, fmt.Errorf("tensors: %w", err)
	}
	align := int64(alignment)
	v := &values{of: h.Values}
	if v.has("general.alignment") {
		align = int64(v.number("general.alignment", 1, 1<<20, alignment))
	}
	files := 1
	if v.has("split.count") { // of a model that is cut into several files
		files = v.number("split.count", 0, math.MaxUint16, 1)
	}
	if v.err != nil {
		return h, v.err
	}
	switch start := (r.at + align - 1) / align * align; {
	case tensors == 0:
		h.Lacks = "the file has no tensors"
	case files > 1:
		h.Lacks = fmt.Sprintf("the file is one of %d that the model is cut into", files)
	case r.size <= start:
		h.Lacks = "the file is a header without its tensors"
	case end > uint64(r.size-start):
		h.Lacks = fmt.Sprintf("the file is cut short: its tensors take %d bytes, and it holds %d of them", end, r.size-start)
	default:
		h.Data = r.size - start
	}
	return h, nil
}

// tensors goes over the lines of tensors, and returns where they end, from the first byte of them all.
func (r *reader) tensors(n uint64) (end uint64, err error) {
	for range n {
		name, err := r.text(maxKey)
		if err != nil {
			return 0, err
		}
		of, err := r.tensor()
		if err != nil {
			return 0, fmt.Errorf("%s: %w", strconv.Quote(name), err)
		}
		end = max(end, of)
	}
	return end, nil
}

// tensor reads the line of a tensor behind its name, and returns where the tensor ends.
func (r *reader) tensor() (end uint64, err error) {
	dims, err := r.uint(4)
	if err != nil {
		return 0, err
	}
	if dims > 8 {
		return 0, fmt.Errorf("%d dimensions, want at most 8", dims)
	}
	elements := uint64(1)
	for range dims {
		n, err := r.uint(8)
		if err != nil {
			return 0, err
		}
		over, low := bits.Mul64(elements, n)
		if elements = low; over > 0 || low > maxElements {
			return 0, fmt.Errorf("more than %d elements", uint64(maxElements))
		}
	}
	kind, err := r.uint(4)
	if err != nil {
		return 0, err
	}
	offset, err := r.uint(8)
	if err != nil {
		return 0, err
	}
	if offset > maxElements {
		return 0, fmt.Errorf("offset %d, want at most %d", offset, uint64(maxElements))
	}
	return offset + tensorBytes(kind, elements), nil
}

// widths are the bytes of the types of numbers, by their code; 0 of others.
var widths = [...]int{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}

// The codes of the types that are no integers.
const (
	typeFloat = 6
	typeBool  = 7
	typeText  = 8
	typeArray = 9
	typeReal  = 12
)

// value reads a value; nil where it is none that is kept.
func (r *reader) value(kind uint64, depth int) (any, error) {
	switch {
	case kind >= uint64(len(widths)):
		return nil, fmt.Errorf("type %d, want 0 to %d", kind, len(widths)-1)
	case kind == typeText:
		return r.text(maxText)
	case kind == typeArray:
		return r.array(depth)
	}
	n, err := r.uint(widths[kind])
	return number(kind, n), err
}

// number is the value of n, as a type reads its bytes.
func number(kind, n uint64) any {
	switch kind {
	case typeFloat:
		return float64(math.Float32frombits(uint32(n)))
	case typeReal:
		return math.Float64frombits(n)
	case typeBool:
		return n != 0
	case 1:
		return int64(int8(n))
	case 3:
		return int64(int16(n))
	case 5:
		return int64(int32(n))
	}
	if n > math.MaxInt64 {
		return n
	}
	return int64(n)
}

// array reads an array.
func (r *reader) array(depth int) (any, error) {
	kind, err := r.uint(4)
	if err != nil {
		return nil, err
	}
	n, err := r.uint(8)
	if err != nil {
		return nil, err
	}
	width := uint64(8) // of a text or an array at least
	if kind < uint64(len(widths)) && widths[kind] > 0 {
		width = uint64(widths[kind])
	}
	switch left := uint64(r.size - r.at); {
	case kind >= uint64(len(widths)):
		return nil, fmt.Errorf("array of type %d, want 0 to %d", kind, len(widths)-1)
	case n > left/width:
		return nil, r.ends("an array of %d elements", n)
	case depth == maxDepth:
		return nil, fmt.Errorf("arrays in arrays, %d deep", depth)
	case kind == typeArray:
		for range n {
			if _, err := r.array(depth + 1); err != nil {
				return nil, err
			}
		}
		return Unread("an array of arrays"), nil
	case kind == typeText:
		for range n {
			size, err := r.uint(8)
			if err == nil {
				err = r.skip(size)
			}
			if err != nil {
				return nil, err
			}
		}
		return Unread("an array of texts"), nil
	case kind == typeFloat || kind == typeReal:
		return Unread("an array of floats"), r.skip(n * width)
	case n > maxArray:
		return Unread(fmt.Sprintf("an array of %d numbers", n)), r.skip(n * width)
	}
	all := make([]int64, n)
	for i := range all {
		x, err := r.uint(int(width))
		if err != nil {
			return nil, err
		}
		switch v := number(kind, x).(type) {
		case int64:
			all[i] = v
		case bool:
			if v {
				all[i] = 1
			}
		default:
			return nil, fmt.Errorf("element %d: %v, want at most %d", i, v, math.MaxInt64)
		}
	}
	return all, nil
}

// text reads a text of at most so many bytes.
func (r *reader) text(most uint64) (string, error) {
	n, err := r.uint(8)
	if err != nil {
		return "", err
	}
	b, err := r.bytes(n, most)
	return string(b), err
}

// uint reads a number of so many bytes.
func (r *reader) uint(width int) (uint64, error) {
	var b [8]byte
	if err := r.full(b[:width]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// bytes reads n bytes, at most so many.
func (r *reader) bytes(n, most uint64) ([]byte, error) {
	switch {
	case n > most:
		return nil, fmt.Errorf("%d bytes, want at most %d", n, most)
	case n > uint64(r.size-r.at):
		return nil, r.ends("%d bytes", n)
	}
	b := make([]byte, n)
	return b, r.full(b)
}

// full fills b.
func (r *reader) full(b []byte) error {
	n, err := io.ReadFull(r.in, b)
	r.at += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEnds
	}
	return err
}

// skip goes over n bytes.
func (r *reader) skip(n uint64) error {
	if n > uint64(r.size-r.at) {
		return r.ends("%d bytes", n)
	}
	skipped, err := io.CopyN(io.Discard, r.in, int64(n))
	r.at += skipped
	if errors.Is(err, io.EOF) {
		return errEnds
	}
	return err
}

// errEnds is the error of a file that is cut short.
var errEnds = errors.New("the file ends within its header")

// ends is that error where what is to come is known not to be there.
func (r *reader) ends(want string, args ...any) error {
	return fmt.Errorf("%w: %s to come, and %s left", errEnds, fmt.Sprintf(want, args...), record.Count(int(r.size-r.at), "byte is", "bytes are"))
}
