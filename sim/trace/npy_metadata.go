package trace

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"kvgauge/sim/kernel"
)

// readMetadata reads metadata.json: an object of fields. It returns a line for each value that was ignored.
func readMetadata(m member) (meta map[string]string, ignored []string, err error) {
	if m.size > maxHeader {
		return nil, nil, fmt.Errorf("%d bytes, want at most %d", m.size, maxHeader)
	}
	r, err := m.open()
	if err != nil {
		return nil, nil, cause(err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, m.size))
	if err != nil {
		return nil, nil, cause(err)
	}
	return parseMetadata(text)
}

// parseMetadata takes values as people write them, where a safetensors header has only texts: numbers and truths are
// their own text, objects and arrays (layers, needles) their JSON, and null is a field that is not there.
func parseMetadata(text []byte) (meta map[string]string, ignored []string, err error) {
	p := newHeaderParser(text)
	into := texts{values: map[string]string{}}
	err = p.repeating(func(key string, _ bool) error {
		var value json.RawMessage
		if err := p.Decode(&value); err != nil {
			return within("metadata field", key, p.at(err))
		}
		if string(value) != "null" {
			into.put(key, valueText(value))
		}
		return nil
	})
	if err == nil {
		err = p.end()
	}
	return into.values, into.ignored, err
}

// valueText is the text of a value of valid JSON.
func valueText(value json.RawMessage) string {
	switch value[0] {
	case '"':
		var text string
		_ = json.Unmarshal(value, &text) // decoded once already
		return text
	case '{', '[':
		var b bytes.Buffer
		_ = json.Compact(&b, value) // likewise
		return b.String()
	case 't', 'f':
		return string(value)
	}
	if x, err := strconv.ParseFloat(string(value), 64); err == nil && isWhole(x) {
		return wholeText(x) // 512.0 and 5e2 are integers
	}
	return string(value)
}

// isWhole says whether a number is an integer that float64 tells from its neighbours.
func isWhole(x float64) bool { return x == math.Trunc(x) && math.Abs(x) < 1<<53 }

func wholeText(x float64) string { return strconv.FormatInt(int64(x), 10) }

// takeScalars takes the arrays that are metadata: those without dimensions, as numpy.savez writes numbers and texts, and
// those of one element that bear the name of a field. It returns the names of the others, sorted.
func (c *container) takeScalars(members map[string]member) (others []string, err error) {
	for _, file := range slices.Sorted(maps.Keys(members)) {
		name, ok := strings.CutSuffix(file, npyExt)
		if !ok {
			continue
		}
		field := name == dtypeField || slices.Contains(traceFields, name) || slices.Contains(layerFields, name)
		a, err := readNPY(members[file])
		if !field && (err != nil || len(a.Shape) > 0 || isOwn(name) || layerTensor.MatchString(name)) {
			others = append(others, name)
			continue
		}
		var text string
		if err == nil {
			text, err = a.scalar()
		}
		if err == nil {
			err = c.addField(name, text)
		}
		if err != nil && field {
			return nil, within("array", name, err)
		}
		if err != nil {
			c.ignored = append(c.ignored, fmt.Sprintf("array %s: %v; ignored", printable(name), err))
		}
	}
	return others, nil
}

// addField adds a scalar to the metadata, which must not say another thing.
func (c *container) addField(name, text string) error {
	other, ok := c.meta[name]
	if ok && !sameValue(text, other) {
		return fmt.Errorf("%s, but %s says %s, want one of them", printable(text), metadataFile, printable(other))
	}
	if !ok {
		c.meta[name] = text
	}
	return nil
}

// sameValue compares texts, or the numbers that both are.
func sameValue(a, b string) bool {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	return a == b || errA == nil && errB == nil && float32(x) == float32(y)
}

// scalar reads an array of one number or text as the text that NumPy prints for it.
func (a *npyArray) scalar() (string, error) {
	if n, ok := elements(a.Shape); !ok || n != 1 {
		return "", fmt.Errorf("shape %v, want one value", a.Shape)
	}
	if a.code != "" && (a.code[0] == 'U' || a.code[0] == 'S') {
		return a.text()
	}
	if a.code == "O" {
		return "", fmt.Errorf("dtype %s, want a number or a text: leave None out, put other objects through json.dumps", a.numpy)
	}
	if dtype := npyTypes[a.code]; dtype == "" || dtype == "C64" {
		return "", fmt.Errorf("dtype %s, want a number or a text", printable(a.numpy))
	}
	x, err := npyTensor(a.member, false, "")
	if err != nil {
		return "", err
	}
	b, err := x.read()
	if err != nil {
		return "", cause(err)
	}
	return numberText(b, x.dtype), nil
}

// text reads an array of one text: U of four bytes a character, or S of one, with zeros after it.
func (a *npyArray) text() (string, error) {
	letters, err := strconv.Atoi(a.code[1:])
	width := 1
	if a.code[0] == 'U' {
		width = 4
	}
	if err != nil || letters < 0 || letters > maxHeader/width {
		return "", fmt.Errorf("dtype %s, want a text of at most %d bytes", printable(a.numpy), maxHeader)
	}
	if _, err := a.checkSize(letters * width); err != nil {
		return "", err
	}
	r, err := a.elements()
	if err != nil {
		return "", cause(err)
	}
	defer r.Close()
	b := make([]byte, letters*width)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", cause(err)
	}
	text := string(b)
	if width == 4 {
		text = utf32Text(b, a.order)
	}
	if text = strings.TrimRight(text, "\x00"); !utf8.ValidString(text) {
		return "", errors.New("bytes that are no text, want UTF-8")
	}
	return text, nil
}

// utf32Text decodes characters of four bytes.
func utf32Text(b []byte, order byte) string {
	var text strings.Builder
	var o binary.ByteOrder = binary.LittleEndian
	if order == '>' {
		o = binary.BigEndian
	}
	for c := range slices.Chunk(b, 4) {
		text.WriteRune(rune(o.Uint32(c))) // what is no character becomes U+FFFD
	}
	return text.String()
}

// numberText prints an element: as the shortest decimal that float64 or, for narrower ones, float32 reads as the same, an
// integer without a point.
func numberText(b []byte, dtype string) string {
	switch dtype {
	case "BOOL":
		return strconv.FormatBool(b[0] != 0)
	case "U8", "U16", "U32", "U64":
		var whole [8]byte
		copy(whole[:], b)
		return strconv.FormatUint(binary.LittleEndian.Uint64(whole[:]), 10)
	case "I8":
		return strconv.Itoa(int(int8(b[0])))
	case "I16":
		return strconv.Itoa(int(int16(binary.LittleEndian.Uint16(b))))
	case "I32":
		return strconv.Itoa(int(int32(binary.LittleEndian.Uint32(b))))
	case "I64":
		return strconv.FormatInt(int64(binary.LittleEndian.Uint64(b)), 10)
	case "F16":
		return floatText(float64(kernel.Float(binary.LittleEndian.Uint16(b))), 32)
	case "F32":
		return floatText(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32)
	}
	return floatText(math.Float64frombits(binary.LittleEndian.Uint64(b)), 64)
}

func floatText(x float64, bits int) string {
	if isWhole(x) {
		return wholeText(x)
	}
	return strconv.FormatFloat(x, 'g', -1, bits)
}
