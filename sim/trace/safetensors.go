package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxHeader bounds the JSON header of a safetensors file, and metadata.json: 16 MiB, thousands of layers.
const maxHeader = 16 << 20

// openSafetensors reads the header of a safetensors file of size bytes:
//
//	8 bytes   length n of the header, little-endian
//	n bytes   JSON: {"NAME": {"dtype": "F16", "shape": [..], "data_offsets": [begin, end]}, "__metadata__": {..}}
//	the rest  the tensors, without holes
//
// Format: https://github.com/huggingface/safetensors. The file is read, not mapped: a mapped file that
// somebody cuts short kills the process. A file of another kind is refused by its name. Closing is the caller's where it
// fails.
func openSafetensors(r io.ReaderAt, size int64, release func() error) (*container, error) {
	c, err := readSafetensors(r, size, release)
	if err == nil || size < 8 {
		return c, err
	}
	if kind := kindOf(r, size); kind != "" && kind != kindSafetensors {
		return nil, fmt.Errorf("%s, want a safetensors file", kind)
	}
	return nil, err
}

// readSafetensors is openSafetensors for what is taken to be such a file.
func readSafetensors(r io.ReaderAt, size int64, release func() error) (*container, error) {
	var prefix [8]byte
	if size < 8 {
		return nil, fmt.Errorf("%d bytes, want a safetensors file", size)
	}
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, cause(err)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	switch {
	case n > maxHeader:
		return nil, fmt.Errorf("header of %d bytes, want at most %d: not a safetensors file?", n, maxHeader)
	case int64(n) > size-8:
		return nil, fmt.Errorf("header of %d bytes, but the file ends after %d: it is cut short", n, size-8)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil && !(errors.Is(err, io.EOF) && int64(n) == size-8) {
		return nil, fmt.Errorf("header: %w", cause(err))
	}
	h, err := parseHeader(text)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	data := 8 + int64(n)
	if err := checkOffsets(h.entries, size-data); err != nil {
		return nil, err
	}
	c := &container{meta: h.meta.values, tensors: make(map[string]tensor, len(h.entries)), release: release}
	c.ignored = append(h.meta.ignored, h.ignored...)
	for _, e := range h.entries {
		x := tensor{e.dtype, e.shape, e.end - e.begin, section(r, data+e.begin, e.end-e.begin)}
		if x.dtype == "F64" && isRead(e.name) {
			x = x.narrowed()
		}
		c.tensors[e.name] = x
	}
	c.sum = sync.OnceValues(func() (string, error) { return sha256Of(io.NewSectionReader(r, 0, size)) })
	return c, nil
}
