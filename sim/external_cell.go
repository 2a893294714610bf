package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// cell makes a cell that of the external pipeline. It averages the first of its windows, so far as there is a result on
// each: the mean over so many windows is that of the same prefixes for every pipeline.
func (x *External) cell(c Cell) Cell {
	c.External, c.Pipeline = x, x.results[0].pipeline
	if r := c.result(); r != nil {
		c.Pipeline = r.pipeline
	}
	if n := x.windows(c); n > 1 {
		c.Windows = n
	}
	return c
}

// windows is how many of a cell's windows, from the longest on, there is a result on.
func (x *External) windows(c Cell) int {
	n := 0
	for n < c.Windows && x.at(c.Trace, c.SeqLen-n*c.Decode, c.Decode) != nil {
		n++
	}
	return n
}

// skip says why there is no result on the cell.
func (x *External) skip(c Cell) string {
	switch n := x.windows(c); {
	case n == 0:
		return x.elsewhere(c)
	case n < c.Windows:
		return fmt.Sprintf("its next window needs an external result at %d tokens, too", c.SeqLen-n*c.Decode)
	}
	return ""
}

// elsewhere says what there are results on.
func (x *External) elsewhere(c Cell) string {
	var lengths, traces []string
	for _, r := range x.results {
		switch {
		case r.trace != c.Trace:
			traces = append(traces, r.trace.Name)
		case r.seqLen == c.SeqLen:
			return fmt.Sprintf("the external result at %d tokens decodes %d of them, the run %d", r.seqLen, r.decode, c.Decode)
		default:
			lengths = append(lengths, strconv.Itoa(r.seqLen))
		}
	}
	if lengths != nil {
		return fmt.Sprintf("the external result is one at %s tokens", enumerate(slices.Compact(lengths)))
	}
	slices.Sort(traces)
	return "the external result is one on " + enumerate(slices.Compact(traces))
}

// enumerate writes a list as a sentence does: a, b and c.
func enumerate(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// serves says whether the result is that on a cell, or on one of its windows.
func (x *externalResult) serves(c Cell) bool {
	return x.trace == c.Trace && x.decode == c.Decode && c.ends(x.seqLen) && c.External.skip(c) == ""
}

// ends says whether the cell or one of its windows ends at a length.
func (c Cell) ends(seqLen int) bool {
	for i := range c.Windows {
		if seqLen == c.SeqLen-i*c.Decode {
			return true
		}
	}
	return false
}
