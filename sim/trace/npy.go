package trace

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"codeberg.org/sbinet/npyio/npy"
)

// member is one file of a folder or archive of npy files.
type member struct {
	size int64
	open func() (io.ReadCloser, error)
}

// The file of a folder or archive that holds what a safetensors header holds in __metadata__.
const metadataFile = "metadata.json"

// openNPY makes a container of members NAME.npy. Without metadata.json the trace is of a model called
// name, and has no rotary embedding. Arrays that are not the trace's own are carried along where a
// safetensors file can hold them.
func openNPY(members map[string]member, name string) (*container, error) {
	c := &container{meta: map[string]string{}, tensors: map[string]tensor{}}
	if m, ok := members[metadataFile]; ok {
		var err error
		if c.meta, err = readMetadata(m); err != nil {
			return nil, fmt.Errorf("%s: %w", metadataFile, err)
		}
	}
	for field, absent := range map[string]string{"format": formatName, "version": firstVersion, "model": name} {
		if _, ok := c.meta[field]; !ok {
			c.meta[field] = absent
		}
	}
	for _, file := range slices.Sorted(maps.Keys(members)) {
		array, ok := strings.CutSuffix(file, ".npy")
		if !ok {
			continue
		}
		x, err := npyTensor(members[file])
		switch own := isOwn(array); {
		case err != nil && own:
			return nil, within("tensor", array, err)
		case err != nil && layerTensor.MatchString(array):
			c.unreadable = append(c.unreadable, array)
		case err == nil && (own || array != "__metadata__"):
			c.tensors[array] = x
		}
	}
	return c, nil
}

// readMetadata reads metadata.json: a flat object of strings.
func readMetadata(m member) (map[string]string, error) {
	if m.size > maxHeader {
		return nil, fmt.Errorf("%d bytes, want at most %d", m.size, maxHeader)
	}
	r, err := m.open()
	if err != nil {
		return nil, cause(err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, m.size))
	if err != nil {
		return nil, cause(err)
	}
	return parseStrings(text)
}

// npyTypes maps NumPy's element types to those of safetensors.
var npyTypes = map[string]string{
	"|b1": "BOOL", "|u1": "U8", "|i1": "I8", "<u2": "U16", "<i2": "I16", "<f2": "F16", "<u4": "U32", "<i4": "I32",
	"<f4": "F32", "<u8": "U64", "<i8": "I64", "<f8": "F64", "<c8": "C64",
}

// npyTensor reads the header of an npy file and checks its size against it.
func npyTensor(m member) (tensor, error) {
	r, err := m.open()
	if err != nil {
		return tensor{}, cause(err)
	}
	defer r.Close()
	header, err := npyHeader(r)
	if err != nil {
		return tensor{}, err
	}
	d, err := npyDescr(header)
	if err != nil {
		return tensor{}, err
	}
	numpy := strings.Trim(d.Type, `'"`)
	x := tensor{dtype: npyTypes[numpy], shape: d.Shape}
	switch {
	case x.dtype == "":
		return tensor{}, fmt.Errorf("dtype %s, want <f4 or <f2", printable(numpy))
	case d.Fortran:
		return tensor{}, errors.New("fortran order, want C order")
	case len(d.Shape) > maxRank:
		return tensor{}, fmt.Errorf("%d dimensions, want at most %d", len(d.Shape), maxRank)
	case len(d.Shape) > 0 && slices.Min(d.Shape) < 0:
		return tensor{}, fmt.Errorf("shape %v, want no negative size", d.Shape)
	}
	n, ok := elements(d.Shape)
	hi, lo := bits.Mul64(uint64(n), uint64(dtypeBits[x.dtype]/8))
	if x.bytes = m.size - int64(len(header)); !ok || hi != 0 || lo != uint64(x.bytes) {
		return tensor{}, fmt.Errorf("%d bytes of data, want those of shape %v in %s", x.bytes, d.Shape, numpy)
	}
	x.open = func() (io.ReadCloser, error) {
		r, err := m.open()
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.Discard, r, int64(len(header))); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		return r, nil
	}
	return x, nil
}

// npyHeader reads the bytes before the data: magic, version, length and a Python dictionary of at most 64
// KiB. Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
func npyHeader(r io.Reader) ([]byte, error) {
	head := make([]byte, 10)
	if n, err := io.ReadFull(r, head); err != nil || [6]byte(head) != npy.Magic {
		return nil, fmt.Errorf("%s, want a NumPy array", cmp.Or(kindOfHead(head[:n]), "no npy header"))
	}
	n := int(binary.LittleEndian.Uint16(head[8:]))
	if major := head[6]; major == 2 {
		head = append(head, 0, 0)
		if _, err := io.ReadFull(r, head[10:]); err != nil {
			return nil, fmt.Errorf("npy header: %w", err)
		}
		if high := binary.LittleEndian.Uint16(head[10:]); high != 0 {
			return nil, errors.New("npy header: more than 64 KiB, want less")
		}
	} else if major != 1 {
		return nil, fmt.Errorf("npy header: version %d, want 1 or 2", major)
	}
	start := len(head)
	head = append(head, make([]byte, n)...)
	if _, err := io.ReadFull(r, head[start:]); err != nil {
		return nil, fmt.Errorf("npy header: %w", err)
	}
	return head, nil
}

// descr is what an npy header says of its array.
type descr struct {
	Type    string // in quotes
	Fortran bool
	Shape   []int
}

// npyDescr parses a header. The library slices the dictionary without looking, so that a header which
// NumPy did not write can make it panic.
func npyDescr(header []byte) (d descr, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("npy header: want a dictionary as NumPy writes it: descr, fortran_order, shape")
		}
	}()
	r, err := npy.NewReader(bytes.NewReader(header))
	if err != nil {
		return d, fmt.Errorf("npy header: %w", err)
	}
	return descr(r.Header.Descr), nil
}
