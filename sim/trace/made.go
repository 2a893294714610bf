package trace

import (
	"encoding/binary"
	"errors"
	"io"
)

// made is the source of a trace whose layers are computed as they are asked for.
type made struct {
	ids  []int32
	next func(layer int) (*Layer, error)
}

// Made is a trace of the tokens ids whose layers next computes, each once and in ascending order, with what attention put out
// where the header says Outputs. It is there to be written: it has no hash, and one layer is in memory at a time.
func Made(h Header, ids []int32, next func(layer int) (*Layer, error)) *Trace {
	return &Trace{Header: h, src: &made{ids, next}}
}

func (m *made) read(layer, _, _ int) (*Layer, error) { return m.next(layer) }

func (m *made) hash() (string, error) {
	return "", errors.New("a trace that is being made has no hash")
}

func (m *made) close() error { return nil }

// tokens is the tensor of the token ids.
func (m *made) tokens() item {
	return item{idsName, "I32", []int{len(m.ids)}, 4 * int64(len(m.ids)), func(w io.Writer) error {
		return binary.Write(w, binary.LittleEndian, m.ids)
	}}
}
