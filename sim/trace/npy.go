package trace

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// npyExt ends the names of the arrays' files.
const npyExt = ".npy"

// openNPY makes a container of members NAME.npy. Scalars among them are metadata, beside those of metadata.json. Without
// any the trace is of a model called name, and has no rotary embedding. Arrays that are not the trace's own are carried
// along where a safetensors file can hold them.
func openNPY(members map[string]member, name string) (*container, error) {
	c := &container{meta: map[string]string{}, tensors: map[string]tensor{}}
	if m, ok := members[metadataFile]; ok {
		var err error
		if c.meta, c.ignored, err = readMetadata(m); err != nil {
			return nil, fmt.Errorf("%s: %w", metadataFile, err)
		}
	}
	arrays, err := c.takeScalars(members)
	if err != nil {
		return nil, err
	}
	declared := c.meta[dtypeField]
	delete(c.meta, dtypeField) // of these files, not of the trace
	for field, absent := range map[string]string{"format": formatName, "version": firstVersion, "model": name} {
		if _, ok := c.meta[field]; !ok {
			c.meta[field] = absent
		}
	}
	for _, array := range arrays {
		x, err := npyTensor(members[array+npyExt], isRead(array), declared)
		switch own := isRead(array); {
		case err != nil && own:
			return nil, within("tensor", array, err)
		case err != nil:
			c.unreadable = append(c.unreadable, array)
			c.ignored = append(c.ignored, fmt.Sprintf("array %s: %v; ignored", printable(array), err))
		case array == "__metadata__":
			c.ignored = append(c.ignored, "array __metadata__: no name of a tensor, ignored")
		default:
			c.tensors[array] = x
		}
	}
	if declared != "" && !c.holds(declaredType(declared)) {
		c.ignored = append(c.ignored, fmt.Sprintf("metadata field %s: %s, which no array is, ignored", dtypeField, printable(declared)))
	}
	return c, nil
}

// holds says whether any tensor has an element type.
func (c *container) holds(dtype string) bool {
	for _, x := range c.tensors {
		if x.dtype == dtype {
			return true
		}
	}
	return false
}

// npyTypes maps NumPy's element types, without the order of their bytes, to those of safetensors.
var npyTypes = map[string]string{
	"b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "f2": "F16", "u4": "U32", "i4": "I32",
	"f4": "F32", "u8": "U64", "i8": "I64", "f8": "F64", "c8": "C64",
}

// npyArray is what an npy file says of itself.
type npyArray struct {
	member
	header int64  // bytes before the elements
	numpy  string // the element type as NumPy writes it
	order  byte   // of its bytes: < little-endian, > big-endian, | neither
	code   string // the type without the order
	descr
}

// readNPY reads the header of an npy file.
func readNPY(m member) (a npyArray, err error) {
	r, err := m.open()
	if err != nil {
		return a, cause(err)
	}
	defer r.Close()
	header, err := npyHeader(r)
	if err != nil {
		return a, err
	}
	a.member, a.header = m, int64(len(header))
	if a.descr, err = npyDescr(header); err != nil {
		return a, err
	}
	switch a.numpy = strings.Trim(a.Type, `'"`); {
	case len(a.Shape) > maxRank:
		return a, fmt.Errorf("%d dimensions, want at most %d", len(a.Shape), maxRank)
	case len(a.Shape) > 0 && slices.Min(a.Shape) < 0:
		return a, fmt.Errorf("shape %v, want no negative size", a.Shape)
	}
	if len(a.numpy) > 1 && strings.IndexByte("<>|=", a.numpy[0]) >= 0 {
		a.order, a.code = a.numpy[0], a.numpy[1:]
	}
	return a, nil
}

// npyTensor reads the header of an npy file and checks its size against it. Elements that are the trace's own may be of a
// declared type that NumPy does not know, or F64; those that are carried along stay as they are.
func npyTensor(m member, own bool, declared string) (tensor, error) {
	a, err := readNPY(m)
	if err != nil {
		return tensor{}, err
	}
	x := tensor{shape: a.Shape, open: a.elements}
	if x.dtype, err = a.elementType(own, declared); err != nil {
		return tensor{}, err
	}
	width := dtypeBits[x.dtype] / 8
	if x.bytes, err = a.checkSize(width); err != nil {
		return tensor{}, err
	}
	if a.Fortran && len(a.Shape) > 1 && x.bytes > 0 {
		x.open = func() (io.ReadCloser, error) {
			r, err := m.open()
			if err != nil {
				return nil, err
			}
			return newColumns(r, a.header, a.Shape, width, columnBlock)
		}
	}
	if a.order == '>' && width > 1 {
		unit := width
		if x.dtype == "C64" { // two numbers
			unit /= 2
		}
		x = x.swapped(unit)
	}
	if own && x.dtype == "F64" {
		x = x.narrowed()
	}
	return x, nil
}

// checkSize compares the bytes after the header with the shape.
func (a *npyArray) checkSize(width int) (int64, error) {
	size := a.size - a.header
	n, ok := elements(a.Shape)
	hi, lo := bits.Mul64(uint64(n), uint64(width))
	if !ok || hi != 0 || lo != uint64(size) {
		return 0, fmt.Errorf("%d bytes of data, want those of shape %v in %s", size, a.Shape, printable(a.numpy))
	}
	return size, nil
}

// elements opens the file after its header.
func (a *npyArray) elements() (io.ReadCloser, error) {
	r, err := a.open()
	if err != nil {
		return nil, err
	}
	if err := skipBytes(r, a.header); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// dtypeField is the metadata field of what arrays hold whose npy header cannot say it: NumPy has no bfloat16, and writes the
// elements of ml_dtypes.bfloat16 as two bytes without a meaning, V2.
const dtypeField = "dtype"

// declaredTypes are the values of dtypeField, as NumPy and safetensors call them, in capitals. Before the name may stand the package, and
// around both what Python prints of a class.
var declaredTypes = map[string]string{"BFLOAT16": "BF16", "BF16": "BF16", "FLOAT16": "F16", "F16": "F16"}

// declaredType is what the metadata say that arrays are; "" where that is no type of declaredTypes.
func declaredType(declared string) string {
	return declaredTypes[strings.ToUpper(strings.TrimRight(lastPart(declared), "'>"))]
}

// elementType returns the element type of an array. Two bytes that NumPy has no type for, or that somebody viewed as an
// integer in a tensor of the trace, are what the metadata say.
func (a *npyArray) elementType(own bool, declared string) (string, error) {
	dtype, ok := npyTypes[a.code]
	if a.code == "V2" || own && (dtype == "U16" || dtype == "I16") {
		dtype = declaredType(declared)
		ok = dtype != ""
		if !ok && declared != "" {
			return "", fmt.Errorf("dtype %s, and metadata field %s is %s, want bfloat16", a.numpy, dtypeField, printable(declared))
		}
		if !ok {
			return "", fmt.Errorf("dtype %s, want metadata field %s=bfloat16 where it is that, or f2, f4 or f8", a.numpy, dtypeField)
		}
	}
	if !ok {
		return "", fmt.Errorf("dtype %s, want f2, f4 or f8, such as x.astype(numpy.float32)", printable(a.numpy))
	}
	return dtype, nil
}

// npyHeader reads the bytes before the data: magic, version, length and a Python dictionary of at most 64
// KiB, in UTF-8 since version 3. Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
func npyHeader(r io.Reader) ([]byte, error) {
	head := make([]byte, 10)
	if n, err := io.ReadFull(r, head); err != nil || [6]byte(head) != npy.Magic {
		return nil, fmt.Errorf("%s, want a NumPy array", cmp.Or(kindOfHead(head[:n]), "no npy header"))
	}
	n := int(binary.LittleEndian.Uint16(head[8:]))
	if major := head[6]; major == 2 || major == 3 {
		head = append(head, 0, 0)
		if _, err := io.ReadFull(r, head[10:]); err != nil {
			return nil, fmt.Errorf("npy header: %w", err)
		}
		if high := binary.LittleEndian.Uint16(head[10:]); high != 0 {
			return nil, errors.New("npy header: more than 64 KiB, want less")
		}
	} else if major != 1 {
		return nil, fmt.Errorf("npy header: version %d, want 1, 2 or 3", major)
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
	if header[6] == 3 { // which the library does not know: version 2 but for the letters in names of fields
		header = bytes.Clone(header)
		header[6] = 2
	}
	r, err := npy.NewReader(bytes.NewReader(header))
	if err != nil {
		return d, fmt.Errorf("npy header: %w", err)
	}
	return descr(r.Header.Descr), nil
}
