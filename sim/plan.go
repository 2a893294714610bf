package sim

import (
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// NewPlan lays out the cells. It fails where nothing that was asked for applies.
func NewPlan(o Options) (p Plan, err error) {
	defer func() { err = record.Input(err) }()
	p.Options = o
	if err := p.checkLengths(); err != nil {
		return p, err
	}
	for _, t := range o.Traces {
		layers := t.Layers
		if o.Layers != nil {
			layers = slices.DeleteFunc(slices.Clone(t.Layers), func(l int) bool { return !slices.Contains(o.Layers, l) })
		}
		for _, n := range lengths(o.Lengths, t) {
			c := Cell{Trace: t, SeqLen: n, Decode: decodeLen(o.Decode, n), Layers: layers}
			c.Windows = c.windows(o.Windows)
			for _, c.Pipeline = range o.Pipelines {
				p.add(c)
			}
			for _, x := range o.Externals {
				p.add(x.cell(c))
			}
		}
	}
	if err := p.checkExternals(); err != nil {
		return p, err
	}
	if err := p.checkCells(); err != nil {
		return p, err
	}
	p.Total = len(p.Cells)
	if o.Shard.Count > 0 {
		p.Positions = o.Shard.positions(p.Cells)
		whole := p.Cells
		p.Cells = nil
		for _, i := range p.Positions {
			p.Cells = append(p.Cells, whole[i])
		}
	}
	return p, nil
}

// add appends a cell.
func (p *Plan) add(c Cell) {
	if c.Skip = c.skip(p.Options); c.Skip == "" {
		c.estimate(p.Options)
	}
	if c.Memory > p.MaxMemory {
		c.Skip = fmt.Sprintf("needs about %s of memory, --max-memory is %s", bytesText(c.Memory), bytesText(p.MaxMemory))
	}
	p.Cells = append(p.Cells, c)
}

// checkCells fails where no cell applies.
func (p *Plan) checkCells() error {
	if !slices.ContainsFunc(p.Cells, func(c Cell) bool { return c.Skip == "" }) {
		c := p.Cells[0]
		return record.Input(fmt.Errorf("nothing to run: %s on %s at %s: %s", c.Pipeline.Name, c.Trace.Name, record.Count(c.SeqLen, "token", ""), c.Skip))
	}
	return nil
}

// checkLengths fails where a length is beyond every trace, and where no trace holds any of the layers.
func (p *Plan) checkLengths() error {
	longest := 0
	var held []string
	for _, t := range p.Traces {
		longest = max(longest, t.Tokens)
		held = append(held, fmt.Sprintf("%s %d", t.Name, t.Tokens))
	}
	if p.Lengths != nil && slices.Min(p.Lengths) > longest {
		return inOption("lengths", slices.Min(p.Lengths), "no trace holds that many tokens (%s)", strings.Join(held, ", "))
	}
	for _, l := range p.Layers {
		if !slices.ContainsFunc(p.Traces, func(t *trace.Header) bool { return slices.Contains(t.Layers, l) }) {
			return inOption("layers", l, "no trace holds it")
		}
	}
	return nil
}

// lengths returns the sequence lengths of a trace.
func lengths(asked []int, t *trace.Header) []int {
	if asked != nil {
		return asked
	}
	var ns []int
	for n := 128; n < t.Tokens; n *= 2 {
		ns = append(ns, n)
	}
	return append(ns, t.Tokens)
}

// skip says why the cell does not apply, or nothing. Memory, which depends on the machine, is not asked for.
func (c Cell) skip(o Options) string {
	t, prompt := c.Trace, c.prompt()
	switch first := c.firstStep(); {
	case c.SeqLen > t.Tokens:
		return "the trace holds " + record.Count(t.Tokens, "token", "")
	case len(c.Layers) == 0:
		return "the trace holds none of the layers asked for"
	case prompt < 1:
		return fmt.Sprintf("decoding %d of %s leaves no prompt", c.Decode, record.Count(c.SeqLen, "token", ""))
	case t.FirstQuery() > first:
		return fmt.Sprintf("needs the queries from token %d on; the trace holds those from token %d on", first, t.FirstQuery())
	}
	for _, layer := range c.borrowers() {
		if owner := t.Owner(layer); !slices.Contains(c.Layers, owner) {
			return fmt.Sprintf("layer %d reads the keys and values of layer %d (kv_from), which is not among the layers asked for", layer, owner)
		}
	}
	if c.External != nil {
		if why := c.External.skip(c); why != "" {
			return why
		}
	}
	if c.target(o) == nil { // else when its knob is set
		if err := c.applies(o.Seed); err != nil {
			return err.Error()
		}
	}
	return ""
}

// checkExternals fails where an external result belongs to no cell, or lacks what its cell needs.
func (p *Plan) checkExternals() error {
	for _, x := range p.Externals {
		for _, r := range x.results {
			i := slices.IndexFunc(p.Cells, func(c Cell) bool { return c.External == x && r.serves(c) })
			if i < 0 {
				return p.useless(x, r)
			}
			if name := r.lacks(p.Cells[i].owners()); name != "" {
				return inOption("external", r.option(), "tensor %s: missing, want every layer that is measured", name)
			}
		}
	}
	return nil
}

// useless says why a result belongs to no cell.
func (p *Plan) useless(x *External, r *externalResult) error {
	for _, c := range p.Cells {
		switch {
		case c.External != x || c.Trace != r.trace || !c.ends(r.seqLen):
		case c.Decode != r.decode:
			return inOption("external", r.option(), "metadata field decode: %d, want the run's %d ("+record.Opt+"decode %d)", r.decode, c.Decode, r.decode)
		case c.SeqLen == r.seqLen:
			return inOption("external", r.option(), "it is the result for one prefix, want "+record.Opt+"windows 1, not %d, or under the same name another at %d tokens",
				p.Windows, r.seqLen-r.decode)
		}
	}
	want := "one of the run's lengths"
	if p.Windows > 1 {
		want += ", or of their windows from the longest on without a gap"
	}
	return inOption("external", r.option(), "metadata field seq_len: %d, want %s ("+record.Opt+"lengths %d)", r.seqLen, want, r.seqLen)
}

// inOption is an error of an option's value.
func inOption(option string, value any, format string, args ...any) error {
	return &record.InputError{Option: option, Value: fmt.Sprint(value), Err: fmt.Errorf(format, args...)}
}
