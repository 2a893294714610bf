package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
)

// idsName is the tensor of the tokens' ids, which is carried along.
const idsName = "token_ids"

// strangeIDs returns a line where what is carried along as token ids are not those of the trace's tokens.
func (h *Header) strangeIDs(c *container) []string {
	if x, ok := c.tensors[idsName]; ok && !areIDs(x, h.Tokens) {
		return []string{fmt.Sprintf("tensor %s: %s %v, not integers [%d] of as many tokens, ignored", idsName, printable(x.dtype), x.shape, h.Tokens)}
	}
	return nil
}

// areIDs says whether a tensor has an integer for each token: [tokens], or [1, tokens] as models take them.
func areIDs(x tensor, tokens int) bool {
	return slices.Contains([]string{"I32", "I64", "U32", "U16", "I16"}, x.dtype) &&
		(slices.Equal(x.shape, []int{tokens}) || slices.Equal(x.shape, []int{1, tokens}))
}

// ReadIDs reads an .npy file of token ids, [tokens] of I32 or I64.
func ReadIDs(path string) ([]int32, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	return idsOf(member{info.Size(), func() (io.ReadCloser, error) { return os.Open(path) }}, info.Mode())
}

// idsOf is ReadIDs of a file that is opened by its member.
func idsOf(m member, mode fs.FileMode) ([]int32, error) {
	if !mode.IsRegular() {
		return nil, errors.New("not a regular file")
	}
	x, err := npyTensor(m, false, "")
	switch {
	case err != nil:
		return nil, err
	case x.dtype != "I32" && x.dtype != "I64":
		return nil, fmt.Errorf("dtype %s, want I32 or I64", x.dtype)
	case len(x.shape) != 1:
		return nil, fmt.Errorf("shape %v, want [tokens]", x.shape)
	case x.shape[0] > maxTokens:
		return nil, fmt.Errorf("shape %v, want at most %d tokens", x.shape, maxTokens)
	}
	buf, err := x.read()
	if err != nil {
		return nil, cause(err)
	}
	ids := make([]int32, x.shape[0])
	for i := range ids {
		id := int64(0)
		if x.dtype == "I32" {
			id = int64(int32(binary.LittleEndian.Uint32(buf[4*i:])))
		} else {
			id = int64(binary.LittleEndian.Uint64(buf[8*i:]))
		}
		if id < 0 || id > math.MaxInt32 {
			return nil, fmt.Errorf("number %d: %d, want a token id from 0 to %d", i, id, math.MaxInt32)
		}
		ids[i] = int32(id)
	}
	return ids, nil
}
