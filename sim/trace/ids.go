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
	"strings"
)

// idsName is the tensor of the tokens' ids, which is carried along.
const idsName = "token_ids"

// checkIDs checks that token ids are those of the trace's tokens.
func (h *Header) checkIDs(c *container) error {
	x, ok := c.tensors[idsName]
	switch {
	case !ok:
		return nil
	case !strings.ContainsAny(x.dtype[:1], "IU"):
		return fmt.Errorf("tensor %s: dtype %s, want I32 or I64", idsName, printable(x.dtype))
	case !slices.Equal(x.shape, []int{h.Tokens}):
		return fmt.Errorf("tensor %s: shape %v, want %v (one id for each token)", idsName, x.shape, []int{h.Tokens})
	}
	return nil
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
