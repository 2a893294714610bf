package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Tensors can be seen with some indices of an axis alone, or with the first two axes exchanged. What is seen so is read from
// the file when it is asked for, a block at a time.

// take keeps the given indices of an axis, ascending.
func (x tensor) take(axis int, keep []int) tensor {
	outer, inner := 1, x.bytes // how often the axis comes, and the bytes of one index
	for i, n := range x.shape[:axis+1] {
		inner /= int64(max(1, n))
		if i < axis {
			outer *= n
		}
	}
	t := taker{units: outer, end: inner * int64(x.shape[axis])}
	for _, i := range keep {
		at := inner * int64(i)
		if last := len(t.runs) - 1; last >= 0 && t.runs[last].last == at {
			t.runs[last].last += inner
			continue
		}
		t.runs = append(t.runs, byteRun{at, at + inner})
	}
	open, shape := x.open, append([]int(nil), x.shape...)
	shape[axis] = len(keep)
	x.shape, x.bytes = shape, int64(outer)*inner*int64(len(keep))
	x.open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		reader := t
		reader.Closer = r
		if len(t.runs) > 0 { // a file is not read up to there
			reader.at = t.runs[0].first
			if err := skipBytes(r, reader.at); err != nil {
				_ = r.Close() // only read
				return nil, wantMore(err)
			}
		}
		reader.r = bufio.NewReaderSize(r, chunk)
		return &reader, nil
	}
	return x
}

// byteRun is a run of bytes, the last not included.
type byteRun struct{ first, last int64 }

// taker reads the same runs of every unit of a stream.
type taker struct {
	io.Closer
	r     *bufio.Reader
	runs  []byteRun // of a unit
	end   int64     // bytes of a unit
	units int       // still to come, this one included
	run   int       // the one to read of this unit
	at    int64     // byte of this unit
}

func (t *taker) Read(p []byte) (int, error) {
	if t.units == 0 || len(t.runs) == 0 {
		return 0, io.EOF
	}
	run := t.runs[t.run]
	if skip := run.first - t.at; skip > 0 {
		if _, err := t.r.Discard(int(skip)); err != nil {
			return 0, wantMore(err)
		}
		t.at = run.first
	}
	n, err := t.r.Read(p[:min(int64(len(p)), run.last-t.at)])
	if err != nil {
		return n, wantMore(err)
	}
	if t.at += int64(n); t.at == run.last {
		t.run++
	}
	if t.run == len(t.runs) {
		t.units, t.run, t.at = t.units-1, 0, t.at-t.end // below 0: the rest of this unit comes first
	}
	return n, nil
}

// turned exchanges the first two axes.
func (x tensor) turned() tensor {
	a, b := x.shape[0], x.shape[1]
	width, open := int(x.bytes)/max(1, a*b), x.open
	x.shape = append([]int{b, a}, x.shape[2:]...)
	if x.bytes == 0 {
		return x
	}
	x.open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		first := int64(0)
		if s, ok := r.(io.Seeker); ok {
			if first, err = s.Seek(0, io.SeekCurrent); err != nil {
				return nil, errors.Join(err, r.Close())
			}
		}
		// Runs of the innermost axes are elements of a matrix whose first dimension is the fastest.
		return newColumns(r, first, []int{b, a}, width, columnBlock)
	}
	return x
}

// turn exchanges tokens and heads of every tensor of rows: [heads, tokens, channels] or, as models have them, [1, heads,
// tokens, channels].
func (c *container) turn() error {
	for name, x := range c.tensors {
		_, kind, _ := tensorOf(name)
		switch kind {
		case "q", "k", "v", outputTensor:
		default:
			continue
		}
		if len(x.shape) == 4 && x.shape[0] == 1 {
			x.shape = x.shape[1:]
		}
		if len(x.shape) != 3 {
			return fmt.Errorf("tensor %s: shape %v, want [heads, tokens, channels] or [1, heads, tokens, channels] to transpose", name, x.shape)
		}
		c.tensors[name] = x.turned()
	}
	return nil
}
